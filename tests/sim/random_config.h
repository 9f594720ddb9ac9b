#pragma once

#include "tests/reference/aggregator.h"
#include "traffic.h"

namespace penstock {

// Any of what sections 7 and 8 can be configured to, about the names that Traffic makes.
reference::Config random_config(Random& random);

}  // namespace penstock

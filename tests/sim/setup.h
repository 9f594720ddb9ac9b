#pragma once

#include <memory>

#include "controlplane/exporters/points.h"
#include "dataplane/api/plan.h"
#include "tests/reference/aggregator.h"

namespace penstock {

// One configuration, as the reference reads it and as the data plane and its encoder do.
std::unique_ptr<Plan> plan_of(const reference::Config& config);
HistogramConfig histograms_of(const reference::Config& config);

}  // namespace penstock

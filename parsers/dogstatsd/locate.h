#pragma once

#include <cstddef>
#include <string_view>

#include "parsers/dogstatsd/message.h"

namespace penstock::dogstatsd {

// Where a refused message goes wrong, for people: the offset of the first byte that no ending of
// the message could mend, or of the place where something is missing (`line.size()`: at the end).
// Of a value that is well formed and out of range, the byte that takes it there; of a timestamp or
// length, its first. `reason` is what the parser said of `line`; kOk gives 0. Slow, and never for
// the data path.
size_t locate_error(std::string_view line, Reason reason);

}  // namespace penstock::dogstatsd

// Changes an input of the differential fuzzer with an eye for its structure: lines, fields, numbers
// and the widths of vectors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace penstock::differential {

// One change, drawn from `seed`. The first byte of `input` holds the options; an input without it
// gets one. The result is at most `max_size` bytes.
std::string mutate(std::string input, size_t max_size, uint64_t seed);

}  // namespace penstock::differential

#pragma once

#include <cstdint>
#include <span>

#include "dataplane/api/segment.h"

namespace penstock::sketch {

// The Agent's distribution sketch (spec 8.6): bins whose bounds grow by 1/64.

inline constexpr int16_t kBias = 1338;
inline constexpr int16_t kKeyMax = 32766;
inline constexpr int16_t kKeyInfinity = 32767;
inline constexpr size_t kBinsMax = 4096;

// The bin of `value`, which is not NaN.
int16_t key_of(double value);

// Sorts by key, merges equal keys, and adds the lowest surplus beyond kBinsMax to the lowest bin
// kept. In place; returns how many bins are left, at the front.
size_t normalize(std::span<segment::Bin> bins);

// Adds `weight` samples of value `value`, `scaled` times (1/rate, not truncated), to a summary; its
// `avg` follows the Agent's recurrence.
void add(segment::Summary& summary, double value, uint64_t weight, double scaled);

// Adds one summary to another (spec 8.6).
void merge(segment::Summary& into, const segment::Summary& from);

}  // namespace penstock::sketch

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/api/segment.h"

namespace penstock::sketch {

// The Agent's distribution sketch (spec 8.6): bin k > 0 holds the values around gamma^(k - bias)
// with gamma = 1 + 1/64, negative keys mirror positive ones, 0 holds what is nearer to zero than
// that.

inline constexpr int kBias = 1338;
inline constexpr int16_t kKeyMax = 32766;
inline constexpr int16_t kKeyInfinity = 32767;
inline constexpr size_t kBinsMax = 4096;

// The bin of `value`; of a NaN, 0.
int16_t key_of(double value);

// The value that stands for a bin: its lower bound in the specification, which, as keys round, lies
// in the (geometric) middle of the values that fall into the bin. Infinite for the infinity key.
double value_of(int key);

// Sorts by key, merges equal keys, and adds the lowest surplus beyond `max` bins to the lowest bin
// kept; `folded` grows by the surplus. In place; returns how many bins are left, at the front. What
// is kept does not depend on the order in which sketches are merged and normalized.
size_t normalize(std::span<segment::Bin> bins, size_t max, uint64_t& folded);
// With the specification's limit, kBinsMax.
size_t normalize(std::span<segment::Bin> bins);

// Sorts exact values and makes equal ones one, which changes no percentile. Of any value, NaN too.
void normalize(std::vector<segment::WeightedValue>& values);

// -0 before 0, so that the order of equal values does not show.
double least(double a, double b);
double greatest(double a, double b);

// Adds one summary to another (spec 8.6), the average from the exact sum: the order of merging does
// not show.
void merge(segment::Summary& into, const segment::Summary& from);

}  // namespace penstock::sketch

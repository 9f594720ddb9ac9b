#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

// The histogram of times from the receipt of packets until they are aggregated: four buckets to
// each power of two, so that a bucket's limit is at most a quarter above what is in it.
namespace penstock::latency {

inline constexpr uint64_t kTickNs = 32;    // the unit of times
inline constexpr unsigned kFirstBits = 2;  // of the position in a power of two
inline constexpr unsigned kLastBit = 26;   // 2.1 s; what takes longer shares the last bucket
inline constexpr size_t kBuckets = (size_t{kLastBit - kFirstBits + 1} << kFirstBits) + 1;

// Where a time belongs.
constexpr size_t bucket_of(uint32_t ticks) {
  if (ticks < 1u << kFirstBits) return ticks;
  const unsigned shift = std::bit_width(ticks) - 1 - kFirstBits;
  const size_t bucket = (size_t{shift} << kFirstBits) + (ticks >> shift);
  return bucket < kBuckets - 1 ? bucket : kBuckets - 1;
}

// The least time of a bucket in ticks; of kBuckets, more than any time.
constexpr uint64_t begin_of(size_t bucket) {
  if (bucket == kBuckets) return uint64_t{1} << 32;
  if (bucket < size_t{1} << kFirstBits) return bucket;
  const size_t shift = (bucket >> kFirstBits) - 1;
  return uint64_t{bucket - (shift << kFirstBits)} << shift;
}

// What times in a bucket are below, in ns; UINT64_MAX of the last.
constexpr uint64_t limit_ns(size_t bucket) {
  return bucket + 1 < kBuckets ? begin_of(bucket + 1) * kTickNs : UINT64_MAX;
}

using Counts = std::array<uint64_t, kBuckets>;

// What the share `q` (0 to 1) of the times were below, in ns: the limit of a bucket. 0 without any;
// the least time of the last bucket where it is in that.
uint64_t quantile_ns(const Counts& counts, double q);

}  // namespace penstock::latency

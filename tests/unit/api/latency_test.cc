#include "dataplane/api/latency.h"

#include <gtest/gtest.h>

namespace penstock::latency {
namespace {

TEST(Latency, BucketsFollowEachOtherWithoutAGap) {
  for (size_t i = 0; i < kBuckets; ++i) {
    const uint64_t begin = begin_of(i);
    const uint64_t end = begin_of(i + 1);
    ASSERT_LT(begin, end) << i;
    EXPECT_EQ(bucket_of(static_cast<uint32_t>(begin)), i);
    EXPECT_EQ(bucket_of(static_cast<uint32_t>(end - 1)), i);
    if (i + 1 < kBuckets) {
      EXPECT_EQ(limit_ns(i), end * kTickNs);
    }
    if (begin >= 4 && i + 1 < kBuckets) {
      EXPECT_LE((end - begin) * 4, begin) << "wider than a quarter";
    }
  }
  EXPECT_EQ(begin_of(kBuckets - 1) * kTickNs, uint64_t{1} << 31) << "2.1 s";
  EXPECT_EQ(limit_ns(kBuckets - 1), UINT64_MAX);
}

TEST(Latency, AQuantileIsTheLimitOfItsBucket) {
  Counts counts{};
  EXPECT_EQ(quantile_ns(counts, 0.5), 0u);
  counts[bucket_of(100)] = 98;    // 3.2 us: 96 to 111 ticks
  counts[bucket_of(10'000)] = 1;  // 320 us: 8192 to 10239
  EXPECT_EQ(quantile_ns(counts, 0.5), 112 * kTickNs);
  EXPECT_EQ(quantile_ns(counts, 0.98), 112 * kTickNs);
  EXPECT_EQ(quantile_ns(counts, 1), 10'240 * kTickNs);
  EXPECT_EQ(quantile_ns(counts, 0), 112 * kTickNs) << "of the least";
}

TEST(Latency, BeyondTheLastBucketItIsWhatItIsAtLeast) {
  Counts counts{};
  counts[bucket_of(UINT32_MAX)] = 1;
  EXPECT_EQ(quantile_ns(counts, 0.5), uint64_t{1} << 31);
}

}  // namespace
}  // namespace penstock::latency

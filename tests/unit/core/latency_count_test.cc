#include "dataplane/core/latency_count.h"

#include <gtest/gtest.h>

#include <array>
#include <numeric>

#include "dataplane/core/arrival.h"

namespace penstock {
namespace {

using latency::bucket_of;

// Bursts as they come, and a clock that stands where a test puts it.
class LatencyCountTest : public testing::Test {
 protected:
  // Packets received at `ticks` and aggregated `later`.
  void burst(uint32_t ticks, size_t packets, uint32_t later) {
    std::array<Packet, 64> of{};
    arrival_.set(ticks);
    for (size_t i = 0; i < packets; ++i) of[i].arrival = arrival_.next();
    count_latency({of.data(), packets}, ticks + later, times_);
  }
  [[nodiscard]] uint64_t in_bucket_of(uint32_t ticks) const {
    return times_.latency[bucket_of(ticks)].get();
  }
  [[nodiscard]] uint64_t all() const {
    return std::accumulate(times_.latency.begin(), times_.latency.end(), uint64_t{0},
                           [](uint64_t n, const Counter& c) { return n + c.get(); });
  }

  ArrivalClock arrival_;
  ShardTimes times_;
};

TEST_F(LatencyCountTest, ABurstCountsAsItsFirstPacket) {
  burst(1000, 32, 50);
  burst(2000, 1, 5000);
  burst(3000, 8, 50);
  EXPECT_EQ(in_bucket_of(50), 40u);
  EXPECT_EQ(in_bucket_of(5000), 1u);
  EXPECT_EQ(all(), 41u);
  EXPECT_EQ(times_.latency_sum_ns.get(), (40 * 50 + 5000) * latency::kTickNs);
}

TEST_F(LatencyCountTest, TheClockMayWrapMeanwhile) {
  burst(UINT32_MAX - 10, 3, 1000);
  EXPECT_EQ(in_bucket_of(1000), 3u);
}

TEST_F(LatencyCountTest, AnArrivalAheadOfTheClockTookNoTime) {
  burst(1000, 64, 0);
  burst(1000, 2, 1);  // arrivals 1064 and 1065, aggregated at 1001
  EXPECT_EQ(in_bucket_of(0), 66u);
  EXPECT_EQ(times_.latency_sum_ns.get(), 0u);
}

TEST_F(LatencyCountTest, TheLongestShareABucket) {
  burst(0, 1, 1u << 30);
  EXPECT_EQ(times_.latency.back().get(), 1u);
}

}  // namespace
}  // namespace penstock

#include "dataplane/core/bucket_clock.h"

#include <gtest/gtest.h>

#include <vector>

namespace penstock {
namespace {

constexpr int64_t kStart = 1'700'000'000;

class BucketClockTest : public testing::Test {
 protected:
  // The buckets that close at a reading `ms` after kStart, as seconds after kStart.
  std::vector<int64_t> at(int64_t ms) {
    std::vector<int64_t> closed;
    while (const auto bucket = clock_.poll(kStart * 1000 + ms)) {
      closed.push_back(*bucket - kStart);
      if (closed.size() > 1000) break;
    }
    return closed;
  }
  using Closed = std::vector<int64_t>;

  KeeperStats stats_;
  BucketClock clock_{10, kStart * 1000 + 3500, stats_};
};

TEST_F(BucketClockTest, ClosesEachBucketWhenItsTimeHasPassed) {
  EXPECT_EQ(clock_.open_bucket(), kStart);
  EXPECT_EQ(clock_.until_close_ms(kStart * 1000 + 3500), 6500);
  EXPECT_EQ(at(9'999), Closed{});
  EXPECT_EQ(at(10'000), Closed{0});
  EXPECT_EQ(at(10'000), Closed{});
  EXPECT_EQ(stats_.open_bucket.get(), static_cast<uint64_t>(kStart + 10));
  EXPECT_EQ(at(20'004), Closed{10});
  EXPECT_EQ(stats_.clock_steps.get(), 0u);
  EXPECT_EQ(clock_.until_close_ms(kStart * 1000 + 31'000), 0);
}

TEST_F(BucketClockTest, CatchesUpBucketByBucketAfterAStall) {
  EXPECT_EQ(at(35'000), (Closed{0, 10, 20}));
  EXPECT_EQ(stats_.clock_steps.get(), 1u);
  EXPECT_EQ(at(40'000), Closed{30});
  EXPECT_EQ(stats_.clock_steps.get(), 1u);
}

TEST_F(BucketClockTest, SkipsBucketsInALongJump) {
  EXPECT_EQ(at(86'400'000), Closed{0});
  EXPECT_EQ(clock_.open_bucket(), kStart + 86'400);
  EXPECT_EQ(stats_.clock_steps.get(), 1u);
}

TEST_F(BucketClockTest, StaysInTheOpenBucketWhenTheClockStepsBack) {
  EXPECT_EQ(at(10'000), Closed{0});
  EXPECT_EQ(at(4'000), Closed{});
  EXPECT_EQ(at(10'500), Closed{});
  EXPECT_EQ(at(20'000), Closed{10});
  EXPECT_EQ(stats_.clock_steps.get(), 1u);
}

TEST_F(BucketClockTest, FollowsAClockPutRightByHours) {
  EXPECT_EQ(at(-7'200'000), Closed{0});
  EXPECT_EQ(clock_.open_bucket(), kStart - 7200);
  EXPECT_EQ(at(-7'190'000), Closed{-7200});
  EXPECT_EQ(stats_.clock_steps.get(), 1u);
}

TEST(BucketClock, AlignsTimesBefore1970) {
  KeeperStats stats;
  EXPECT_EQ(BucketClock(10, -1, stats).open_bucket(), -10);
  EXPECT_EQ(BucketClock(10, -10'000, stats).open_bucket(), -10);
}

}  // namespace
}  // namespace penstock

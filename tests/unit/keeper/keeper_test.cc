// What a client that names many buckets takes of the outbox.
#include "dataplane/keeper/keeper.h"

#include <gtest/gtest.h>
#include <sys/signalfd.h>

#include <atomic>
#include <csignal>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/shard_harness.h"

namespace penstock {
namespace {

constexpr uint32_t kHeld = 60;
constexpr uint64_t kBuckets = 100;

std::unique_ptr<Plan> plan_with_copies(uint64_t bytes_held) {
  auto plan = test_plan();
  plan->interval_s = 1;
  plan->limits.segments_held = kHeld;
  plan->limits.segment_bytes_held = bytes_held;
  plan->dogstatsd.copy_histograms = 1;
  return plan;
}

Fd sigterm() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  EXPECT_EQ(::pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
  return Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

// With room for a few Segments and 1000 bytes.
class OutboxTest : public testing::Test {
 protected:
  OutboxTest() { limits_.segment_bytes_held = 1000; }

  absl::Status add(uint64_t sequence, size_t bytes) {
    return outbox_.add({sequence, 0, 7, 0, 0, Fd()}, std::vector<std::byte>(bytes));
  }
  absl::Status add_beside(uint64_t sequence, size_t bytes) {
    return outbox_.add_beside({sequence, 0, 7, 0, 0, Fd()}, std::vector<std::byte>(bytes));
  }
  std::vector<uint64_t> held() const {
    std::vector<uint64_t> all;
    for (const HeldSegment& s : outbox_.held()) all.push_back(s.sequence);
    return all;
  }

  LimitsPlan limits_{};
  KeeperStats stats_;
  Outbox outbox_{limits_, stats_};
};

TEST_F(OutboxTest, OfTwoThatDoNotFitTheOneThatMayNotPushOutIsGivenUp) {
  limits_.segments_held = 2;
  ASSERT_TRUE(add(1, 1500).ok());  // alone, of any size
  EXPECT_FALSE(add_beside(2, 1).ok());
  EXPECT_EQ(held(), (std::vector<uint64_t>{1}));
  EXPECT_EQ(stats_.segments_given_up.get(), 1u);
  EXPECT_EQ(stats_.points_given_up.get(), 7u);
  ASSERT_TRUE(add(3, 400).ok());
  EXPECT_FALSE(add_beside(4, 601).ok());
  EXPECT_TRUE(add_beside(5, 600).ok());
  EXPECT_EQ(held(), (std::vector<uint64_t>{3, 5}));
  EXPECT_FALSE(add_beside(6, 0).ok());  // the places
  EXPECT_EQ(held(), (std::vector<uint64_t>{3, 5}));
}

TEST_F(OutboxTest, SparesHalfOfItsPlacesAndBytes) {
  limits_.segments_held = 5;
  EXPECT_EQ(outbox_.spare(), 2u);
  ASSERT_TRUE(add(1, 500).ok());
  EXPECT_EQ(outbox_.spare(), 1u);
  ASSERT_TRUE(add(2, 1).ok());
  EXPECT_EQ(outbox_.spare(), 0u);
  outbox_.acknowledge(2);
  EXPECT_EQ(outbox_.spare(), 1u);
}

// A keeper that no penstockd talks to, and a shard that has had late copies for kBuckets.
class KeeperTest : public testing::Test {
 protected:
  explicit KeeperTest(uint64_t bytes_held = 256 << 20, uint64_t counters = 1)
      : bench_(plan_with_copies(bytes_held)), counters_(counters) {
    std::string text;
    for (uint64_t i = 0; i < counters; ++i) absl::StrAppend(&text, "important", i, ":1|c\n");
    for (uint64_t i = 1; i <= kBuckets; ++i) absl::StrAppend(&text, "h:1|h|T", i, "\n");
    bench_.send(text);
  }

  void run_for_an_interval() {
    std::thread shard([&] {
      while (bench_.keeper.segments_sealed.get() == 0) bench_.shards[0]->poll_epoch(bench_.now);
      stop();
    });
    keeper_.run();
    shard.join();
  }
  void stop() { ASSERT_EQ(::kill(::getpid(), SIGTERM), 0); }
  void expect_the_bucket_that_closed() const {
    ASSERT_FALSE(outbox_.held().empty());
    EXPECT_GT(outbox_.held().front().bucket_start, kBucket);
    EXPECT_EQ(outbox_.held().front().samples, counters_);
  }

  const Fd signals_ = sigterm();
  Bench bench_;
  const uint64_t counters_;
  Outbox outbox_{bench_.plan->limits, bench_.keeper};
  Endpoint endpoint_{Fd(), {}, {}, outbox_};
  Keeper keeper_{
      {*bench_.plan, *bench_.sealer, {}, outbox_, endpoint_, bench_.keeper, signals_.get(), [] {}}};
};

// One that is larger than `segment_bytes_held`, and can be held alone.
class LargeBucketTest : public KeeperTest {
 protected:
  LargeBucketTest() : KeeperTest(4096, 500) {}
};

TEST_F(KeeperTest, LateBucketsDoNotPushOutTheOneThatCloses) {
  run_for_an_interval();
  expect_the_bucket_that_closed();
  EXPECT_EQ(bench_.keeper.segments_given_up.get(), 0u);
  EXPECT_EQ(outbox_.held().size(), 1 + Keeper::kLateMax);
  EXPECT_EQ(bench_.keeper.copies_unkept.get(), 0u);
}

TEST_F(KeeperTest, LateBucketsDoNotPushOutTheLastOne) {
  stop();  // a second time, so that it does not wait for penstockd
  EXPECT_EQ(keeper_.finish(), 1 + kHeld / 2);
  expect_the_bucket_that_closed();
  EXPECT_EQ(bench_.keeper.segments_given_up.get(), 0u);
  EXPECT_EQ(bench_.keeper.copies_unkept.get(), kBuckets - kHeld / 2);
  bench_.check_ledger(true);
}

TEST_F(LargeBucketTest, LateBucketsDoNotPushOutTheOneThatCloses) {
  run_for_an_interval();
  expect_the_bucket_that_closed();
  EXPECT_EQ(bench_.keeper.segments_given_up.get(), Keeper::kLateMax);
  EXPECT_EQ(bench_.keeper.samples_given_up.get(), 0u);
}

TEST_F(LargeBucketTest, LateBucketsDoNotPushOutTheLastOne) {
  stop();
  EXPECT_EQ(keeper_.finish(), 1u);
  expect_the_bucket_that_closed();
  EXPECT_EQ(bench_.keeper.samples_given_up.get(), 0u);
  bench_.check_ledger(true);
}

}  // namespace
}  // namespace penstock

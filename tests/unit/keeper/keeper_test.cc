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

std::unique_ptr<Plan> plan_with_copies() {
  auto plan = test_plan();
  plan->interval_s = 1;
  plan->limits.segments_held = kHeld;
  plan->limits.segment_bytes_held = 256 << 20;
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

TEST(Outbox, SparesHalfOfItsPlacesAndBytes) {
  LimitsPlan limits{};
  limits.segments_held = 5;
  limits.segment_bytes_held = 1000;
  KeeperStats stats;
  Outbox outbox(limits, stats);
  EXPECT_EQ(outbox.spare(), 2u);
  const std::vector<std::byte> bytes(500);
  ASSERT_TRUE(outbox.add({1, 0, 0, 0, 0, Fd()}, bytes).ok());
  EXPECT_EQ(outbox.spare(), 1u);
  ASSERT_TRUE(outbox.add({2, 0, 0, 0, 0, Fd()}, std::span(bytes).first(1)).ok());
  EXPECT_EQ(outbox.spare(), 0u);
  outbox.acknowledge(2);
  EXPECT_EQ(outbox.spare(), 1u);
}

// A keeper that no penstockd talks to, and a shard that has had late copies for kBuckets.
class KeeperTest : public testing::Test {
 protected:
  KeeperTest() {
    std::string text = "important:1|c\n";
    for (uint64_t i = 1; i <= kBuckets; ++i) absl::StrAppend(&text, "h:1|h|T", i, "\n");
    bench_.send(text);
  }

  void stop() { ASSERT_EQ(::kill(::getpid(), SIGTERM), 0); }
  void expect_the_bucket_that_closed() const {
    ASSERT_FALSE(outbox_.held().empty());
    EXPECT_GT(outbox_.held().front().bucket_start, kBucket);
    EXPECT_EQ(outbox_.held().front().samples, 1u);
    EXPECT_EQ(bench_.keeper.segments_given_up.get(), 0u);
  }

  const Fd signals_ = sigterm();
  Bench bench_{plan_with_copies()};
  Outbox outbox_{bench_.plan->limits, bench_.keeper};
  Endpoint endpoint_{Fd(), {}, {}, outbox_};
  Keeper keeper_{
      {*bench_.plan, *bench_.sealer, {}, outbox_, endpoint_, bench_.keeper, signals_.get(), [] {}}};
};

TEST_F(KeeperTest, LateBucketsDoNotPushOutTheOneThatCloses) {
  std::thread shard([&] {
    while (bench_.keeper.segments_sealed.get() == 0) bench_.shards[0]->poll_epoch(bench_.now);
    stop();
  });
  keeper_.run();
  shard.join();
  expect_the_bucket_that_closed();
  EXPECT_EQ(outbox_.held().size(), 1 + Keeper::kLateMax);
  EXPECT_EQ(bench_.keeper.copies_unkept.get(), 0u);
}

TEST_F(KeeperTest, LateBucketsDoNotPushOutTheLastOne) {
  stop();  // a second time, so that it does not wait for penstockd
  EXPECT_EQ(keeper_.finish(), 1 + kHeld / 2);
  expect_the_bucket_that_closed();
  EXPECT_EQ(bench_.keeper.copies_unkept.get(), kBuckets - kHeld / 2);
  bench_.check_ledger(true);
}

}  // namespace
}  // namespace penstock

#include "dataplane/core/worker.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstring>
#include <thread>

#include "dataplane/base/strings.h"
#include "dataplane/core/clock.h"
#include "dataplane/core/sealer.h"
#include "tests/support/small_plan.h"

namespace penstock {
namespace {

using namespace std::chrono_literals;

std::unique_ptr<Plan> one_shard() {
  auto plan = small_plan(1);
  finish_plan(*plan);
  return plan;
}

class ShardWorkerTest : public testing::Test {
 protected:
  ShardWorkerTest() { std::memcpy(text_.data(), kLine.data(), kLine.size()); }

  Packet line(uint64_t owner) const {
    Packet p{};
    p.data = text_.data();
    p.owner = owner;
    p.len = kLine.size();
    return p;
  }

  // Pushes until the ring took them all; the consumer must be running.
  void push_all(PacketRing& ring, size_t count) {
    for (size_t i = 0; i < count;) {
      const Packet p = line(i + 1);
      if (ring.push({&p, 1}) == 1) {
        ++i;
        worker_.sleeper().wake();
      } else if (ring.reclaim([](uint64_t) {}) == 0) {
        std::this_thread::yield();
      }
    }
  }

  // Waits, with a deadline, for the shard to have seen `count` packets.
  bool processed(uint64_t count) const {
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (stats_.packets.get() < count) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }

  static constexpr std::string_view kLine = "requests:1|c";
  std::array<uint8_t, 64 + kPacketPadding> text_{};
  std::unique_ptr<Plan> plan_ = one_shard();
  ShardStats stats_;
  ShardWorker worker_{*plan_, 0, stats_, *Sleeper::create()};
  std::atomic<bool> stop_{false};
};

TEST_F(ShardWorkerTest, PollTakesABurstOfEachRing) {
  PacketRing& a = worker_.add_ring(256);
  PacketRing& b = worker_.add_ring(256);
  EXPECT_FALSE(worker_.has_work());
  EXPECT_EQ(worker_.poll(read_clock()), 0u);

  const std::vector<Packet> flood(200, line(1));
  const std::vector<Packet> few(3, line(1));
  ASSERT_EQ(a.push(flood), 200u);
  ASSERT_EQ(b.push(few), 3u);
  EXPECT_TRUE(worker_.has_work());
  const size_t first = worker_.poll(read_clock());
  EXPECT_LT(first, 203u) << "a full ring must not keep the others waiting";
  EXPECT_EQ(b.reclaim([](uint64_t) {}), 3u);
  while (worker_.poll(read_clock()) != 0) {
  }
  EXPECT_FALSE(worker_.has_work());
  EXPECT_EQ(a.reclaim([](uint64_t) {}), 200u);
  EXPECT_EQ(stats_.packets.get(), 203u);
  EXPECT_EQ(stats_.bytes.get(), 203u * kLine.size());
}

// Without packets there is nothing to wait for: it would sleep a step at a time.
TEST_F(ShardWorkerTest, AnIdleShardIsCleanAtOnce) {
  constexpr int kContexts = 100'000;
  auto plan = one_shard();
  plan->limits.contexts = kContexts;
  plan->limits.context_bytes = 16 << 20;
  ShardWorker worker(*plan, 0, stats_, *Sleeper::create());
  for (int i = 0; i < kContexts; ++i) {
    const std::string text = cat("c", i, ":1|c", std::string(kPacketPadding, '\0'));
    Packet packet = line(0);
    packet.data = reinterpret_cast<const uint8_t*>(text.data());
    packet.len = static_cast<uint16_t>(text.size() - kPacketPadding);
    worker.process({&packet, 1}, read_clock());
  }
  KeeperStats keeper;
  Shard* const shard = &worker.shard();
  Sealer sealer(*plan, {&shard, 1}, keeper, 1);
  sealer.begin();
  while (!sealer.ready()) worker.poll(read_clock());
  sealer.seal(1'700'000'000);
  const auto begun = std::chrono::steady_clock::now();
  std::thread thread([&] { worker.run(stop_, IdleMode::kAdaptive, ShardWorker::Cpu::kShared); });
  sealer.begin();  // it flips again once it is clean
  while (!sealer.ready()) std::this_thread::yield();
  // A thousand steps of a millisecond, were it to sleep between them.
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(300));
  stop_.store(true);
  worker.sleeper().wake();
  thread.join();
}

TEST_F(ShardWorkerTest, EveryPacketHasALatency) {
  PacketRing& ring = worker_.add_ring(256);
  Packet late = line(1);
  late.arrival = read_ticks() - 1'000'000;  // 32 ms ago
  ASSERT_EQ(ring.push({&late, 1}), 1u);
  worker_.poll(read_clock());
  Packet own = line(2);
  own.arrival = read_ticks();
  worker_.process({&own, 1}, read_clock());
  uint64_t counted = 0;
  for (const Counter& c : stats_.times.latency) counted += c.get();
  EXPECT_EQ(counted, 2u);
  EXPECT_GE(stats_.times.latency_sum_ns.get(), 32'000'000u);
  EXPECT_LT(stats_.times.latency_sum_ns.get(), 20'000'000'000u);
}

TEST_F(ShardWorkerTest, ThePauseOfASealIsTheLongest) {
  KeeperStats keeper;
  Shard* const shard = &worker_.shard();
  Sealer sealer(*plan_, {&shard, 1}, keeper, 1);
  worker_.poll(read_clock());
  EXPECT_EQ(stats_.times.pause_ns_max.get(), 0u) << "nothing was asked for";
  sealer.begin();
  worker_.poll(read_clock());
  EXPECT_TRUE(sealer.ready());
  const uint64_t flip = stats_.times.pause_ns_max.get();
  EXPECT_GT(flip, 0u);
  sealer.seal(0);
  do worker_.poll(read_clock());
  while (worker_.cleaning());
  EXPECT_GE(stats_.times.pause_ns_max.get(), flip);
}

TEST_F(ShardWorkerTest, StopDrainsTheRings) {
  PacketRing& ring = worker_.add_ring(1024);
  const std::vector<Packet> waiting(1000, line(1));
  ASSERT_EQ(ring.push(waiting), 1000u);
  stop_ = true;
  worker_.run(stop_, IdleMode::kAdaptive);
  EXPECT_EQ(stats_.packets.get(), 1000u);
}

TEST_F(ShardWorkerTest, TwoProducersAndSleep) {
  constexpr size_t kEach = 20'000;
  for (const IdleMode idle : {IdleMode::kAdaptive, IdleMode::kBusy}) {
    const uint64_t before = stats_.packets.get();
    stop_ = false;
    PacketRing& a = worker_.add_ring(64);
    PacketRing& b = worker_.add_ring(64);
    std::thread shard([&] { worker_.run(stop_, idle); });
    std::thread other([&] { push_all(b, kEach); });
    push_all(a, kEach);
    other.join();
    EXPECT_TRUE(processed(before + 2 * kEach));
    stop_ = true;
    worker_.sleeper().wake();
    shard.join();
    EXPECT_EQ(stats_.packets.get(), before + 2 * kEach);
  }
}

// A worker that sleeps is woken by one packet, again and again: were the wake-ups lost, each packet
// would wait for the limit of the sleep, 100 ms, and all of them together past the deadline.
TEST_F(ShardWorkerTest, EveryPacketWakesASleepingWorker) {
  constexpr uint64_t kPackets = 500;
  PacketRing& ring = worker_.add_ring(64);
  uint64_t sent = 0;
  for (const auto cpu : {ShardWorker::Cpu::kOwn, ShardWorker::Cpu::kShared}) {
    stop_ = false;
    std::thread shard([&] { worker_.run(stop_, IdleMode::kAdaptive, cpu); });
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    for (uint64_t i = 0; i < kPackets; ++i) {
      while (!worker_.sleeper().asleep()) std::this_thread::yield();
      push_all(ring, 1);
      ASSERT_TRUE(processed(++sent));
    }
    EXPECT_LT(std::chrono::steady_clock::now(), deadline);
    stop_ = true;
    worker_.sleeper().wake();
    shard.join();
  }
}

}  // namespace
}  // namespace penstock

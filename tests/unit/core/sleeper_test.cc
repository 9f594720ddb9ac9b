#include "dataplane/core/sleeper.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace penstock {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kForever = 30s;  // a lost wake-up shows as a test that takes this long

std::unique_ptr<Sleeper> make_sleeper() {
  auto sleeper = Sleeper::create();
  EXPECT_TRUE(sleeper.ok()) << sleeper.status();
  return *std::move(sleeper);
}

TEST(Sleeper, WaitEndsAtItsTimeout) {
  auto sleeper = make_sleeper();
  sleeper->prepare();
  const auto start = Clock::now();
  sleeper->wait(2ms);
  EXPECT_GE(Clock::now() - start, 2ms);
}

TEST(Sleeper, WakeBetweenPrepareAndWaitIsNotLost) {
  auto sleeper = make_sleeper();
  sleeper->prepare();
  sleeper->wake();
  const auto start = Clock::now();
  sleeper->wait(kForever);
  EXPECT_LT(Clock::now() - start, kForever / 2);
}

TEST(Sleeper, WakeOfOneAwakeWritesNothing) {
  auto sleeper = make_sleeper();
  sleeper->wake();
  sleeper->prepare();
  sleeper->cancel();
  sleeper->wake();
  sleeper->prepare();
  const auto start = Clock::now();
  sleeper->wait(2ms);
  EXPECT_GE(Clock::now() - start, 2ms) << "an earlier wake() left the eventfd readable";
}

TEST(Sleeper, ManyWakesAreOne) {
  auto sleeper = make_sleeper();
  sleeper->prepare();
  for (int i = 0; i < 100; ++i) sleeper->wake();
  sleeper->wait(kForever);
  sleeper->prepare();
  const auto start = Clock::now();
  sleeper->wait(2ms);
  EXPECT_GE(Clock::now() - start, 2ms);
}

// The race the fences are for, many times and without the system calls that would hide it: if the
// owner does not see the item, the waker must have seen the announcement and cleared it.
TEST(Sleeper, EitherSideSeesTheOther) {
  constexpr uint32_t kRounds = 300'000;  // as many of them as 10 s allow
  constexpr uint32_t kOver = UINT32_MAX;
  const auto deadline = Clock::now() + 10s;
  auto sleeper = make_sleeper();
  alignas(128) std::atomic<uint32_t> go{0};
  alignas(128) std::atomic<uint32_t> item{0};
  alignas(128) std::atomic<uint32_t> done{0};
  std::thread waker([&] {
    for (uint32_t round = 1;; ++round) {
      for (int spin = 0; go.load(std::memory_order_acquire) < round; ++spin) {
        if (spin > 1'000) std::this_thread::yield();
      }
      if (go.load(std::memory_order_relaxed) == kOver) return;
      item.store(round, std::memory_order_relaxed);
      sleeper->wake();
      done.store(round, std::memory_order_release);
    }
  });
  uint32_t lost = 0;
  for (uint32_t round = 1; round <= kRounds; ++round) {
    if (round % 1024 == 0 && Clock::now() > deadline) break;
    go.store(round, std::memory_order_release);
    for (std::atomic<uint32_t> delay = round % 128; delay != 0; --delay) {
    }
    sleeper->prepare();
    const bool seen = item.load(std::memory_order_relaxed) == round;
    for (int spin = 0; done.load(std::memory_order_acquire) != round; ++spin) {
      if (spin > 1'000) std::this_thread::yield();
    }
    if (!seen && sleeper->asleep()) ++lost;
    sleeper->cancel();
  }
  go.store(kOver, std::memory_order_release);
  waker.join();
  EXPECT_EQ(lost, 0u);
}

// The same with a real sleep: the consumer sleeps after every item, the producer hands over the
// next one only when the last is taken, so one lost wake-up stops both.
TEST(Sleeper, NoWakeUpIsLost) {
  constexpr uint32_t kItems = 20'000;
  auto sleeper = make_sleeper();
  std::atomic<uint32_t> given{0};
  std::atomic<uint32_t> taken{0};
  const auto start = Clock::now();

  std::thread consumer([&] {
    for (uint32_t have = 0; have < kItems;) {
      if (given.load(std::memory_order_acquire) != have) {
        taken.store(++have, std::memory_order_release);
        continue;
      }
      sleeper->prepare();
      if (given.load(std::memory_order_acquire) != have) {
        sleeper->cancel();
      } else {
        sleeper->wait(kForever);
      }
    }
  });
  for (uint32_t i = 1; i <= kItems; ++i) {
    given.store(i, std::memory_order_release);
    sleeper->wake();
    while (taken.load(std::memory_order_acquire) != i) std::this_thread::yield();
  }
  consumer.join();
  EXPECT_LT(Clock::now() - start, kForever);
}

}  // namespace
}  // namespace penstock

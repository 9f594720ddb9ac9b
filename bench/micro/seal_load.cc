// Whether sealing makes a shard lose packets.
//
// First the shard takes as many packets as it can, with a seal in each interval: how its pace after
// the flip, while the keeper seals and while the shard cleans compares with its pace without. As
// long as it is above the share of the load, a seal costs no packet, but for stops.
//
// Then that share of the peak rate, in intervals with and without a seal in turn. The shard's
// thread takes packets from a NIC that is only arithmetic: so many are due at this moment, and what
// does not fit into its receive ring is missed. So nothing but the sealing (keeper on another core,
// cleaning between bursts) and the machine itself can cause a loss.
//
// A pass of the thread's loop takes some 50 us. One of more than a millisecond is a stop of the
// whole thread: the machine's, or the kernel's when memory goes back to it. What is missed from
// there until the ring has been empty again is counted apart; intervals with and without a seal
// tell whose the stops are.
//
//   bench_seal_load [share of the peak rate, percent] [contexts] [intervals] [descriptors]
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <thread>

#include "bench/micro/traffic.h"
#include "dataplane/api/stats.h"
#include "dataplane/core/clock.h"
#include "dataplane/core/sealer.h"
#include "dataplane/core/shard.h"

namespace penstock {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

uint64_t descriptors = 1024;  // of the ring; penstock.ports.descriptors, whose default that is
constexpr uint64_t kBurst = 32;
constexpr Seconds kInterval{3};
constexpr Seconds kStop{1e-3};
constexpr size_t kSteps = 300;       // of 10 ms
constexpr size_t kSealStep = 50;     // when a seal begins
constexpr size_t kAfterFlip = 6;     // most samples are the first of their context
constexpr size_t kSealedStep = 150;  // sealed and cleaned by then

void pin(int cpu) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(cpu, &cpus);
  pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus);
}

// One interval as the shard's thread saw it; it writes, the main thread reads once it has ended.
struct Interval {
  double rate = 0;  // packets a second; 0: as many as it can
  uint64_t packets = 0;
  uint64_t missed = 0;   // all
  uint64_t deepest = 0;  // of the receive ring, but for stops
  uint64_t stops = 0;
  uint64_t missed_by_stops = 0;
  std::array<uint64_t, kSteps> steps{};  // packets taken, by the time
};

// What the NIC's receive ring holds at this time, in packets; what it has no room for is missed.
uint64_t waiting_at(Seconds at, bool after_stop, Interval& interval) {
  const uint64_t due = static_cast<uint64_t>(at.count() * interval.rate);
  const uint64_t waiting = due - interval.packets - interval.missed;
  if (!after_stop) interval.deepest = std::max(interval.deepest, waiting);
  if (waiting <= descriptors) return waiting;
  interval.missed += waiting - descriptors;
  if (after_stop) interval.missed_by_stops += waiting - descriptors;
  return descriptors;
}

// The shard's thread for one interval.
void receive(Shard& shard, const std::vector<Packet>& packets, Interval& interval) {
  size_t next = 0;
  bool after_stop = false;
  const auto start = Clock::now();
  Seconds last{0};
  for (;;) {
    const Seconds at = Clock::now() - start;
    if (at > kInterval) break;
    if (at - last > kStop) {
      ++interval.stops;
      after_stop = true;
    }
    last = at;
    const uint64_t waiting = interval.rate == 0 ? kBurst : waiting_at(at, after_stop, interval);
    if (waiting < kBurst) after_stop = false;
    const uint64_t burst = std::min({waiting, kBurst, packets.size() - next});
    const Now now = read_clock();
    if (burst != 0) shard.process({&packets[next], burst}, now);
    shard.poll_epoch(now);
    interval.packets += burst;
    interval.steps[std::min<size_t>(kSteps * (at / kInterval), kSteps - 1)] += burst;
    next = next + burst == packets.size() ? 0 : next + burst;
  }
}

// Runs one interval, with a seal in it or not; returns the keeper's wall time for the seal, ms.
double run(Shard& shard, Sealer& sealer, const Traffic& traffic, Interval& interval, bool seal) {
  std::thread thread([&] {
    pin(1);
    receive(shard, traffic.packets, interval);
  });
  double ms = 0;
  if (seal) {
    std::this_thread::sleep_for(kInterval * kSealStep / kSteps);
    const auto start = Clock::now();
    sealer.begin();
    while (!sealer.ready()) std::this_thread::yield();
    sealer.seal(1'700'000'000);
    ms = Seconds(Clock::now() - start).count() * 1e3;
  }
  thread.join();
  return ms;
}

double median_step(const Interval& interval, size_t begin, size_t end) {
  std::vector<uint64_t> steps(interval.steps.begin() + begin, interval.steps.begin() + end);
  std::ranges::nth_element(steps, steps.begin() + steps.size() / 2);
  return static_cast<double>(steps[steps.size() / 2]);
}

// Packets a second in intervals with a seal, the median of them.
double peak_rate(Shard& shard, Sealer& sealer, const Traffic& traffic, int intervals) {
  // The memory of both generations becomes resident, for as many samples as two intervals bring.
  for (int warm = 0; warm < 4; ++warm) {
    Interval interval;
    run(shard, sealer, traffic, interval, warm % 2 == 1);
  }
  std::printf("%-12s %22s %22s\n", "packets/s", "pace after the flip", "sealing and cleaning");
  std::vector<double> rates;
  for (int i = 0; i < intervals; ++i) {
    Interval interval;
    run(shard, sealer, traffic, interval, /*seal=*/true);
    const double alone = median_step(interval, kSealedStep, kSteps);
    rates.push_back(static_cast<double>(interval.packets) / kInterval.count());
    std::printf("%-12.0f %22.2f %22.2f\n", rates.back(),
                median_step(interval, kSealStep, kSealStep + kAfterFlip) / alone,
                median_step(interval, kSealStep + kAfterFlip, kSealStep + 70) / alone);
  }
  std::ranges::nth_element(rates, rates.begin() + rates.size() / 2);
  return rates[rates.size() / 2];
}

void measure(double share, size_t contexts, int intervals) {
  Traffic traffic({.tagged = true, .mixed = true, .distinct = contexts});
  std::mt19937_64 random{42};  // NOLINT(cert-msc51-cpp): the same order in every run
  std::ranges::shuffle(traffic.packets, random);
  const std::unique_ptr<Plan> plan = bench_plan();
  ShardStats stats;
  KeeperStats keeper;
  Shard shard(*plan, 0, stats);
  const std::array<Shard*, 1> shards = {&shard};
  Sealer sealer(*plan, shards, keeper, 1);
  pin(0);

  std::printf("%zu contexts\n", contexts);
  const double rate = peak_rate(shard, sealer, traffic, intervals) * share;
  std::printf("\noffered: %.0f packets/s, %.2f of the peak\n", rate, share);
  std::printf("%-8s %10s %8s %12s %6s %15s %8s %8s\n", "interval", "packets", "missed",
              "deepest ring", "stops", "missed by them", "rows", "seal ms");
  for (int i = 0; i < 2 * intervals; ++i) {
    const bool seal = i % 2 == 1;
    Interval interval;
    interval.rate = rate;
    const double ms = run(shard, sealer, traffic, interval, seal);
    std::printf("%-8s %10lu %8lu %12lu %6lu %15lu %8lu %8.0f\n", seal ? "sealing" : "quiet",
                interval.packets, interval.missed, interval.deepest, interval.stops,
                interval.missed_by_stops, seal ? sealer.rows() : 0, ms);
  }
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) {
  const double percent = argc > 1 ? std::strtod(argv[1], nullptr) : 80;
  const size_t contexts = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1'000'000;
  const int intervals = argc > 3 ? std::atoi(argv[3]) : 5;
  if (argc > 4) penstock::descriptors = std::strtoull(argv[4], nullptr, 10);
  penstock::measure(percent / 100, contexts, intervals);
}

// Whether sealing makes a shard lose packets. The shard's thread takes packets from a NIC that is
// only arithmetic: so many are due at this moment, and what does not fit into its receive ring is
// missed. So nothing but the sealing (keeper on another core, cleaning between bursts) and the
// machine itself can cause a loss. Intervals with and without a seal take turns; the peak rate is
// that of an interval with one.
//
//   bench_seal_load [share of the peak rate, percent] [contexts] [intervals] [descriptors]
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
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

void pin(int cpu) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(cpu, &cpus);
  pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus);
}

// One interval as the shard's thread saw it; it writes, the main thread reads once `done` is set.
struct Interval {
  double rate = 0;  // packets a second; 0: as many as it can
  std::atomic<bool> done{false};
  uint64_t packets = 0;
  uint64_t missed = 0;
  uint64_t deepest = 0;  // of the receive ring
};

// The shard's thread for one interval.
void receive(Shard& shard, const std::vector<Packet>& packets, Interval& interval) {
  size_t next = 0;
  const auto start = Clock::now();
  for (;;) {
    const Seconds at = Clock::now() - start;
    if (at > kInterval) break;
    uint64_t waiting = kBurst;
    if (interval.rate != 0) {
      waiting =
          static_cast<uint64_t>(at.count() * interval.rate) - interval.packets - interval.missed;
      interval.deepest = std::max(interval.deepest, waiting);
      if (waiting > descriptors) interval.missed += waiting - descriptors;
    }
    const uint64_t burst = std::min({waiting, kBurst, packets.size() - next});
    const Now now = read_clock();
    if (burst != 0) shard.process({&packets[next], burst}, now);
    shard.poll_epoch(now);
    interval.packets += burst;
    next = next + burst == packets.size() ? 0 : next + burst;
  }
  interval.done.store(true, std::memory_order_release);
}

// Runs one interval, with a seal in it or not; returns the keeper's wall time for the seal, ms.
double run(Shard& shard, Sealer& sealer, const Traffic& traffic, Interval& interval, bool seal) {
  std::thread thread([&] {
    pin(1);
    receive(shard, traffic.packets, interval);
  });
  double ms = 0;
  if (seal) {
    std::this_thread::sleep_for(kInterval / 6);
    const auto start = Clock::now();
    sealer.begin();
    while (!sealer.ready()) std::this_thread::yield();
    sealer.seal(1'700'000'000);
    ms = Seconds(Clock::now() - start).count() * 1e3;
  }
  thread.join();
  return ms;
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

  Interval warm, peak;
  run(shard, sealer, traffic, warm, /*seal=*/true);
  run(shard, sealer, traffic, peak, /*seal=*/true);
  const double rate = static_cast<double>(peak.packets) / kInterval.count() * share;
  std::printf("%zu contexts, peak %.0f packets/s, offered %.0f\n", contexts, rate / share, rate);
  std::printf("%-8s %10s %8s %12s %8s %8s\n", "interval", "packets", "missed", "deepest ring",
              "rows", "seal ms");
  for (int i = 0; i < 2 * intervals; ++i) {
    const bool seal = i % 2 == 1;
    Interval interval;
    interval.rate = rate;
    const double ms = run(shard, sealer, traffic, interval, seal);
    std::printf("%-8s %10lu %8lu %12lu %8lu %8.0f\n", seal ? "sealing" : "quiet", interval.packets,
                interval.missed, interval.deepest, seal ? sealer.rows() : 0, ms);
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

// Whether sealing makes a shard lose packets.
//
// First the shard takes as many packets as it can, with a seal in each interval: how its pace after
// the flip, while the keeper seals and while the shard cleans compares with its pace before. As
// long as it is above the share of the load, a seal costs no packet.
//
// Then that share of the peak rate, in intervals of three kinds in turn: nothing else runs; the
// other core computes for as long as a seal takes; the keeper seals on the other core. The shard's
// thread takes packets from a NIC that is only arithmetic: so many are due at this moment, and what
// does not fit into its receive ring is missed. What is missed comes from the sealing (keeper,
// cleaning between bursts) or from the machine, which may stop or slow a core at any time: the
// seconds without a seal and the busy intervals tell how often it does.
//
// The shard's thread has real-time priority, if it may, so that the kernel's own threads run on the
// other core. The keeper's has not, as in the data plane.
//
//   bench_seal_load [share of the peak rate, percent] [contexts] [intervals] [descriptors]
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "bench/micro/traffic.h"
#include "dataplane/api/segment.h"
#include "dataplane/api/stats.h"
#include "dataplane/core/clock.h"
#include "dataplane/core/sealer.h"
#include "dataplane/core/shard.h"
#include "dataplane/keeper/outbox.h"

namespace penstock {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

uint64_t descriptors = 1024;  // of the ring; penstock.ports.descriptors, whose default that is
constexpr uint64_t kBurst = 32;
constexpr int64_t kBucket = 1'700'000'000;
constexpr Seconds kInterval{3};
constexpr Seconds kStop{1e-3};     // a pass of the thread's loop takes some 50 us
constexpr size_t kSteps = 300;     // of 10 ms
constexpr size_t kSteady = 100;    // every context has been seen
constexpr size_t kSealStep = 200;  // when a seal begins
constexpr size_t kAfterFlip = 6;   // most samples are the first of their context
constexpr size_t kCleaned = 270;   // sealed and cleaned by then

enum class Beside : uint8_t { kNothing, kBusy, kSeal };
constexpr std::array kBeside = {"nothing", "busy", "seal"};

// The first two seconds of an interval, or the last, in which the seal is.
struct Part {
  uint64_t missed = 0;
  uint64_t stops = 0;    // passes of more than kStop
  uint64_t deepest = 0;  // of the receive ring
  void add(const Part& other) {
    missed += other.missed;
    stops += other.stops;
    deepest = std::max(deepest, other.deepest);
  }
};

// One interval as the shard's thread saw it; it writes, the main thread reads once it has ended.
struct Interval {
  double rate = 0;  // packets a second; 0: as many as it can
  uint64_t packets = 0;
  uint64_t missed = 0;
  Part before, after;                    // the seal begins
  std::array<uint64_t, kSteps> steps{};  // packets taken, by the time
};

void pin(int cpu) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(cpu, &cpus);
  pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus);
}

void ask_for_real_time() {
  const sched_param priority{.sched_priority = 20};
  const int error = pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority);
  static bool told = false;
  if (error != 0 && !std::exchange(told, true))
    std::fprintf(stderr, "no real-time priority (%s): others may stop the shard\n",
                 std::strerror(error));
}

size_t step_at(Seconds at) { return std::min<size_t>(kSteps * (at / kInterval), kSteps - 1); }

// What the NIC's receive ring holds at this time, in packets; what it has no room for is missed.
uint64_t waiting_at(Seconds at, Interval& interval, Part& part) {
  if (interval.rate == 0) return kBurst;
  const uint64_t due = static_cast<uint64_t>(at.count() * interval.rate);
  const uint64_t waiting = due - interval.packets - interval.missed;
  part.deepest = std::max(part.deepest, waiting);
  if (waiting <= descriptors) return waiting;
  interval.missed += waiting - descriptors;
  part.missed += waiting - descriptors;
  return descriptors;
}

// The shard's thread for one interval.
void receive(Shard& shard, const std::vector<Packet>& packets, Interval& interval) {
  size_t next = 0;
  const auto start = Clock::now();
  Seconds last{0};
  for (;;) {
    const Seconds at = Clock::now() - start;
    if (at > kInterval) break;
    const size_t step = step_at(at);
    Part& part = step < kSealStep ? interval.before : interval.after;
    if (at - last > kStop) ++part.stops;
    last = at;
    const uint64_t waiting = waiting_at(at, interval, part);
    const uint64_t burst = std::min({waiting, kBurst, packets.size() - next});
    const Now now = read_clock();
    if (burst != 0) shard.process({&packets[next], burst}, now);
    shard.poll_epoch(now);
    interval.packets += burst;
    interval.steps[step] += burst;
    next = next + burst == packets.size() ? 0 : next + burst;
  }
}

double ms_since(Clock::time_point start) { return Seconds(Clock::now() - start).count() * 1e3; }

[[noreturn]] void fail(const absl::Status& status) {
  std::fprintf(stderr, "bench_seal_load: %s\n", status.ToString().c_str());
  std::exit(1);
}

struct Bench {
  explicit Bench(size_t contexts) : traffic({.tagged = true, .mixed = true, .distinct = contexts}) {
    std::mt19937_64 random{42};  // NOLINT(cert-msc51-cpp): the same order in every run
    std::ranges::shuffle(traffic.packets, random);
  }

  void empty();
  void seal();
  void run(Interval& interval, Beside beside);
  double peak_rate(int intervals);
  void at_rate(double rate, int intervals);

  Traffic traffic;
  const std::unique_ptr<Plan> plan = bench_plan();
  ShardStats stats;
  KeeperStats keeper;
  Shard shard{*plan, 0, stats};
  const std::array<Shard*, 1> shards = {&shard};
  Sealer sealer{*plan, shards, keeper, 1};
  Outbox outbox{plan->limits, keeper};
  double seal_ms = 0;  // wall time of the last seal in an interval
};

// Every interval begins with no samples.
void Bench::empty() {
  const auto settle = [&] {
    while (shard.poll_epoch(read_clock())) {
    }
  };
  sealer.begin();
  settle();
  sealer.seal(kBucket);
  settle();
}

// All that the keeper does at the end of a bucket (Keeper::seal), until penstockd has the Segment.
void Bench::seal() {
  sealer.begin();
  while (!sealer.ready()) std::this_thread::yield();
  const std::vector<std::byte> bytes = sealer.seal(kBucket);
  const absl::StatusOr<segment::Reader> reader = segment::Reader::open(bytes);
  if (!reader.ok()) fail(reader.status());
  const segment::Meta& meta = reader->meta();
  const absl::Status held = outbox.add(
      {meta.sequence, meta.bucket_start, reader->rows(), meta.samples, bytes.size(), Fd()}, bytes);
  if (!held.ok()) fail(held);
  outbox.acknowledge(meta.sequence);
}

void compute_for(double ms) {
  const auto start = Clock::now();
  std::mt19937_64 random{1};  // NOLINT(cert-msc51-cpp)
  uint64_t sum = 0;
  while (ms_since(start) < ms) {
    for (int i = 0; i < 10'000; ++i) sum += random();
  }
  asm volatile("" ::"r"(sum));  // used, for all the compiler knows
}

void Bench::run(Interval& interval, Beside beside) {
  empty();
  std::thread thread([&] {
    pin(1);
    ask_for_real_time();
    receive(shard, traffic.packets, interval);
  });
  std::this_thread::sleep_for(kInterval * kSealStep / kSteps);
  if (beside == Beside::kBusy) compute_for(seal_ms);
  if (beside == Beside::kSeal) {
    const auto start = Clock::now();
    seal();
    seal_ms = ms_since(start);
  }
  thread.join();
}

double median_step(const Interval& interval, size_t begin, size_t end) {
  std::vector<uint64_t> steps(interval.steps.begin() + begin, interval.steps.begin() + end);
  std::ranges::nth_element(steps, steps.begin() + steps.size() / 2);
  return static_cast<double>(steps[steps.size() / 2]);
}

// Packets a second in intervals with a seal, the median of them.
double Bench::peak_rate(int intervals) {
  for (int warm = 0; warm < 4; ++warm) {  // the memory of both generations becomes resident
    Interval interval;
    run(interval, Beside::kNothing);
  }
  std::printf("%-12s %22s %22s %8s\n", "packets/s", "pace after the flip", "sealing and cleaning",
              "seal ms");
  std::vector<double> rates;
  for (int i = 0; i < intervals; ++i) {
    Interval interval;
    run(interval, Beside::kSeal);
    const double alone = median_step(interval, kSteady, kSealStep);
    rates.push_back(static_cast<double>(interval.packets) / kInterval.count());
    std::printf("%-12.0f %22.2f %22.2f %8.0f\n", rates.back(),
                median_step(interval, kSealStep, kSealStep + kAfterFlip) / alone,
                median_step(interval, kSealStep + kAfterFlip, kCleaned) / alone, seal_ms);
  }
  std::ranges::nth_element(rates, rates.begin() + rates.size() / 2);
  return rates[rates.size() / 2];
}

void Bench::at_rate(double rate, int intervals) {
  constexpr const char* kRow = "%-9s %10lu | %8lu %6lu %8lu | %8lu %6lu %8lu\n";
  std::printf("%-9s %10s | %-24s | %-24s\n", "", "", "  two seconds before it",
              "  second of the seal");
  std::printf("%-9s %10s | %8s %6s %8s | %8s %6s %8s\n", "beside", "packets", "missed", "stops",
              "deepest", "missed", "stops", "deepest");
  std::array<Interval, kBeside.size()> sums;
  for (size_t i = 0; i < kBeside.size() * static_cast<size_t>(intervals); ++i) {
    const size_t beside = i % kBeside.size();
    Interval interval;
    interval.rate = rate;
    run(interval, static_cast<Beside>(beside));
    const auto& [before, after] = std::tie(interval.before, interval.after);
    std::printf(kRow, kBeside[beside], interval.packets, before.missed, before.stops,
                before.deepest, after.missed, after.stops, after.deepest);
    sums[beside].packets += interval.packets;
    sums[beside].before.add(before);
    sums[beside].after.add(after);
  }
  std::printf("all of a kind:\n");
  for (size_t i = 0; i < sums.size(); ++i) {
    const auto& [before, after] = std::tie(sums[i].before, sums[i].after);
    std::printf(kRow, kBeside[i], sums[i].packets, before.missed, before.stops, before.deepest,
                after.missed, after.stops, after.deepest);
  }
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) {
  const double percent = argc > 1 ? std::strtod(argv[1], nullptr) : 80;
  const size_t contexts = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1'000'000;
  const int intervals = argc > 3 ? std::atoi(argv[3]) : 5;
  if (argc > 4) penstock::descriptors = std::strtoull(argv[4], nullptr, 10);
  penstock::pin(0);
  penstock::Bench bench(contexts);
  std::printf("%zu contexts\n", contexts);
  const double rate = bench.peak_rate(intervals) * percent / 100;
  std::printf("\noffered: %.0f packets/s, %.2f of the peak\n", rate, percent / 100);
  bench.at_rate(rate, intervals);
  std::printf("rows of the last Segment: %lu\n", bench.sealer.rows());
}

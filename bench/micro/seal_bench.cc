// What sealing an interval costs the keeper, and how long it keeps a shard.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <memory>
#include <random>
#include <vector>

#include "bench/micro/traffic.h"
#include "dataplane/api/stats.h"
#include "dataplane/core/sealer.h"
#include "dataplane/core/shard.h"

namespace penstock {
namespace {

constexpr Now kNow{1'700'000'000'000};

// CPU time of the thread: what else runs on the machine does not count.
double thread_us() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) / 1e3;
}

double wall_us() {
  const std::chrono::duration<double, std::micro> t =
      std::chrono::steady_clock::now().time_since_epoch();
  return t.count();
}

// How long single calls took, microseconds: the lesser of both clocks, as the one counts what else
// runs on the machine, and the other the system call that reads it.
class Times {
 public:
  template <class Fn>
  auto of(const Fn& fn) {
    const double thread = thread_us();
    const double wall = wall_us();
    const auto result = fn();
    const double spent = wall_us() - wall;
    us_.push_back(std::min(spent, thread_us() - thread));
    return result;
  }
  double quantile(double q) {
    if (us_.empty()) return 0;
    std::ranges::sort(us_);
    return us_[static_cast<size_t>(q * static_cast<double>(us_.size() - 1))];
  }

 private:
  std::vector<double> us_;
};

// Shards that all get the same traffic, the sealer, and how long each call kept a shard.
struct Setup {
  explicit Setup(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      stats.push_back(std::make_unique<ShardStats>());
      shards.push_back(std::make_unique<Shard>(*plan, static_cast<uint16_t>(i), *stats.back()));
      pointers.push_back(shards.back().get());
    }
    sealer = std::make_unique<Sealer>(*plan, pointers, keeper, 1);
  }
  // Packets in another order each time, so that ids are not touched as they lie.
  void receive(Traffic& traffic) {
    std::ranges::shuffle(traffic.packets, random);
    for (Shard* shard : pointers) {
      for (const Packet& p : traffic.packets) shard->process({&p, 1}, kNow);
    }
  }
  void flip() {
    sealer->begin();
    for (Shard* shard : pointers) flips.of([&] { return shard->poll_epoch(kNow); });
  }
  void clean() {
    for (Shard* shard : pointers) {
      while (steps.of([&] { return shard->poll_epoch(kNow); })) {
      }
    }
  }

  std::unique_ptr<Plan> plan = bench_plan();
  std::mt19937_64 random{42};  // NOLINT(cert-msc51-cpp): the same order in every run
  std::vector<std::unique_ptr<ShardStats>> stats;
  std::vector<std::unique_ptr<Shard>> shards;
  std::vector<Shard*> pointers;
  KeeperStats keeper;
  std::unique_ptr<Sealer> sealer;
  Times flips, steps;
};

// The keeper's work for one interval in which every context was active. A shard is kept by the
// flip, once, and by each step of giving back what was sealed.
void seal(benchmark::State& state, bool mixed) {
  Traffic traffic(
      {.tagged = true, .mixed = mixed, .distinct = static_cast<size_t>(state.range(0))});
  Setup setup(static_cast<size_t>(state.range(1)));
  uint64_t bytes = 0;
  for (auto _ : state) {
    state.PauseTiming();
    setup.receive(traffic);
    setup.flip();
    state.ResumeTiming();
    bytes = setup.sealer->seal(1'700'000'000).size();
    state.PauseTiming();
    setup.clean();
    state.ResumeTiming();
  }
  state.counters["rows"] = static_cast<double>(setup.sealer->rows());
  state.counters["MB"] = static_cast<double>(bytes) / 1e6;
  state.counters["flip_us_max"] = setup.flips.quantile(1);
  state.counters["step_us_p50"] = setup.steps.quantile(0.5);
  state.counters["step_us_p99"] = setup.steps.quantile(0.99);
  state.counters["step_us_p99.9"] = setup.steps.quantile(0.999);
  state.counters["step_us_max"] = setup.steps.quantile(1);
}
void counters(benchmark::State& state) { seal(state, false); }
void typical(benchmark::State& state) { seal(state, true); }

void sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->Unit(benchmark::kMillisecond)->Iterations(8);
  for (const int64_t shards : {1, 2}) {
    for (const int64_t contexts : {10'000, 250'000, 1'000'000}) benchmark->Args({contexts, shards});
  }
}
BENCHMARK(counters)->Apply(sizes);
BENCHMARK(typical)->Apply(sizes);

}  // namespace
}  // namespace penstock

BENCHMARK_MAIN();

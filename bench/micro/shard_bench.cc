// Lines and packets per second of one shard, parse included.
#include <benchmark/benchmark.h>

#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/micro/traffic.h"
#include "dataplane/api/plan.h"
#include "dataplane/api/stats.h"
#include "dataplane/core/enrich.h"
#include "dataplane/core/shard.h"
#include "tests/support/mapper_plan.h"

namespace penstock {
namespace {

void run(benchmark::State& state, const Traffic& traffic,
         const std::unique_ptr<Plan>& plan = bench_plan()) {
  auto stats = std::make_unique<ShardStats>();
  Shard shard(*plan, 0, *stats);
  const std::span<const Packet> all(traffic.packets);
  constexpr size_t kBurst = 32;
  const Now now{1'700'000'000'000};
  const auto pass = [&](size_t at) {
    shard.process(all.subspan(at, std::min(kBurst, all.size() - at)), now);
    at += kBurst;
    return at < all.size() ? at : 0;
  };
  for (size_t at = pass(0); at != 0;) at = pass(at);
  const uint64_t lines = stats->lines.get();
  const uint64_t packets = stats->packets.get();
  size_t at = 0;
  for (auto _ : state) at = pass(at);
  const auto done = static_cast<double>(stats->lines.get() - lines);
  state.counters["lines/s"] = benchmark::Counter(done, benchmark::Counter::kIsRate);
  state.counters["packets/s"] = benchmark::Counter(
      static_cast<double>(stats->packets.get() - packets), benchmark::Counter::kIsRate);
  state.counters["ns/line"] =
      benchmark::Counter(done / 1e9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

// One line a packet.
void small(benchmark::State& state) {
  run(state, Traffic({.tagged = false, .mixed = false, .distinct = 1000, .packet_bytes = 1}));
}
void untagged(benchmark::State& state) {
  const auto distinct = static_cast<size_t>(state.range(0));
  run(state, Traffic({.tagged = false, .mixed = false, .distinct = distinct}));
}
void tagged(benchmark::State& state) {
  const auto distinct = static_cast<size_t>(state.range(0));
  run(state, Traffic({.tagged = true, .mixed = false, .distinct = distinct}));
}
void tagged_mixed(benchmark::State& state) {
  const auto distinct = static_cast<size_t>(state.range(0));
  run(state, Traffic({.tagged = true, .mixed = true, .distinct = distinct}));
}

// Names as Airflow sends them, without and with its profile of twenty mappings: every line is known
// to the memo, so the mapper never runs.
void airflow(benchmark::State& state) {
  static constexpr const char* kNames[] = {
      "airflow.dag.etl_%.load.duration:12.5|ms", "airflow.ti.finish.etl_%.load.success:1|c",
      "airflow.pool.open_slots.pool_%:16|g", "airflow.operator_successes_Operator%:1|c",
      "airflow.dagrun.duration.success.etl_%:33.25|ms"};
  std::vector<std::string> texts;
  for (size_t i = 0; i < 3000;) {
    std::string text;
    for (size_t k = 0; k < 12; ++k, ++i) {
      std::string name = kNames[i % std::size(kNames)];
      name.replace(name.find('%'), 1, std::to_string(i * 7919 % 1000));
      text += name + "|#env:production,service:airflow\n";
    }
    texts.push_back(text + std::string(simd::kPadding, '\0'));
  }
  auto plan = bench_plan();
  if (state.range(0) != 0) add_airflow_profile(*plan);
  run(state, Traffic(std::move(texts)), plan);
}

// What a line costs that the memo does not know: the enricher alone, with and without the profile.
void airflow_unknown(benchmark::State& state) {
  auto plan = bench_plan();
  if (state.range(0) != 0) add_airflow_profile(*plan);
  Enricher enricher(*plan);
  static constexpr std::string_view kNames[] = {
      "airflow.dag.etl.load.duration", "airflow.ti.finish.etl.load.success",
      "airflow.pool.open_slots.pool", "airflow.executor.running_tasks"};
  size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        enricher.metric(kNames[i++ % std::size(kNames)], "env:production", true, {}).name.data());
  }
}

BENCHMARK(small);
BENCHMARK(untagged)->Arg(1000)->Arg(10'000);
BENCHMARK(tagged)->Arg(10'000)->Arg(1'000'000);
BENCHMARK(tagged_mixed)->Arg(1000)->Arg(10'000)->Arg(100'000)->Arg(1'000'000)->Arg(4'000'000);
BENCHMARK(airflow)->Arg(0)->Arg(20);
BENCHMARK(airflow_unknown)->Arg(0)->Arg(20);

}  // namespace
}  // namespace penstock

BENCHMARK_MAIN();

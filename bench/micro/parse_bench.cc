// What a line costs to split and parse, for each instruction set this CPU has, beside the cost of
// only finding its end (`count_newlines`: memchr over the same bytes) in the same run.
#include <benchmark/benchmark.h>

#include <cstring>
#include <string>
#include <vector>

#include "bench/micro/corpus.h"
#include "parsers/simd/kernel.h"

namespace penstock {
namespace {

using dogstatsd::Line;
using dogstatsd::Metric;
using dogstatsd::Reason;

// The packets, once per iteration.
template <class Fn>
void over(benchmark::State& state, const Corpus& corpus, Fn&& fn) {
  for (auto _ : state) {
    for (const std::string& packet : corpus.packets) {
      fn(packet.data(), packet.size() - simd::kPadding);
    }
  }
  const auto lines = static_cast<double>(corpus.lines);
  const auto done = static_cast<double>(state.iterations()) * lines;
  state.counters["ns/line"] =
      benchmark::Counter(done / 1e9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["lines"] = lines;
  state.counters["bytes/line"] = static_cast<double>(corpus.bytes) / lines;
}

void count_newlines(benchmark::State& state, const Corpus& corpus) {
  over(state, corpus, [](const char* at, size_t size) {
    size_t lines = 0;
    const char* const end = at + size;
    while (at != end) {
      const void* newline = std::memchr(at, '\n', static_cast<size_t>(end - at));
      if (newline == nullptr) break;
      at = static_cast<const char*>(newline) + 1;
      ++lines;
    }
    benchmark::DoNotOptimize(lines);
  });
}

constexpr size_t kBatch = 64;
constexpr size_t kNumbers = 1400;

template <class Fn>
void each_line(const simd::Kernel& kernel, const char* data, size_t size, Fn&& fn) {
  Line lines[kBatch];
  for (size_t at = 0; at < size;) {
    const size_t found = kernel.split(data, size, at, lines, kBatch);
    for (size_t i = 0; i < found; ++i) fn(lines[i]);
  }
}

void split(benchmark::State& state, const Corpus& corpus, const simd::Kernel& kernel) {
  over(state, corpus, [&](const char* data, size_t size) {
    each_line(kernel, data, size,
              [](const Line& line) { benchmark::DoNotOptimize(line.name_size); });
  });
}

// What a line costs that the memo knows, less the memo.
void split_and_values(benchmark::State& state, const Corpus& corpus, const simd::Kernel& kernel) {
  std::vector<double> scratch(kNumbers);
  over(state, corpus, [&](const char* data, size_t size) {
    each_line(kernel, data, size, [&](const Line& line) {
      size_t count = 0;
      benchmark::DoNotOptimize(kernel.parse_values(line.value(), scratch, count));
    });
  });
}

void split_and_parse(benchmark::State& state, const Corpus& corpus, const simd::Kernel& kernel) {
  std::vector<double> scratch(kNumbers);
  Metric metric;
  over(state, corpus, [&](const char* data, size_t size) {
    each_line(kernel, data, size, [&](const Line& line) {
      benchmark::DoNotOptimize(kernel.parse_metric(line, {}, scratch, metric));
      benchmark::DoNotOptimize(metric.values);
    });
  });
}

void add(const std::string& name, const Corpus& corpus) {
  benchmark::RegisterBenchmark(
      (name + "/count_newlines").c_str(),
      [&corpus](benchmark::State& state) { count_newlines(state, corpus); });
  for (const simd::Kernel* kernel : simd::runnable()) {
    const std::string variant(simd::variant_name(kernel->variant));
    const auto with = [&](const char* what, auto fn) {
      benchmark::RegisterBenchmark(
          (name + "/" + what + "/" + variant).c_str(),
          [fn, &corpus, kernel](benchmark::State& state) { fn(state, corpus, *kernel); });
    };
    with("split", &split);
    with("split_and_values", &split_and_values);
    with("split_and_parse", &split_and_parse);
  }
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  const penstock::Corpus tagged({.tagged = true, .mixed = true, .distinct = 10'000});
  const penstock::Corpus untagged({.tagged = false, .mixed = true, .distinct = 10'000});
  penstock::add("tagged", tagged);
  penstock::add("untagged", untagged);
  benchmark::RunSpecifiedBenchmarks();
}

// What a line costs to split and parse, for each instruction set this CPU has, beside the cost of
// only finding its end (`count_newlines`: memchr over the same bytes) in the same run.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "parsers/simd/kernel.h"

namespace penstock {
namespace {

using dogstatsd::Line;
using dogstatsd::Metric;
using dogstatsd::Reason;

constexpr size_t kDistinct = 10'000;
constexpr size_t kPacket = 1400;
constexpr size_t kPackets = 2'000;  // all lines some times over; larger than the second cache

struct Corpus {
  std::vector<std::string> packets;  // each with kPadding bytes more
  size_t lines = 0;
};

std::string value(std::mt19937_64& random) {
  const uint64_t v = random() % 1'000'000;
  const std::string whole = std::to_string(v % (random() % 2 != 0 ? 1000 : 100'000));
  return random() % 2 != 0 ? whole : whole + "." + std::to_string(random() % 1000);
}

// "c" for half of the contexts, then gauges, histograms, distributions, sets.
std::string type(size_t context) {
  static constexpr const char* kTypes[] = {"c", "c", "c", "c", "c", "g", "g", "h", "d", "s"};
  return kTypes[context % 10];
}

// About 115 bytes: five tags, one line in ten with a rate.
std::string tagged(size_t context, std::mt19937_64& random) {
  const size_t c = context * 7919 % kDistinct;
  std::string s = "service.req." + std::to_string(c % 1000) + ":" + value(random) + "|" + type(c);
  if (c % 10 == 3) s += "|@0.5";
  return s + "|#env:production,service:checkout,region:eu-west-1,host_group:" +
         std::to_string(c / 100) + ",endpoint:/v1/orders";
}

// About 26 bytes.
std::string untagged(size_t context, std::mt19937_64& random) {
  return "service.requests." + std::to_string(context) + ":" + value(random).substr(0, 4) + "|" +
         type(context);
}

Corpus make(std::string (*line)(size_t, std::mt19937_64&)) {
  std::mt19937_64 random(42);  // NOLINT(cert-msc51-cpp): the same bytes in every run
  Corpus corpus;
  while (corpus.packets.size() < kPackets) {
    std::string packet;
    for (;;) {
      const std::string next = line(random() % kDistinct, random);
      if (packet.size() + next.size() + 1 > kPacket) break;
      packet += next + '\n';
      ++corpus.lines;
    }
    corpus.packets.push_back(packet + std::string(simd::kPadding, '\0'));
  }
  return corpus;
}

// The packets, once per iteration.
template <class Fn>
void over(benchmark::State& state, const Corpus& corpus, Fn&& fn) {
  uint64_t bytes = 0;
  for (const std::string& packet : corpus.packets) bytes += packet.size() - simd::kPadding;
  for (auto _ : state) {
    for (const std::string& packet : corpus.packets) {
      fn(packet.data(), packet.size() - simd::kPadding);
    }
  }
  const auto lines = static_cast<double>(corpus.lines);
  const auto done = static_cast<double>(state.iterations()) * lines;
  state.counters["ns/line"] =
      benchmark::Counter(done / 1e9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["bytes/line"] = static_cast<double>(bytes) / lines;
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
  std::vector<double> scratch(kPacket);
  over(state, corpus, [&](const char* data, size_t size) {
    each_line(kernel, data, size, [&](const Line& line) {
      size_t count = 0;
      benchmark::DoNotOptimize(kernel.parse_values(line.value(), scratch, count));
    });
  });
}

void split_and_parse(benchmark::State& state, const Corpus& corpus, const simd::Kernel& kernel) {
  std::vector<double> scratch(kPacket);
  Metric metric;
  over(state, corpus, [&](const char* data, size_t size) {
    each_line(kernel, data, size, [&](const Line& line) {
      benchmark::DoNotOptimize(kernel.parse_metric(line, {}, scratch, metric));
      benchmark::DoNotOptimize(metric.values);
    });
  });
}

void add(const std::string& name, const Corpus& corpus) {
  using benchmark::RegisterBenchmark;
  RegisterBenchmark((name + "/count_newlines").c_str(), &count_newlines, corpus);
  for (const simd::Kernel* kernel : simd::runnable()) {
    const std::string variant(simd::variant_name(kernel->variant));
    const auto with = [&](const char* what, auto fn) {
      RegisterBenchmark((name + "/" + what + "/" + variant).c_str(),
                        [fn, &corpus, kernel](benchmark::State& s) { fn(s, corpus, *kernel); });
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
  const penstock::Corpus tagged = penstock::make(&penstock::tagged);
  const penstock::Corpus untagged = penstock::make(&penstock::untagged);
  penstock::add("tagged", tagged);
  penstock::add("untagged", untagged);
  benchmark::RunSpecifiedBenchmarks();
}

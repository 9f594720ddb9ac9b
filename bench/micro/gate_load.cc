// What bench/micro/gate counts the instructions of: fixed work on the parser, the memo and the
// accumulators, the same in every run. Prints a case a line, in the order they ran: name and lines.
// Each case passes once through `gate_case`, by which valgrind tells them apart.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bench/micro/corpus.h"
#include "bench/micro/traffic.h"
#include "dataplane/api/stats.h"
#include "dataplane/base/strings.h"
#include "dataplane/core/hash.h"
#include "dataplane/core/shard.h"
#include "parsers/simd/kernel.h"

namespace penstock {

// In the place of those of dataplane/core/hash.cc, so that tables are laid out alike in every run.
uint64_t random_seed() { return 42; }
uint64_t process_seed() { return 42; }

namespace {

constexpr Now kNow{1'700'000'000'000};
constexpr size_t kDistinct = 2000;
constexpr size_t kBurst = 32;
constexpr size_t kBatch = 64;
constexpr size_t kNumbers = 1400;

}  // namespace

// The one function that valgrind is told of; not inlined, and of this name.
extern "C" [[gnu::noinline]] void gate_case(const std::function<void()>& work) { work(); }

namespace {

void count(std::string_view name, size_t lines, const std::function<void()>& work) {
  gate_case(work);
  std::printf("%s %zu\n", std::string(name).c_str(), lines);
}

template <class Fn>
void each_line(const simd::Kernel& kernel, const Corpus& corpus, Fn&& fn) {
  dogstatsd::Line lines[kBatch];
  for (const std::string& packet : corpus.packets) {
    const size_t size = packet.size() - simd::kPadding;
    for (size_t at = 0; at < size;) {
      const size_t found = kernel.split(packet.data(), size, at, lines, kBatch);
      for (size_t i = 0; i < found; ++i) fn(lines[i]);
    }
  }
}

void parser(std::string_view name, const Corpus& corpus, const simd::Kernel& kernel) {
  std::vector<double> scratch(kNumbers);
  dogstatsd::Metric metric;
  const std::string_view variant = simd::variant_name(kernel.variant);
  count(cat("parser/split/", name, "/", variant), corpus.lines,
        [&] { each_line(kernel, corpus, [](const dogstatsd::Line&) {}); });
  count(cat("parser/values/", name, "/", variant), corpus.lines, [&] {
    each_line(kernel, corpus, [&](const dogstatsd::Line& line) {
      size_t numbers = 0;
      kernel.parse_values(line.value(), scratch, numbers);
    });
  });
  count(cat("parser/all/", name, "/", variant), corpus.lines, [&] {
    each_line(kernel, corpus,
              [&](const dogstatsd::Line& line) { kernel.parse_metric(line, {}, scratch, metric); });
  });
}

struct Bench {
  Bench() : shard(*plan, 0, *stats) {}
  void pass(const Traffic& traffic) {
    const std::span<const Packet> all(traffic.packets);
    for (size_t at = 0; at < all.size(); at += kBurst)
      shard.process(all.subspan(at, std::min(kBurst, all.size() - at)), kNow);
  }
  std::unique_ptr<Plan> plan = bench_plan();
  std::unique_ptr<ShardStats> stats = std::make_unique<ShardStats>();
  Shard shard;
};

// Lines of one type, each of another context, in packets of ten.
std::vector<std::string> lines_of(std::string_view type, std::string_view values,
                                  std::string_view tags) {
  std::vector<std::string> packets;
  for (size_t i = 0; i < kDistinct; i += 10) {
    std::string packet;
    for (size_t k = i; k < i + 10; ++k) {
      packet += cat("service.requests.", k * 7919 % kDistinct, ":", k * 7919 % 1013, values, "|",
                    type, tags, "\n");
    }
    packets.push_back(packet + std::string(simd::kPadding, '\0'));
  }
  return packets;
}

// Lines that the memo does not know: parsed in full, enriched, a context made, and remembered.
void unknown(std::string_view name, std::string_view tags) {
  const Traffic traffic(lines_of("c", "", tags));
  Bench bench;
  count(cat("memo/unknown/", name), kDistinct, [&] { bench.pass(traffic); });
}

// Lines that it knows.
void known(std::string_view name, const Corpus& corpus) {
  const Traffic traffic(corpus.packets);
  Bench bench;
  bench.pass(traffic);
  count(cat("memo/known/", name), corpus.lines, [&] { bench.pass(traffic); });
}

void accumulate(std::string_view name, std::string_view type, std::string_view values = "") {
  const Traffic traffic(lines_of(type, values, ""));
  Bench bench;
  bench.pass(traffic);
  constexpr size_t kPasses = 10;
  count(cat("accumulate/", name), kPasses * kDistinct, [&] {
    for (size_t i = 0; i < kPasses; ++i) bench.pass(traffic);
  });
}

void all() {
  const Corpus tagged({.tagged = true, .mixed = true, .distinct = kDistinct});
  const Corpus untagged({.tagged = false, .mixed = true, .distinct = kDistinct});
  for (const simd::Kernel* kernel :
       {&simd::kScalarKernel, &simd::kSse42Kernel, &simd::kAvx2Kernel}) {
    parser("tagged", tagged, *kernel);
    parser("untagged", untagged, *kernel);
  }
  unknown("tagged", "|#env:production,service:checkout,region:eu-west-1,endpoint:/v1/orders");
  unknown("untagged", "");
  known("tagged", tagged);
  known("untagged", untagged);
  accumulate("counter", "c");
  accumulate("gauge", "g");
  accumulate("histogram", "h");
  accumulate("distribution", "d");
  accumulate("set", "s");
  accumulate("packed", "d", ":1.5:17:230.25:4:99:1024:7.75");
}

}  // namespace
}  // namespace penstock

int main() { penstock::all(); }

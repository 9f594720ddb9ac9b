#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "dataplane/api/segment_merge.h"
#include "tests/support/segment_rows.h"
#include "tests/support/shard_harness.h"

// Merging the Segments of k intervals equals aggregating their union: the same traffic through real
// shards, sealed k times and merged in any order, or sealed once.

namespace penstock {
namespace {

using segment::Context;
using segment::Reader;
using segment::Summary;

// Rows without what tells intervals and shards apart: the shard of a gauge, the low part of sums,
// which is exact only where ExactSum says, and counters that are 0, which zero fill makes.
struct Rows : segment::Dump {
  static std::string text(const Summary& s) {
    return Dump::text({s.count, s.sum, s.min, s.max, s.avg, 0, s.samples});
  }
  void counter(const Context& c, ExactSum sum) override {
    if (sum.value() != 0) Dump::counter(c, sum.value());
  }
  void gauge(const Context& c, double value, int64_t time_ms, uint32_t) override {
    Dump::gauge(c, value, time_ms, 0);
  }
  void histogram(const Context& c, const Summary& s, std::span<const segment::WeightedValue> values,
                 std::span<const segment::Bin> bins) override {
    out += cat("h ", Dump::text(c), text(s));
    for (const auto& v : values) out += cat(" ", segment::show(v.value), "*", v.weight);
    out += Dump::text(bins) + "\n";
  }
  void distribution(const Context& c, const Summary& s,
                    std::span<const segment::Bin> bins) override {
    out += cat("d ", Dump::text(c), text(s), Dump::text(bins), "\n");
  }
};

std::vector<std::string> merged_rows(std::span<const std::vector<std::byte>> segments) {
  std::vector<Reader> readers;
  uint64_t samples = 0;
  for (const auto& s : segments) {
    if (s.empty()) continue;
    readers.push_back(*Reader::open(s));
    samples += readers.back().meta().samples;
  }
  segment::Writer out({1, 1, kBucket, 10, 0});
  segment::merge(readers, out);
  const auto bytes = out.finish(samples);
  Rows rows;
  Reader::open(bytes)->visit(rows);
  std::vector<std::string> lines;
  for (size_t at = 0; at < rows.out.size();) {
    const size_t end = rows.out.find('\n', at);
    lines.push_back(rows.out.substr(at, end - at));
    at = end + 1;
  }
  lines.push_back(cat("samples ", samples));
  std::ranges::sort(lines);
  return lines;
}

struct Sent {
  int64_t at_ms;
  std::string line;
};

class Traffic {
 public:
  explicit Traffic(uint64_t seed) : random_(seed) {}

  uint64_t below(uint64_t n) { return random_() % n; }

  std::vector<Sent> make() {
    std::vector<Sent> sent(50 + below(300));
    int64_t at_ms = kBucket * 1000;
    const uint64_t packed = below(4) == 0 ? 20 + below(180) : 0;
    for (Sent& s : sent) {
      at_ms += 1 + static_cast<int64_t>(below(40));
      s = {at_ms, packed != 0 && below(3) == 0 ? histogram(packed) : line()};
    }
    return sent;
  }

 private:
  // Those of both signs stay where ExactSum makes sums exact.
  std::string number() {
    static constexpr const char* kNumbers[] = {
        "0",    "-0",    "1",     "-1",   "0.1",    "0.3",  "1e12",   "-1e12",  "1e-12",
        "7e-9", "1e300", "-2e30", "42.5", "1e-320", "1e16", "3.3333", "-0.0007"};
    if (below(3) == 0) return kNumbers[below(std::size(kNumbers))];
    return cat(static_cast<double>(below(1 << 30)) / 1000 - 5000);
  }

  std::string histogram(uint64_t values) {
    std::string text = "m0";
    for (uint64_t i = 0; i < values; ++i) text += cat(":", number());
    return text + "|h|@0.3";
  }

  std::string line() {
    static constexpr const char* kTypes[] = {"c", "g", "s", "h", "d", "ms"};
    static constexpr const char* kRates[] = {"", "|@1", "|@0.5", "|@0.3", "|@0.001", "|@7"};
    static constexpr const char* kTags[] = {"", "|#a", "|#b,a", "|#host:x,b"};
    const uint64_t kind = below(40);
    if (kind == 0) return cat("_e{2,1}:e", below(3), ":x|#b,a");
    if (kind == 1) return cat("_sc|c", below(3), "|", below(4), "|m:", below(9));
    if (kind == 2)
      return cat("t:", number(), below(2) == 0 ? "|c" : "|g", "|T", kBucket + below(9));
    const char* type = kTypes[below(std::size(kTypes))];
    std::string text = cat("m", below(4), ":");
    if (*type == 's') {
      text += cat(below(20));
    } else {
      text += number();
      for (uint64_t more = below(3); more != 0; --more) text += cat(":", number());
    }
    return text + cat("|", type, kRates[below(std::size(kRates))], kTags[below(std::size(kTags))]);
  }

  std::mt19937_64 random_;
};

// The Segments of `sent`, cut before each index in `cuts`, by `shards` shards.
std::vector<std::vector<std::byte>> seal(const std::vector<Sent>& sent, std::vector<size_t> cuts,
                                         uint16_t shards, Traffic& traffic) {
  Bench bench(test_plan(), shards);
  std::vector<std::vector<std::byte>> segments;
  for (size_t i = 0; i <= sent.size(); ++i) {
    for (; !cuts.empty() && cuts.front() == i; cuts.erase(cuts.begin()))
      segments.push_back(bench.seal_bytes(kBucket));
    if (i == sent.size()) break;
    bench.now.unix_ms = sent[i].at_ms;
    bench.send(sent[i].line, traffic.below(shards));
  }
  segments.push_back(bench.seal_bytes(kBucket));
  return segments;
}

// Lines of `all` that `from` lacks; both are sorted.
std::string missing(const std::vector<std::string>& from, const std::vector<std::string>& all) {
  std::vector<std::string> lines;
  std::ranges::set_difference(all, from, std::back_inserter(lines));
  std::string text;
  for (const std::string& line : lines) text += line.substr(0, 300) + "\n";
  return text;
}

TEST(SegmentUnion, OfIntervalsEqualsAggregatingTheirUnion) {
  size_t binned = 0;
  for (uint64_t seed = 0; seed < 150; ++seed) {
    Traffic traffic(seed);
    const std::vector<Sent> sent = traffic.make();
    const auto whole = merged_rows(seal(sent, {}, 1, traffic));
    std::vector<size_t> cuts(traffic.below(5));
    for (size_t& cut : cuts) cut = traffic.below(sent.size() + 1);
    std::ranges::sort(cuts);
    auto parts = seal(sent, cuts, static_cast<uint16_t>(1 + traffic.below(3)), traffic);
    for (int order = 0; order < 4; ++order) {
      EXPECT_EQ(missing(merged_rows(parts), whole), "") << "seed " << seed;
      ASSERT_EQ(missing(whole, merged_rows(parts)), "") << "seed " << seed;
      for (size_t i = parts.size(); i > 1; --i) std::swap(parts[i - 1], parts[traffic.below(i)]);
    }
    binned += static_cast<size_t>(std::ranges::count_if(
        whole, [](const std::string& row) { return row[0] == 'h' && row.find('*') == row.npos; }));
  }
  EXPECT_GT(binned, 10u);  // histograms beyond the exact limit are among them
}

}  // namespace
}  // namespace penstock

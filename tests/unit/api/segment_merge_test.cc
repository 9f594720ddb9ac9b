#include "dataplane/api/segment_merge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "dataplane/api/sketch.h"
#include "tests/support/segment_rows.h"

namespace penstock::segment {
namespace {

constexpr Meta kMeta = {
    .instance = 1, .sequence = 1, .bucket_start = 1700000000, .interval_s = 10, .samples = 0};

std::string merged(const std::vector<std::vector<std::byte>>& segments) {
  std::vector<Reader> readers;
  for (const auto& s : segments) readers.push_back(*Reader::open(s));
  Writer out(kMeta);
  merge(readers, out);
  const auto bytes = out.finish(0);
  Dump dump;
  Reader::open(bytes)->visit(dump);
  return dump.out;
}

std::vector<std::byte> segment_of(void (*write)(Writer&)) {
  Writer w(kMeta);
  write(w);
  return w.finish(0);
}

using W = Writer;
const std::vector<std::string_view> kTag = {"a:b"};
const Context kA = {"a", "h", kTag};

struct Case {
  const char* name;
  std::vector<void (*)(Writer&)> parts;
  void (*whole)(Writer&);
};

const Case kCases[] = {
    {"counters_add",
     {[](W& w) { w.counter(kA, 1); }, [](W& w) { w.counter(kA, 2.5); }},
     [](W& w) { w.counter(kA, 3.5); }},
    {"contexts_differ_by_name_host_and_tags",
     {[](W& w) {
        w.counter({"ab", "c", {}}, 1);
      },
      [](W& w) {
        w.counter({"a", "bc", {}}, 2);
      },
      [](W& w) {
        w.counter({"a", "bc", kTag}, 4);
      }},
     [](W& w) {
       w.counter({"ab", "c", {}}, 1);
       w.counter({"a", "bc", {}}, 2);
       w.counter({"a", "bc", kTag}, 4);
     }},
    {"kinds_stay_apart",
     {[](W& w) { w.counter(kA, 1); }, [](W& w) { w.gauge(kA, 2, 1, 0); }},
     [](W& w) {
       w.counter(kA, 1);
       w.gauge(kA, 2, 1, 0);
     }},
    {"gauge_by_time",
     {[](W& w) { w.gauge(kA, 1, 20, 0); }, [](W& w) { w.gauge(kA, 2, 10, 9); }},
     [](W& w) { w.gauge(kA, 1, 20, 0); }},
    {"gauge_by_shard",
     {[](W& w) { w.gauge(kA, 1, 20, 1); }, [](W& w) { w.gauge(kA, 2, 20, 0); }},
     [](W& w) { w.gauge(kA, 1, 20, 1); }},
    {"gauge_before_1970",
     {[](W& w) { w.gauge(kA, 1, -20, 1); }},
     [](W& w) { w.gauge(kA, 1, -20, 1); }},
    {"counters_keep_what_rounding_leaves_out",
     {[](W& w) { w.counter(kA, 1e22); }, [](W& w) { w.counter(kA, 1); },
      [](W& w) { w.counter(kA, -1e22); }},
     [](W& w) { w.counter(kA, 1); }},
    {"sums_keep_what_rounding_leaves_out",
     {[](W& w) {
        w.distribution(kA, {1, 1e22, 1e22, 1e22, 1e22}, std::vector<Bin>{{9, 1}});
      },
      [](W& w) {
        w.distribution(kA, {1, 1, 1, 1, 1}, std::vector<Bin>{{1338, 1}});
      },
      [](W& w) {
        w.distribution(kA, {1, -1e22, -1e22, -1e22, -1e22}, std::vector<Bin>{{-9, 1}});
      }},
     [](W& w) {
       w.distribution(kA, {3, 1, -1e22, 1e22, 1. / 3},
                      std::vector<Bin>{{-9, 1}, {9, 1}, {1338, 1}});
     }},
    {"averages_are_of_whole_weights",
     {[](W& w) {
        w.distribution(kA, {3, 2 / 0.3, 2, 2, 2, 0, 0, ExactSum(6)}, std::vector<Bin>{{1383, 3}});
      },
      [](W& w) {
        w.distribution(kA, {1, 42, 42, 42, 42}, std::vector<Bin>{{1579, 1}});
      }},
     [](W& w) {
       ExactSum sum = 2 / 0.3;
       sum.add(42);
       w.distribution(kA, {4, sum.high, 2, 42, 12, sum.low, 0, ExactSum(48)},
                      std::vector<Bin>{{1383, 3}, {1579, 1}});
     }},
    {"extremes_tell_zeros_apart",
     {[](W& w) {
        w.distribution(kA, {1, 0, 0, 0, 0}, std::vector<Bin>{{0, 1}});
      },
      [](W& w) {
        w.distribution(kA, {1, 0, -0.0, -0.0, 0}, std::vector<Bin>{{0, 1}});
      }},
     [](W& w) {
       w.distribution(kA, {2, 0, -0.0, 0, 0}, std::vector<Bin>{{0, 2}});
     }},
    {"histogram_values_and_bins_become_bins",
     {[](W& w) {
        w.histogram(kA, {3, 4, 1, 2, 4. / 3}, std::vector<WeightedValue>{{1, 2}, {2, 1}}, {});
      },
      [](W& w) {
        w.histogram(kA, {1, 1, 1, 1, 1}, {}, std::vector<Bin>{{1338, 1}});
      },
      [](W& w) {
        w.histogram(kA, {1, 42, 42, 42, 42}, std::vector<WeightedValue>{{42, 1}}, {});
      }},
     [](W& w) {
       w.histogram(kA, {5, 47, 1, 42, 9.4}, {}, std::vector<Bin>{{1338, 3}, {1383, 1}, {1579, 1}});
     }},
    {"empty_summaries",
     {[](W& w) {
        w.distribution(kA, {0, 0, 0, 0, 0}, {});
      },
      [](W& w) {
        w.distribution(kA, {1, -5, -5, -5, -5}, std::vector<Bin>{{-1442, 1}});
      },
      [](W& w) {
        w.distribution(kA, {0, 0, 0, 0, 0}, {});
      }},
     [](W& w) {
       w.distribution(kA, {1, -5, -5, -5, -5}, std::vector<Bin>{{-1442, 1}});
     }},
    {"timestamped_stay_single",
     {[](W& w) { w.timestamped(Kind::kCounter, kA, 5, 1); },
      [](W& w) { w.timestamped(Kind::kCounter, kA, 5, 1); }},
     [](W& w) {
       w.timestamped(Kind::kCounter, kA, 5, 1);
       w.timestamped(Kind::kCounter, kA, 5, 1);
     }},
    {"events_and_checks",
     {[](W& w) {
        w.event({"t", "x", 1, "h", "", "", "", "", "", "", kTag});
      },
      [](W& w) {
        w.service_check({"t", 1, 1, "h", "", "", "", kTag});
      }},
     [](W& w) {
       w.event({"t", "x", 1, "h", "", "", "", "", "", "", kTag});
       w.service_check({"t", 1, 1, "h", "", "", "", kTag});
     }},
};

std::string sorted_lines(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at) + 1;
    lines.push_back(text.substr(at, end - at));
    at = end;
  }
  std::ranges::sort(lines);
  std::string out;
  for (const std::string& line : lines) out += line;
  return out;
}

class SegmentMerge : public testing::TestWithParam<Case> {};

TEST_P(SegmentMerge, EqualsTheUnionInEveryOrder) {
  const std::string whole = sorted_lines(merged({segment_of(GetParam().whole)}));
  std::vector<size_t> order(GetParam().parts.size());
  std::iota(order.begin(), order.end(), 0);
  do {
    std::vector<std::vector<std::byte>> segments;
    for (const size_t i : order) segments.push_back(segment_of(GetParam().parts[i]));
    EXPECT_EQ(sorted_lines(merged(segments)), whole) << testing::PrintToString(order);
  } while (std::ranges::next_permutation(order).found);
}

INSTANTIATE_TEST_SUITE_P(Kinds, SegmentMerge, testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

std::string merged_pair(uint64_t first, uint64_t second) {
  Writer one({.instance = 1, .sequence = first, .bucket_start = 0, .interval_s = 10, .samples = 0});
  Writer two(
      {.instance = 1, .sequence = second, .bucket_start = 0, .interval_s = 10, .samples = 0});
  one.gauge(kA, static_cast<double>(first), 20, 1);
  two.gauge(kA, static_cast<double>(second), 20, 1);
  return merged({one.finish(0), two.finish(0)});
}

TEST(SegmentMerge, GaugesOfOneTimeGoByTheSegmentsSequence) {
  EXPECT_EQ(merged_pair(1, 2), merged({segment_of([](W& w) { w.gauge(kA, 2, 20, 1); })}));
  EXPECT_EQ(merged_pair(1, 2), merged_pair(2, 1));
}

// A histogram of `samples` times the value 1, exact, merged from two.
std::string exact_pair(uint64_t samples) {
  std::vector<std::vector<std::byte>> parts;
  for (const uint64_t n : {samples / 2, samples - samples / 2}) {
    Writer w(kMeta);
    const auto sum = static_cast<double>(n);
    w.histogram(kA, {n, sum, 1, 1, 1, 0, n}, std::vector<WeightedValue>{{1, n}}, {});
    parts.push_back(w.finish(n));
  }
  return merged(parts);
}

TEST(SegmentMerge, HistogramsStayExactAsInAShard) {
  constexpr uint64_t kMost = kExactSamplesMax;
  Writer exact(kMeta), binned(kMeta);
  exact.histogram(kA, {kMost, kMost, 1, 1, 1, 0, kMost}, std::vector<WeightedValue>{{1, kMost}},
                  {});
  binned.histogram(kA, {kMost + 1, kMost + 1, 1, 1, 1}, {}, std::vector<Bin>{{1338, kMost + 1}});
  EXPECT_EQ(exact_pair(kMost), merged({exact.finish(0)}));
  EXPECT_EQ(exact_pair(kMost + 1), merged({binned.finish(0)}));
}

TEST(SegmentMerge, FoldsTheLowestBinsAboveTheLimit) {
  Writer low(kMeta), high(kMeta);
  std::vector<Bin> low_bins, high_bins, expected;
  for (int16_t k = 0; k < 3000; ++k) {
    low_bins.push_back({k, 1});
    high_bins.push_back({static_cast<int16_t>(k + 3000), 2});
  }
  const Summary s = {6000, 1, 1, 1, 1};
  low.distribution(kA, s, low_bins);
  high.distribution(kA, s, high_bins);
  // 6000 keys: the lowest 1904 go into key 1904, the lowest of the 4096 kept.
  expected.push_back({1904, 1905});
  for (int16_t k = 1905; k < 6000; ++k) expected.push_back({k, k < 3000 ? 1u : 2u});
  Writer whole(kMeta);
  whole.distribution(kA, {12000, 2, 1, 1, 2. / 12000}, expected);
  EXPECT_EQ(merged({high.finish(0), low.finish(0)}), merged({whole.finish(0)}));
}

// A sample of a random stream, and the obvious aggregation of such samples.
struct Sample {
  Kind kind;
  int context;
  double value;
  int64_t time_ms;
};

std::vector<std::byte> aggregate(std::span<const Sample> samples) {
  std::map<int, double> counters;
  std::map<int, std::pair<int64_t, double>> gauges;
  std::map<int, std::set<uint64_t>> sets;
  std::map<std::pair<Kind, int>, std::map<double, uint64_t>> values;
  for (const Sample& s : samples) {
    switch (s.kind) {
      case Kind::kCounter:
        counters[s.context] += s.value;
        break;
      case Kind::kGauge:
        gauges[s.context] = std::max(gauges[s.context], {s.time_ms, s.value});
        break;
      case Kind::kSet:
        sets[s.context].insert(static_cast<uint64_t>(s.value));
        break;
      case Kind::kHistogram:
      case Kind::kDistribution:
        ++values[{s.kind, s.context}][s.value];
    }
  }
  Writer w(kMeta);
  std::vector<std::string> names;
  for (int i = 0; i < 10; ++i) names.push_back(cat("n", i));
  const auto context = [&](int i) { return Context{names[static_cast<size_t>(i)], "h", kTag}; };
  for (const auto& [c, sum] : counters) w.counter(context(c), sum);
  for (const auto& [c, g] : gauges) w.gauge(context(c), g.second, g.first, 0);
  for (const auto& [c, members] : sets)
    w.set(context(c), std::vector(members.begin(), members.end()));
  for (const auto& [key, all] : values) {
    Summary s{};
    std::vector<WeightedValue> weighted;
    std::map<int16_t, uint64_t> keys;
    for (const auto& [value, weight] : all) {
      weighted.push_back({value, weight});
      keys[sketch::key_of(value)] += weight;
      s.count += weight;
      s.sum += value * static_cast<double>(weight);
    }
    s.min = all.begin()->first;
    s.max = all.rbegin()->first;
    s.avg = s.sum / static_cast<double>(s.count);
    s.samples = key.first == Kind::kHistogram ? s.count : 0;
    std::vector<Bin> bins;
    for (const auto& [k, n] : keys) bins.push_back({k, n});
    if (key.first == Kind::kHistogram) {
      w.histogram(context(key.second), s, weighted, {});
    } else {
      w.distribution(context(key.second), s, bins);
    }
  }
  return w.finish(samples.size());
}

TEST(SegmentMerge, OfIntervalsEqualsAggregatingTheirUnion) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<Sample> samples(random() % 300);
    int64_t time_ms = 0;
    for (Sample& s : samples) {
      s = {static_cast<Kind>(random() % kKinds), static_cast<int>(random() % 10),
           static_cast<double>(random() % 50), time_ms += 1 + static_cast<int64_t>(random() % 9)};
    }
    std::vector<std::vector<std::byte>> parts;
    for (size_t at = 0; at < samples.size();) {
      const size_t n = std::min<size_t>(samples.size() - at, random() % 60);
      parts.push_back(aggregate(std::span(samples).subspan(at, n)));
      at += n;
    }
    EXPECT_EQ(sorted_lines(merged(parts)), sorted_lines(merged({aggregate(samples)})))
        << "seed " << seed;
  }
}

}  // namespace
}  // namespace penstock::segment

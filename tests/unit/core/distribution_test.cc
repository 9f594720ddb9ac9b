#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <string>

#include "tests/support/shard_harness.h"

// Distributions through real shards against spec 8.6, written down as it stands there.

namespace penstock {
namespace {

// The Agent's sketch, one sample at a time.
struct SpecSketch {
  std::map<int, uint64_t> bins;
  uint64_t count = 0;
  double sum = 0, min = 0, max = 0, avg = 0;

  static int key(double v) {
    if (v < 0) return -key(-v);
    if (v < 9.94185408912145e-10) return 0;
    const double k = std::nearbyint(std::log(v) / 0.015504186535965254) + 1338;
    return k > 32766 ? 32767 : k < 1 ? 1 : static_cast<int>(k);
  }

  void insert(double v, double r) {
    if (!(r > 0 && r <= 1)) r = 1;
    const double n = 1 / r;
    const auto whole = static_cast<uint64_t>(n);
    bins[key(v)] += whole;
    if (bins.size() > 4096) {
      const uint64_t lowest = bins.begin()->second;
      bins.erase(bins.begin());
      bins.begin()->second += lowest;
    }
    const bool first = count == 0;
    count += whole;
    sum += n * v;
    min = first ? v : std::min(min, v);
    max = first ? v : std::max(max, v);
    avg = first ? v : avg + (v - avg) * static_cast<double>(whole) / static_cast<double>(count);
  }
};

struct Distributions : segment::Reader::Visitor {
  segment::Summary summary{};
  std::map<int, uint64_t> bins;
  int rows = 0;

  void distribution(const segment::Context&, const segment::Summary& s,
                    std::span<const segment::Bin> b) override {
    ++rows;
    summary = s;
    for (const segment::Bin& bin : b) bins[bin.key] = bin.count;
    EXPECT_EQ(bins.size(), b.size());
  }
  void counter(const segment::Context&, ExactSum) override {}
  void gauge(const segment::Context&, double, int64_t, uint32_t) override {}
  void set(const segment::Context&, std::span<const uint64_t>) override {}
  void histogram(const segment::Context&, const segment::Summary&,
                 std::span<const segment::WeightedValue>, std::span<const segment::Bin>) override {}
  void timestamped(segment::Kind, const segment::Context&, int64_t, double) override {}
  void event(const segment::Event&) override {}
  void service_check(const segment::ServiceCheck&) override {}
};

struct Sample {
  double value, rate;
};

// Text that reads back as the same double.
std::string text_of(double v) {
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", v);
  return text;
}

void expect_as_specified(const std::vector<Sample>& samples, uint16_t shards, uint64_t seed) {
  Bench bench(test_plan(), shards);
  SpecSketch expected;
  std::mt19937_64 random(seed);
  for (const Sample& s : samples) {
    bench.send("d:" + text_of(s.value) + "|d|@" + text_of(s.rate), random() % shards);
    expected.insert(s.value, s.rate);
  }
  const auto bytes = bench.seal_bytes();
  Distributions got;
  segment::Reader::open(bytes)->visit(got);
  ASSERT_EQ(got.rows, 1);
  EXPECT_EQ(got.bins, expected.bins);
  const segment::Summary& s = got.summary;
  EXPECT_EQ(s.count, expected.count);
  EXPECT_EQ(s.min, expected.min);
  EXPECT_EQ(s.max, expected.max);
  // The Agent's sums gather rounding errors, ours do not.
  const double unit = std::max(std::abs(s.min), std::abs(s.max)) * 1e-12;
  EXPECT_NEAR(s.sum, expected.sum, unit * static_cast<double>(s.count));
  EXPECT_NEAR(s.avg, expected.avg, unit);
}

TEST(Distribution, HandPickedSamples) {
  const std::vector<std::vector<Sample>> cases = {
      {{1, 1}, {2, 1}, {2, 1}, {42, 1}},
      {{2, 0.3}},
      {{2, 1}, {2, 0}, {2, -1}, {2, 2}},  // the rates count as 1
      {{0, 1}, {-0.0, 0.5}, {5e-324, 1}, {-9.9e-10, 1}, {9.94185408912145e-10, 1}},
      {{1e300, 1}, {-1e300, 1}, {3, 0.07}},
      {{std::numeric_limits<double>::max(), 1}},
      {{-42, 0.001}, {-1e-9, 0.3}, {7, 1}},
      {{7, 0x1p-31}, {7, 0x1p-31}, {7, 0x1p-31}},  // more than 32 bits hold in one bin
  };
  for (const auto& samples : cases) {
    for (const uint16_t shards : {1, 2}) expect_as_specified(samples, shards, 1);
  }
}

TEST(Distribution, RandomSamples) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    std::mt19937_64 random(seed);
    // Over all magnitudes every other time, where the bin limit is reached.
    const double spread = seed % 2 == 0 ? 3 : 300;
    std::vector<Sample> samples(random() % 12'000);
    if (samples.empty()) continue;
    for (Sample& s : samples) {
      const double exponent = (static_cast<double>(random() % 100'000) / 50'000 - 1) * spread;
      s.value = std::pow(10, exponent) * (random() % 3 == 0 ? -1 : 1);
      s.rate = std::array{1.0, 1.0, 0.5, 0.3, 0.013, 0.0, 3.0}[random() % 7];
    }
    SCOPED_TRACE(seed);
    expect_as_specified(samples, static_cast<uint16_t>(1 + random() % 3), seed);
  }
}

}  // namespace
}  // namespace penstock

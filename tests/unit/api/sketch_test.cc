#include "dataplane/api/sketch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace penstock::sketch {
namespace {

using segment::Bin;
using segment::Summary;

// --- keys ---

TEST(Sketch, KeysAreTheSpecifications) {
  const std::pair<double, int> cases[] = {
      {1, 1338},         {2, 1383},          {0.5, 1293},   {10, 1487},       {42, 1579},
      {100, 1635},       {1000, 1784},       {1e6, 2229},   {1e9, 2675},      {0.001, 892},
      {1e-9, 1},         {1e-10, 0},         {-42, -1579},  {1e308, 32767},   {0, 0},
      {-1e-10, 0},       {-0.0, 0},          {9.95e-10, 1}, {-1e308, -32767}, {std::nan(""), 0},
      {HUGE_VAL, 32767}, {-HUGE_VAL, -32767}};
  for (const auto& [value, key] : cases) {
    EXPECT_EQ(key_of(value), key) << value;
  }
}

// The key as spec 8.6 writes it, with 64 bits of precision where a double has 53.
constexpr long double kLnGamma = 0.015504186535965254;
int reference_key(long double v) {
  if (v < 0) return -reference_key(-v);
  if (v < 9.94185408912145e-10L) return 0;
  const long double k = std::nearbyint(std::log(v) / kLnGamma) + 1338;
  return k > 32766 ? 32767 : k < 1 ? 1 : static_cast<int>(k);
}

// A border lies between keys k and k + 1, where ln v / ln gamma is a half. As a double that
// quotient has few bits left behind the point for large keys: the Agent's keys, and so ours, follow
// it within some hundred units in the last place of the border. Outside, they are the exact ones.
double ulps(double v, int64_t n) {  // of a positive value
  return std::bit_cast<double>(std::bit_cast<int64_t>(v) + n);
}
int blur(int k) { return 8 + std::abs(k - kBias) / 32; }

TEST(Sketch, EveryKeyBorderIsWhereItBelongs) {
  for (int k = 1; k < kKeyMax; ++k) {
    const auto border = static_cast<double>(std::exp((k - kBias + 0.5L) * kLnGamma));
    const double below = ulps(border, -blur(k)), above = ulps(border, blur(k));
    ASSERT_EQ(key_of(below), k) << below;
    ASSERT_EQ(key_of(above), k + 1) << above;
    ASSERT_EQ(reference_key(below), k);
    ASSERT_EQ(reference_key(above), k + 1);
    int last = k;
    const int step = k % 32 == 0 ? 1 : blur(k) / 8;
    for (double v = below; v <= above; v = ulps(v, step)) {
      const int key = key_of(v);
      ASSERT_GE(key, last) << "keys must ascend with the value at " << v;
      ASSERT_LE(key, k + 1);
      ASSERT_EQ(key_of(-v), -key);
      last = key;
    }
  }
}

// Where the quotient is a half as a double, the even key has the value.
TEST(Sketch, TiesGoToTheEvenQuotient) {
  int ties = 0;
  for (int k = 1; k < kKeyMax; k += 7) {
    const double half = k - kBias + 0.5;
    double v = ulps(static_cast<double>(std::exp(half * kLnGamma)), -blur(k));
    for (int i = 0; i < 2 * blur(k); ++i, v = std::nextafter(v, HUGE_VAL)) {
      if (std::log(v) / static_cast<double>(kLnGamma) != half) continue;
      ++ties;
      ASSERT_EQ((key_of(v) - kBias) % 2, 0) << v;
      ASSERT_NEAR(key_of(v) - kBias, half, 0.5);
    }
  }
  EXPECT_GT(ties, 10'000);
}

TEST(Sketch, EveryValueBetweenTheBordersHasTheReferencesKey) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 1'000'000; ++i) {
    const auto v = std::bit_cast<double>(random());
    if (std::isnan(v)) continue;
    const int key = reference_key(v);
    const int got = key_of(v);
    if (got == key) continue;
    // Only within the blur of a border.
    const double border = std::exp((std::max(std::abs(key), std::abs(got)) - kBias - 0.5) *
                                   static_cast<double>(kLnGamma));
    ASSERT_NEAR(std::abs(v) / border, 1, blur(key) * 2.3e-16) << v;
  }
}

TEST(Sketch, TheEndsOfTheRange) {
  constexpr double kMin = 9.94185408912145e-10;
  EXPECT_EQ(kMin, std::pow(1.015625, 1 - kBias));
  EXPECT_EQ(key_of(kMin), 1);
  EXPECT_EQ(key_of(std::nextafter(kMin, 0)), 0);
  EXPECT_EQ(key_of(-kMin), -1);
  EXPECT_EQ(key_of(-std::nextafter(kMin, 0)), 0);
  EXPECT_EQ(key_of(5e-324), 0);
  const double top = static_cast<double>(std::exp((kKeyMax - kBias + 0.5L) * kLnGamma));
  EXPECT_EQ(key_of(top * (1 - 1e-12)), kKeyMax);
  EXPECT_EQ(key_of(top * (1 + 1e-12)), kKeyInfinity);
  EXPECT_EQ(key_of(-top * (1 + 1e-12)), -kKeyInfinity);
  EXPECT_EQ(key_of(std::numeric_limits<double>::max()), kKeyInfinity);
}

TEST(Sketch, ValueOfABin) {
  for (int k = -32767; k <= 32767; ++k) {
    ASSERT_EQ(key_of(value_of(k)), k);
    ASSERT_EQ(value_of(-k), -value_of(k));
    if (k < 1 || k > kKeyMax) continue;
    const long double exact = std::pow(1.015625L, k - kBias);
    ASSERT_NEAR(static_cast<double>(value_of(k) / exact), 1, 2.3e-16) << k;
  }
  EXPECT_EQ(value_of(0), 0);
  EXPECT_EQ(value_of(32767), HUGE_VAL);
}

// --- bins ---

// Bins of one multiset of keys, as spec 8.6 writes it: one a key, and of more than 4096 the lowest
// go into the lowest one kept.
using Counts = std::map<int, uint64_t>;

std::vector<Bin> reference_bins(const Counts& counts) {
  std::vector<Bin> bins;
  for (const auto& [key, count] : counts) bins.push_back({static_cast<int16_t>(key), count});
  while (bins.size() > 4096) {
    bins[1].count += bins[0].count;
    bins.erase(bins.begin());
  }
  return bins;
}

std::string show(std::span<const Bin> bins) {
  std::string text;
  for (const Bin& b : bins) text += std::to_string(b.key) + "x" + std::to_string(b.count) + " ";
  return text;
}

std::vector<Bin> merge_bins(std::vector<Bin> a, const std::vector<Bin>& b) {
  a.insert(a.end(), b.begin(), b.end());
  a.resize(normalize(a));
  return a;
}

// Parts, the counts of all of them together, and the parts' bins.
struct Parts {
  Counts all;
  std::vector<std::vector<Bin>> bins;
};

Parts make_parts(uint64_t seed) {
  std::mt19937_64 random(seed);
  // Few keys, about as many as the limit, or many more.
  const uint64_t range = std::array{20, 4200, 60'000}[seed % 3];
  Parts parts;
  for (uint64_t n = 2 + random() % 4; n != 0; --n) {
    Counts counts;
    for (uint64_t i = random() % (range == 20 ? 50 : 9000); i != 0; --i) {
      const auto key = static_cast<int>(random() % range) - static_cast<int>(range / 2);
      const uint64_t count = random() % 8 == 0 ? random() % (uint64_t{1} << 34) : 1;
      counts[key] += count;
      parts.all[key] += count;
    }
    parts.bins.push_back(reference_bins(counts));
  }
  return parts;
}

// The bin limit does not spoil it: the 4096 highest keys of a union are among the 4096 highest of
// each part, and what a part folds lies below the lowest of them or goes there.
TEST(Sketch, MergingPartsIsTheSketchOfTheirUnion) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    const Parts parts = make_parts(seed);
    const std::string expected = show(reference_bins(parts.all));
    std::vector<std::vector<Bin>> left = parts.bins;
    std::shuffle(left.begin(), left.end(), std::mt19937_64(seed));
    while (left.size() > 1) {  // in any order and grouping
      const size_t at = seed % (left.size() - 1);
      left[at] = merge_bins(left[at], left[at + 1]);
      left.erase(left.begin() + static_cast<ptrdiff_t>(at) + 1);
    }
    ASSERT_EQ(show(left[0]), expected) << "seed " << seed;
  }
}

TEST(Sketch, MergingIsAssociativeAndCommutative) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    const std::vector<std::vector<Bin>> p = make_parts(seed).bins;
    const auto &a = p[0], &b = p[1], &c = p.back();
    const std::string expected = show(merge_bins(merge_bins(a, b), c));
    ASSERT_EQ(show(merge_bins(a, merge_bins(b, c))), expected) << "seed " << seed;
    ASSERT_EQ(show(merge_bins(c, merge_bins(b, a))), expected) << "seed " << seed;
  }
}

TEST(Sketch, CollapsesTheLowestBins) {
  std::vector<Bin> bins;
  for (int key = 5000; key > 0; --key) bins.push_back({static_cast<int16_t>(key), 1});
  bins.push_back({5000, 4});
  bins.resize(normalize(bins));
  ASSERT_EQ(bins.size(), kBinsMax);
  EXPECT_EQ(bins.front().key, 905);
  EXPECT_EQ(bins.front().count, 905u);
  EXPECT_EQ(bins.back().key, 5000);
  EXPECT_EQ(bins.back().count, 5u);
}

TEST(Sketch, NegativeKeysFoldFirst) {
  std::vector<Bin> bins;
  for (int key = -2500; key <= 2500; ++key) bins.push_back({static_cast<int16_t>(key), 1});
  bins.resize(normalize(bins));
  ASSERT_EQ(bins.size(), kBinsMax);
  EXPECT_EQ(bins.front().key, 2500 - 4095);
  EXPECT_EQ(bins.front().count, 5001u - 4095);
}

// --- summaries ---

Summary of(double v, uint64_t count, double sum) { return {count, sum, v, v, v}; }

// Spec 8.6, one after the other: into an empty one it is copied.
Summary reference_merge(Summary into, const Summary& from) {
  if (into.count == 0) return from;
  into.count += from.count;
  into.sum += from.sum;
  into.min = std::min(into.min, from.min);
  into.max = std::max(into.max, from.max);
  into.avg +=
      (from.avg - into.avg) * static_cast<double>(from.count) / static_cast<double>(into.count);
  return into;
}

TEST(Sketch, SummariesAreTheSpecificationsUpToRounding) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 300; ++round) {
    Summary ours{}, reference{};
    for (uint64_t n = 1 + random() % 50; n != 0; --n) {
      const double v = static_cast<double>(random() % 20'000) / 7 - 1000;
      const double rate = std::array{1.0, 0.5, 0.3, 0.07}[random() % 4];
      Summary one = of(v, static_cast<uint64_t>(1 / rate), v * (1 / rate));
      one.weighted = ExactSum(v * static_cast<double>(one.count));
      merge(ours, one);
      reference = reference_merge(reference, one);
    }
    ASSERT_EQ(ours.count, reference.count);
    ASSERT_EQ(ours.min, reference.min);
    ASSERT_EQ(ours.max, reference.max);
    ASSERT_NEAR(ours.sum, reference.sum, 1e-8);
    ASSERT_NEAR(ours.avg, reference.avg, 1e-9);
  }
}

// --- quantiles ---

using Draw = double (*)(std::mt19937_64&);
struct Distribution {
  const char* name;
  Draw draw;
};
const Distribution kDistributions[] = {
    {"uniform", [](std::mt19937_64& r) { return std::uniform_real_distribution(0., 1000.)(r); }},
    {"normal", [](std::mt19937_64& r) { return std::normal_distribution(10., 100.)(r); }},
    {"lognormal", [](std::mt19937_64& r) { return std::lognormal_distribution(0., 3.)(r); }},
    {"exponential", [](std::mt19937_64& r) { return std::exponential_distribution(0.01)(r); }},
    {"pareto",
     [](std::mt19937_64& r) {
       return std::pow(1 - std::uniform_real_distribution(0., 1.)(r), -1 / 1.2);
     }},
};

double quantile(std::span<const Bin> bins, uint64_t rank) {
  for (const Bin& b : bins) {
    if (rank < b.count) return value_of(b.key);
    rank -= b.count;
  }
  return NAN;
}

TEST(Sketch, QuantilesAreWithinOneIn128) {
  constexpr size_t kSamples = 200'000;
  for (const Distribution& d : kDistributions) {
    std::mt19937_64 random(7);
    std::vector<double> values(kSamples);
    Counts counts;
    for (double& v : values) ++counts[key_of(v = d.draw(random))];
    std::ranges::sort(values);
    const std::vector<Bin> bins = reference_bins(counts);
    double worst = 0;
    for (const double q : {0.5, 0.75, 0.9, 0.95, 0.99, 0.999}) {
      const auto rank = static_cast<uint64_t>(q * (kSamples - 1));
      const double error = std::abs(quantile(bins, rank) / values[rank] - 1);
      EXPECT_LE(error, 1. / 128) << d.name << " p" << q * 100;
      worst = std::max(worst, error);
    }
    RecordProperty(d.name, std::to_string(worst));
  }
}

}  // namespace
}  // namespace penstock::sketch

// The reference sketch and its exact sums (8.6).
#include "tests/reference/sketch.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "tests/reference/exact_sum.h"

namespace penstock::reference {
namespace {

using Bins = std::vector<std::pair<int, uint64_t>>;

TEST(ReferenceSketch, Keys) {  // the checks of 8.6
  const std::pair<double, int> cases[] = {
      {1, 1338},        {2, 1383},    {0.5, 1293},  {10, 1487},     {42, 1579},
      {100, 1635},      {1000, 1784}, {1e6, 2229},  {1e9, 2675},    {0.001, 892},
      {1e-9, 1},        {1e-10, 0},   {-42, -1579}, {1e308, 32767}, {-1e308, -32767},
      {0, 0},           {-0.0, 0},    {5e-324, 0},  {-1e-10, 0},    {9.94185408912145e-10, 1},
      {9.94185e-10, 0},
  };
  for (const auto& [value, key] : cases) EXPECT_EQ(sketch_key(value), key) << value;
}

TEST(ReferenceSketch, EveryBinIsWithinItsError) {
  for (int key = 2; key <= 32766; key += 7) {
    const double value = std::exp((key - 1338) * std::log1p(1.0 / 64));
    EXPECT_EQ(sketch_key(value), key);
  }
}

TEST(ReferenceSketch, Weights) {  // 8.7
  const std::pair<double, double> cases[] = {
      {1, 1},
      {0.5, 2},
      {0.3, 1 / 0.3},
      {0, 1},
      {-1, 1},
      {2, 1},
      {std::nan(""), 1},
      {0x1p-32, 4294967295.0},
      {0x1p-33, 4294967295.0},
      {1e-320, 4294967295.0},
      {std::numeric_limits<double>::infinity(), 1},
  };
  for (const auto& [rate, factor] : cases) EXPECT_EQ(weight_factor(rate), factor) << rate;
  EXPECT_EQ(rate_factor(0x1p-40), 0x1p40);
  EXPECT_EQ(rate_factor(1e-320), 1);
}

TEST(ReferenceSketch, Summary) {
  Sketch sketch;
  sketch.insert(10, 1);
  sketch.insert(2, 0.3);
  sketch.insert(-1, 7);
  EXPECT_EQ(sketch.bins(), (Bins{{-1338, 1}, {1383, 3}, {1487, 1}}));
  EXPECT_EQ(sketch.count(), 5U);
  EXPECT_EQ(sketch.min(), -1);
  EXPECT_EQ(sketch.max(), 10);
  EXPECT_EQ(sketch.avg(), 3);                  // (10 + 3 * 2 - 1) / 5
  EXPECT_EQ(sketch.sum(), 9 + 2 * (1 / 0.3));  // the untruncated 1/rate
}

TEST(ReferenceSketch, OneSampleIsItsOwnAverage) {  // "into an empty summary it is copied"
  for (const double value : {0.1, 0.7, -3.3, 1e-9, 1e300}) {
    for (const double rate : {1.0, 0.5, 0.3, 0.1, 0.017}) {
      Sketch sketch;
      sketch.insert(value, rate);
      EXPECT_EQ(sketch.avg(), value) << value << "|@" << rate;
    }
  }
}

TEST(ReferenceSketch, FullBinsAreSplitRemainderFirst) {
  Sketch sketch;
  for (int i = 0; i < 3; ++i) sketch.insert(1, 1e-300);
  for (int i = 0; i < 3; ++i) sketch.insert(1, 1);
  EXPECT_EQ(sketch.bins(),
            (Bins{{1338, 3}, {1338, 4294967295}, {1338, 4294967295}, {1338, 4294967295}}));
  Sketch full;
  full.insert(1, 1e-300);
  EXPECT_EQ(full.bins(), (Bins{{1338, 4294967295}}));
}

TEST(ReferenceSketch, LowestBinsAreJoined) {
  Sketch sketch;
  const auto value = [](int key) { return std::exp((key - 1338) * std::log1p(1.0 / 64)); };
  for (int key = 2; key < 2 + 4098; ++key) sketch.insert(value(key), 1);
  sketch.insert(value(4), 1);
  const Bins bins = sketch.bins();
  ASSERT_EQ(bins.size(), 4096U);
  EXPECT_EQ(bins[0], (std::pair<int, uint64_t>{4, 4}));  // 2 and 3 went to 4, which came twice
  EXPECT_EQ(bins[1], (std::pair<int, uint64_t>{5, 1}));
  EXPECT_EQ(bins.back(), (std::pair<int, uint64_t>{4099, 1}));
  EXPECT_EQ(sketch.count(), 4099U);
}

TEST(ReferenceSum, RoundsOnce) {
  const double tiny = std::numeric_limits<double>::denorm_min();
  const double huge = std::numeric_limits<double>::max();
  struct {
    std::vector<double> values;
    double sum;
  } const cases[] = {
      {{}, 0},
      {{-0.0}, 0},
      {{1, 2, -3}, 0},
      {{0.1, 0.2}, 0.1 + 0.2},
      {{1e100, 1, -1e100}, 1},
      {{huge, huge, -huge, -huge, tiny}, tiny},
      {{tiny, tiny, -tiny}, tiny},
      {{huge, huge}, std::numeric_limits<double>::infinity()},
      {{-huge, -huge}, -std::numeric_limits<double>::infinity()},
      {{0x1p53, 1}, 0x1p53},            // a tie, to even
      {{0x1p53, 1, tiny}, 0x1p53 + 2},  // just above it
      {{0x1p53, 3}, 0x1p53 + 4},        // a tie, to even
      {{-0x1p53, -1, -tiny}, -0x1p53 - 2},
      {{0x1p-1022, -tiny}, 0x1p-1022 - tiny},
      {{-1, 0x1p-60}, -1},
  };
  for (const auto& c : cases) {
    ExactSum sum;
    for (double value : c.values) sum.add(value);
    EXPECT_EQ(sum.rounded(), c.sum) << testing::PrintToString(c.values);
  }
  ExactSum product;
  product.add_product(1 + 0x1p-52, (uint64_t{1} << 32) - 1);
  product.add(-0x1p32);
  EXPECT_EQ(product.rounded(), -1 + 0x1p-20 - 0x1p-52);
  ExactSum tenths;
  tenths.add_product(0.1, 3);
  EXPECT_EQ(tenths.rounded(), 0.1 * 3);
  EXPECT_EQ(tenths.divided_by(3), 0.1);  // 0.1 * 3 / 3 is not
  ExactSum infinite;
  infinite.add(std::numeric_limits<double>::infinity());
  EXPECT_FALSE(std::isfinite(infinite.rounded()));
}

}  // namespace
}  // namespace penstock::reference

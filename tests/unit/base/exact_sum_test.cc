#include "dataplane/base/exact_sum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

namespace penstock {
namespace {

double sum_of(const std::vector<double>& terms) {
  ExactSum sum{};
  for (const double t : terms) sum.add(t);
  return sum.value();
}

TEST(ExactSum, KeepsWhatADoubleRoundsAway) {
  EXPECT_EQ(sum_of({}), 0.0);
  EXPECT_EQ(sum_of({0.1, 0.2, 0.3, -0.6}), 0.1 + 0.2 - 0.30000000000000004 + 0x1p-55);
  EXPECT_EQ(sum_of({1e22, 1, -1e22}), 1);
  EXPECT_EQ(sum_of({1, 1e100, 1, -1e100}), 2);
  EXPECT_EQ(sum_of(std::vector<double>(10, 0.1)), 1);
  EXPECT_EQ(sum_of({0x1p53, 1, 1}), 0x1p53 + 2);
}

TEST(ExactSum, DoesNotDependOnOrderOrOnShards) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::vector<double> terms;
    for (uint64_t n = 1 + random() % 200; n != 0; --n) {
      const double magnitude = std::ldexp(1.0, static_cast<int>(random() % 40) - 20);
      terms.push_back((static_cast<double>(random()) - 0x1p63) * 0x1p-63 * magnitude);
    }
    const double expected = sum_of(terms);
    std::ranges::shuffle(terms, random);
    std::vector<ExactSum> shards(1 + random() % 8);
    for (const double t : terms) shards[random() % shards.size()].add(t);
    ExactSum all{};
    for (const ExactSum& shard : shards) all.add(shard);
    ASSERT_EQ(all.value(), expected) << round;
  }
}

TEST(ExactSum, LeavesTheRangeOfADoubleAsASumDoes) {
  constexpr double kMax = std::numeric_limits<double>::max();
  EXPECT_EQ(sum_of({kMax, kMax}), std::numeric_limits<double>::infinity());
  EXPECT_EQ(sum_of({-kMax, -kMax, 1}), -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(sum_of({HUGE_VAL, -HUGE_VAL, 1})));
  ExactSum all{};
  ExactSum infinite{};
  infinite.add(HUGE_VAL);
  all.add(1);
  all.add(infinite);
  EXPECT_EQ(all.value(), HUGE_VAL);
}

}  // namespace
}  // namespace penstock

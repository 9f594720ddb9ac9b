#include "tools/pktgen/verify.h"

#include <gtest/gtest.h>

#include <sstream>

namespace penstock::pktgen {
namespace {

std::vector<std::string> compare(const std::string& output, const Sums& sent) {
  std::istringstream in(output);
  auto found = differences(in, sent);
  EXPECT_TRUE(found.ok()) << found.status();
  return *std::move(found);
}

std::string rate(const std::string& metric, const std::string& value) {
  return R"({"ts":1700000000,"type":"rate","metric":")" + metric +
         R"(","host":"h","tags":[],"interval":10,"value":)" + value + "}\n";
}

TEST(Verify, AddsUpPointsOfAName) {
  EXPECT_TRUE(compare(rate("a", "0.7") + rate("a", "0.3") + rate("b", "0"), {{"a", 10}}).empty());
}

TEST(Verify, OtherTypesAndNamesAreNotCounters) {
  const std::string gauge = R"({"type":"gauge","metric":"a","interval":10,"value":5})"
                            "\n"
                            R"({"type":"sketch","metric":"a","cnt":3})"
                            "\n";
  EXPECT_TRUE(compare(gauge + rate("a", "0.1") + rate("other", "9"), {{"a", 1}}).empty());
}

TEST(Verify, NamesWhatDiffers) {
  const struct {
    std::string output;
    std::string says;
  } cases[] = {
      {"", "a: sent 10, output has 0"},
      {rate("a", "0.9"), "a: sent 10, output has 9"},
      {rate("a", "1") + rate("a", "1"), "a: sent 10, output has 20"},
      {rate("a", "1") + rate("a", "0.05"), "a: 1 points are not whole counts"},
      {rate("a", "1") + rate("a", "-1"), "a: 1 points are not whole counts"},
  };
  for (const auto& c : cases) {
    const auto found = compare(c.output, {{"a", 10}});
    ASSERT_EQ(found.size(), 1u) << c.says;
    EXPECT_EQ(found[0], c.says);
  }
}

TEST(Verify, ALineThatIsNotJsonIsAnError) {
  std::istringstream in(rate("a", "1") + "{\"ts\":17000");
  const auto found = differences(in, {{"a", 10}});
  ASSERT_FALSE(found.ok());
  EXPECT_NE(found.status().ToString().find("line 2"), std::string::npos);
}

TEST(Verify, ReportsAddUp) {
  Sums sums;
  std::istringstream one(R"({"packets":1,"counters":{"a":1,"b":2}})");
  std::istringstream two(R"({"packets":1,"counters":{"a":5}})");
  EXPECT_TRUE(add_report(one, sums).ok());
  EXPECT_TRUE(add_report(two, sums).ok());
  EXPECT_EQ(sums, (Sums{{"a", 6}, {"b", 2}}));
}

TEST(Verify, WhatIsNoReportIsRefused) {
  for (const std::string text : {"", "[]", "{}", R"({"counters":[]})", R"({"counters":{"a":1.5}})",
                                 R"({"counters":{"a":-1}})", "{"}) {
    Sums sums;
    std::istringstream in(text);
    EXPECT_FALSE(add_report(in, sums).ok()) << text;
  }
}

}  // namespace
}  // namespace penstock::pktgen

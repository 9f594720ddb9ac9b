#include "parsers/dogstatsd/locate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "parsers/simd/kernel.h"
#include "tests/support/padded.h"

namespace penstock::dogstatsd {
namespace {

Reason parse(std::string_view text) {
  constexpr Options kAll = {.timestamps = true, .client_origin = true};
  if (classify(text) == Class::kEvent) {
    Event event;
    return parse_event(text, kAll, event);
  }
  if (classify(text) == Class::kServiceCheck) {
    ServiceCheck check;
    return parse_service_check(text, kAll, check);
  }
  const Padded padded(text);
  const simd::Kernel& kernel = simd::kScalarKernel;
  const Line line = kernel.line(padded.view());
  if (line.reason != Reason::kOk) return line.reason;
  std::vector<double> scratch((line.value().size() + 1) / 2);
  Metric metric;
  return kernel.parse_metric(line, kAll, scratch, metric);
}

// `caret` has its `^` below the byte.
struct Case {
  std::string_view line, caret;
  Reason reason;
};

const Case kCases[] = {
    {"", "^", Reason::kNoPipe},
    {"page.views:1", "            ^", Reason::kNoPipe},
    {"page.views|c", "          ^", Reason::kNoColon},
    {"page|views:1|c", "    ^", Reason::kNoColon},
    {"|", "^", Reason::kNoColon},
    {":1|c", "^", Reason::kEmptyName},
    {":|c", "^", Reason::kEmptyName},
    {"a:|c", "  ^", Reason::kEmptyValue},

    {"a:1|", "    ^", Reason::kBadType},
    {"a:1|C", "    ^", Reason::kBadType},
    {"a:x|q", "    ^", Reason::kBadType},
    {"a:1||#b", "    ^", Reason::kBadType},

    {"a::|c", "  ^", Reason::kNoValues},
    {"a::::|c|@x", "  ^", Reason::kNoValues},

    {"a:x|c", "  ^", Reason::kBadValue},
    {"a: 1|c", "  ^", Reason::kBadValue},
    {"a:1x|c", "   ^", Reason::kBadValue},
    {"a:1.2.3|c", "     ^", Reason::kBadValue},
    {"a:1,5|c", "   ^", Reason::kBadValue},
    {"a:1:2:3s:4y|c", "       ^", Reason::kBadValue},
    {"a:::1:-|c", "       ^", Reason::kBadValue},
    {"a:.|c", "   ^", Reason::kBadValue},
    {"a:1e|c", "    ^", Reason::kBadValue},
    {"a:1e+|c", "     ^", Reason::kBadValue},
    {"a:1e5.|c", "     ^", Reason::kBadValue},
    {"a:0x10|c", "      ^", Reason::kBadValue},
    {"a:0x1g|c", "     ^", Reason::kBadValue},
    {"a:0b1|c", "   ^", Reason::kBadValue},
    {"a:1__0|c", "    ^", Reason::kBadValue},
    {"a:_1|c", "  ^", Reason::kBadValue},
    {"a:1_|c", "    ^", Reason::kBadValue},
    {"a:+nan|c", "   ^", Reason::kBadValue},
    {"a:nano|c", "     ^", Reason::kBadValue},
    {"a:info|c", "     ^", Reason::kBadValue},
    {"a:infinit|c", "         ^", Reason::kBadValue},
    {"a:1e400|c", "      ^", Reason::kBadValue},  // 1e40 would do
    {"a:--1|c", "   ^", Reason::kBadValue},

    {"a:1|c|@", "       ^", Reason::kBadRate},
    {"a:1|c|@0,5", "        ^", Reason::kBadRate},
    {"a:1|c|#@x|@0.5|@x|@y", "                ^", Reason::kBadRate},
    {"a:1|c|@1|Thu|@x", "          ^", Reason::kBadTimestamp},

    {"a:1|c|T", "       ^", Reason::kBadTimestamp},
    {"a:1|c|T-", "       ^", Reason::kBadTimestamp},
    {"a:1|c|T0", "       ^", Reason::kBadTimestamp},
    {"a:1|c|T-5", "       ^", Reason::kBadTimestamp},
    {"a:1|c|T1.5", "        ^", Reason::kBadTimestamp},
    {"a:1|c|T1|T2_0", "           ^", Reason::kBadTimestamp},
    {"a:1|c|T99999999999999999999", "       ^", Reason::kBadTimestamp},

    {"_e{5,6}", "       ^", Reason::kEventNoColon},
    {"_e{5,}:x", "      ^", Reason::kEventBadHeader},
    {"_e{55555}:x", "        ^", Reason::kEventBadHeader},
    {"_e{x,5}:x", "   ^", Reason::kEventBadHeader},
    {"_e{5x,5}:x", "    ^", Reason::kEventBadHeader},
    {"_e{,555}:x", "   ^", Reason::kEventBadHeader},
    {"_e{+,55}:x", "    ^", Reason::kEventBadHeader},
    {"_e{-1,5}:x", "   ^", Reason::kEventBadHeader},
    {"_e{5,x}:x", "     ^", Reason::kEventBadHeader},
    {"_e{5, 5}:x", "     ^", Reason::kEventBadHeader},
    {"_e{555,}:x", "       ^", Reason::kEventBadHeader},
    {"_e{5,5_0}:x", "      ^", Reason::kEventBadHeader},
    {"_e{99999999999999999999,5}:x", "   ^", Reason::kEventBadHeader},
    {"_e{5,+99999999999999999999}:x", "     ^", Reason::kEventBadHeader},
    {"_e{0,5}:|text!", "   ^", Reason::kEventEmptyTitle},
    {"_e{5,6}:title|text", "                  ^", Reason::kEventTooShort},

    {"_scan:1|c", "         ^", Reason::kScFormat},
    {"_sc|name", "        ^", Reason::kScFormat},
    {"_sc||0", "    ^", Reason::kScEmptyName},
    {"_sc|name|", "         ^", Reason::kScBadStatus},
    {"_sc|name|4", "         ^", Reason::kScBadStatus},
    {"_sc|name|00", "          ^", Reason::kScBadStatus},
    {"_sc|name|OK|#a", "         ^", Reason::kScBadStatus},
};

TEST(Locate, PointsAtTheByte) {
  for (const Case& c : kCases) {
    ASSERT_EQ(reason_name(parse(c.line)), reason_name(c.reason)) << c.line;
    EXPECT_EQ(locate_error(c.line, c.reason), c.caret.find('^')) << c.line << "\n" << c.caret;
  }
}

TEST(Locate, HasACaseOfEveryReason) {
  for (size_t i = 1; i < kReasons; ++i) {
    const auto reason = static_cast<Reason>(i);
    const bool found = std::any_of(std::begin(kCases), std::end(kCases),
                                   [reason](const Case& c) { return c.reason == reason; });
    EXPECT_TRUE(found) << reason_name(reason);
  }
}

// What is cut off a number is never to blame: the beginning can still become one.
TEST(Locate, EveryBeginningOfANumberIsGood) {
  for (const std::string_view number : {"12", "-1.5e-10", "+.5E+3", "0x1.8p-4", "-0X_FF.p+1_0",
                                        "1_0.2_5", "infinity", "-INF", "nan", "0x.8p1", "5."}) {
    for (size_t n = 0; n < number.size(); ++n) {
      const std::string line = "a:" + std::string(number.substr(0, n)) + "$|c";
      EXPECT_EQ(locate_error(line, parse(line)), 2 + n) << line;
    }
  }
}

TEST(Locate, LongValuesAreNotSlow) {
  const std::string line = "a:" + std::string(65000, '1') + "x|c";
  EXPECT_LE(locate_error(line, parse(line)), line.size());
}

TEST(Locate, GoodMessageHasNoError) { EXPECT_EQ(locate_error("a:1|c", Reason::kOk), 0U); }

}  // namespace
}  // namespace penstock::dogstatsd

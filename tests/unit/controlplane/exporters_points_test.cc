#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "controlplane/exporters/json_lines.h"
#include "controlplane/exporters/points.h"
#include "controlplane/exporters/text.h"
#include "dataplane/base/strings.h"
#include "exporters_support.h"

namespace penstock {
namespace {

using segment::Bin;
using segment::Kind;
using segment::WeightedValue;
using segment::Writer;

using Tags = std::vector<std::string_view>;
const Tags kTag = {"a:b", "x"};

HistogramConfig config(std::vector<std::string> aggregates, std::vector<std::string> percentiles) {
  std::vector<std::string> ignored;
  return HistogramConfig::parse(aggregates, percentiles, ignored);
}

HistogramConfig defaults() { return config({"max", "median", "avg", "count"}, {"0.95"}); }

std::string lines(const std::function<void(Writer&)>& write,
                  const HistogramConfig& histograms = defaults()) {
  const TestSegment segment(write);
  std::string out;
  JsonLinesEncoder encoder(out);
  for_each_point(segment.reader(), histograms, encoder);
  return out;
}

struct Example {
  const char* name;
  void (*write)(Writer&);
  const char* expected;
};

// Spec 8.9, and what the formats say.
const Example kExamples[] = {
    {"counter",
     [](Writer& w) {
       w.counter({"a", "h", kTag}, 7);
     },
     R"({"ts":1700000000,"type":"rate","metric":"a","host":"h","tags":["a:b","x"],"interval":10,"value":0.7})"
     "\n"},
    {"zero",
     [](Writer& w) {
       w.counter({"a", "", {}}, 0);
     },
     R"({"ts":1700000000,"type":"rate","metric":"a","host":"","tags":[],"interval":10,"value":0})"
     "\n"},
    {"gauge",
     [](Writer& w) {
       w.gauge({"b", "h", {}}, 4, 1700000001234, 0);
     },
     R"({"ts":1700000000,"type":"gauge","metric":"b","host":"h","tags":[],"interval":10,"value":4})"
     "\n"},
    {"set",
     [](Writer& w) {
       w.set({"u", "h", {}}, std::vector<uint64_t>{5, 9});
     },
     R"({"ts":1700000000,"type":"gauge","metric":"u","host":"h","tags":[],"interval":10,"value":2})"
     "\n"},
    {"empty_set",
     [](Writer& w) {
       w.set({"u", "h", {}}, {});
     },
     ""},
    {"histogram_1_to_10",
     [](Writer& w) {
       std::vector<WeightedValue> values;
       for (int i = 1; i <= 10; ++i) values.push_back({static_cast<double>(i), 1});
       w.histogram({"h", "", {}}, {10, 55, 1, 10, 5.5}, values, {});
     },
     R"({"ts":1700000000,"type":"gauge","metric":"h.max","host":"","tags":[],"interval":10,"value":10}
{"ts":1700000000,"type":"gauge","metric":"h.median","host":"","tags":[],"interval":10,"value":5}
{"ts":1700000000,"type":"gauge","metric":"h.avg","host":"","tags":[],"interval":10,"value":5.5}
{"ts":1700000000,"type":"rate","metric":"h.count","host":"","tags":[],"interval":10,"value":1}
{"ts":1700000000,"type":"gauge","metric":"h.95percentile","host":"","tags":[],"interval":10,"value":10}
)"},
    {"histogram_without_room_for_values",
     [](Writer& w) {
       w.histogram({"h", "", {}}, {3, 18, 5, 7, 6}, {}, {});
     },
     R"({"ts":1700000000,"type":"gauge","metric":"h.max","host":"","tags":[],"interval":10,"value":7}
{"ts":1700000000,"type":"gauge","metric":"h.avg","host":"","tags":[],"interval":10,"value":6}
{"ts":1700000000,"type":"rate","metric":"h.count","host":"","tags":[],"interval":10,"value":0.3}
)"},
    {"histogram_sampled",
     [](Writer& w) {
       w.histogram({"h", "", {}}, {3, 10 * (1 / 0.3), 10, 10, 10},
                   std::vector<WeightedValue>{{10, 3}}, {});
     },
     R"({"ts":1700000000,"type":"gauge","metric":"h.max","host":"","tags":[],"interval":10,"value":10}
{"ts":1700000000,"type":"gauge","metric":"h.median","host":"","tags":[],"interval":10,"value":10}
{"ts":1700000000,"type":"gauge","metric":"h.avg","host":"","tags":[],"interval":10,"value":11.111111111111112}
{"ts":1700000000,"type":"rate","metric":"h.count","host":"","tags":[],"interval":10,"value":0.3}
{"ts":1700000000,"type":"gauge","metric":"h.95percentile","host":"","tags":[],"interval":10,"value":10}
)"},
    {"distribution",
     [](Writer& w) {
       w.distribution({"d", "h", {}}, {4, 47, 1, 42, 11.75},
                      std::vector<Bin>{{1338, 1}, {1383, 2}, {1579, 1}});
     },
     R"({"ts":1700000000,"type":"sketch","metric":"d","host":"h","tags":[],"k":[1338,1383,1579],"n":[1,2,1],"cnt":4,"min":1,"max":42,"avg":11.75,"sum":47})"
     "\n"},
    {"distribution_splits_large_counts",
     [](Writer& w) {
       w.distribution({"d", "", {}}, {2ull * UINT32_MAX + 5, 1, 1, 1, 1},
                      std::vector<Bin>{{-3, 2ull * UINT32_MAX + 4}, {0, UINT32_MAX}, {1, 1}});
     },
     R"({"ts":1700000000,"type":"sketch","metric":"d","host":"","tags":[],"k":[-3,-3,-3,0,1],"n":[4,4294967295,4294967295,4294967295,1],"cnt":8589934595,"min":1,"max":1,"avg":1,"sum":1})"
     "\n"},
    {"empty_distribution",
     [](Writer& w) {
       w.distribution({"d", "", {}}, {}, {});
     },
     ""},
    {"timestamped_counter",
     [](Writer& w) {
       w.timestamped(Kind::kCounter, {"t", "h", {}}, 1700000003, 50);
     },
     R"({"ts":1700000003,"type":"rate","metric":"t","host":"h","tags":[],"interval":10,"value":5})"
     "\n"},
    {"timestamped_gauge",
     [](Writer& w) {
       w.timestamped(Kind::kGauge, {"t", "h", {}}, 1, 50);
     },
     R"({"ts":1,"type":"gauge","metric":"t","host":"h","tags":[],"interval":10,"value":50})"
     "\n"},
    {"event",
     [](Writer& w) {
       w.event({"ti\"t", "te\nxt", 1700000001, "h", "k", "s", "low", "error", "c", "high", kTag,
                UINT64_MAX, "it-true,cn-web,pu-\"u"});
     },
     R"({"type":"event","title":"ti\"t","text":"te\nxt","priority":"low","alert_type":"error","timestamp":1700000001,"hostname":"h","aggregation_key":"k","source_type":"s","container_id":"c","inode":18446744073709551615,"cardinality":"high","external_data":{"init":true,"container_name":"web","pod_uid":"\"u"},"tags":["a:b","x"]})"
     "\n"},
    {"event_with_little",
     [](Writer& w) {
       w.event({"t", "", 0, "", "", "", "normal", "info", "", "", {}});
     },
     R"({"type":"event","title":"t","text":"","priority":"normal","alert_type":"info"})"
     "\n"},
    {"service_check",
     [](Writer& w) {
       w.service_check({"db", 2, 1700000001, "h", "no \\ way", "c", "low", kTag, 7, "cn-web"});
     },
     R"({"type":"service_check","name":"db","status":2,"timestamp":1700000001,"hostname":"h","message":"no \\ way","container_id":"c","inode":7,"cardinality":"low","external_data":{"init":false,"container_name":"web","pod_uid":""},"tags":["a:b","x"]})"
     "\n"},
    {"numbers_read_back",
     [](Writer& w) {
       w.gauge({"a", "", {}}, 0.1, 0, 0);
       w.gauge({"a", "", {}}, -1e300, 0, 0);
     },
     R"({"ts":1700000000,"type":"gauge","metric":"a","host":"","tags":[],"interval":10,"value":0.1}
{"ts":1700000000,"type":"gauge","metric":"a","host":"","tags":[],"interval":10,"value":-1e+300}
)"},
};

class JsonLines : public testing::TestWithParam<Example> {};

TEST_P(JsonLines, IsAsDocumented) { EXPECT_EQ(lines(GetParam().write), GetParam().expected); }

INSTANTIATE_TEST_SUITE_P(Points, JsonLines, testing::ValuesIn(kExamples),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(JsonLinesEncoder, LeavesOutAndCountsWhatIsNotFinite) {
  const double inf = std::numeric_limits<double>::infinity();
  const TestSegment segment([&](Writer& w) {
    w.counter({"a", "", {}}, inf);
    w.gauge({"a", "", {}}, std::nan(""), 0, 0);
    w.distribution({"a", "", {}}, {1, inf, 1, 1, 1}, std::vector<Bin>{{1, 1}});
  });
  std::string out;
  JsonLinesEncoder encoder(out);
  for_each_point(segment.reader(), defaults(), encoder);
  EXPECT_EQ(out, "");
  EXPECT_EQ(encoder.not_finite(), 3u);
}

struct Utf8Case {
  const char* name;
  std::string_view in, out;  // out: inside of the JSON string
};
constexpr std::string_view kNul("\0", 1);
const Utf8Case kUtf8[] = {
    {"plain", "abc", "abc"},
    {"escapes", "\"\\\n\r\t\x01\x1f", R"(\"\\\n\r\t\u0001\u001f)"},
    {"nul", kNul, "\\u0000"},
    {"valid", "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80", "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80"},
    {"lone_continuation", "a\x80z", "a\xEF\xBF\xBDz"},
    {"cut_short", "\xE2\x82", "\xEF\xBF\xBD"},
    {"cut_short_then_text", "\xF0\x9F\x98z", "\xEF\xBF\xBDz"},
    {"overlong", "\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"},
    {"overlong_3", "\xE0\x9F\xBF", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
    {"surrogate", "\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
    {"above_10ffff", "\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
    {"no_such_lead", "\xFF", "\xEF\xBF\xBD"},
};

TEST(JsonText, IsValidUtf8) {
  for (const Utf8Case& c : kUtf8) {
    std::string out;
    append_json_text(out, c.in);
    EXPECT_EQ(out, c.out) << c.name;
  }
}

TEST(JsonText, OfAnyBytesParses) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::string in(random() % 40, ' ');
    for (char& c : in) c = static_cast<char>(random());
    std::string out = "\"";
    append_json_text(out, in);
    out += '"';
    EXPECT_TRUE(nlohmann::json::accept(out)) << out;
  }
}

TEST(HistogramConfig, TakesWhatTheAgentTakes) {
  std::vector<std::string> ignored;
  const std::vector<std::string> aggregates = {"sum", "min", "mean", "max"};
  const std::vector<std::string> percentiles = {"0.99", "0.5", "1",   "0",     "1.1",   "-0.1",
                                                "x",    "",    "nan", "0.955", "+0.25", "0x1p-2"};
  const auto c = HistogramConfig::parse(aggregates, percentiles, ignored);
  EXPECT_THAT(c.aggregates,
              testing::ElementsAre(Aggregate::kSum, Aggregate::kMin, Aggregate::kMax));
  std::vector<std::string> suffixes;
  for (const auto& p : c.percentiles) suffixes.push_back(p.suffix);
  EXPECT_THAT(suffixes, testing::ElementsAre(".0percentile", ".25percentile", ".25percentile",
                                             ".50percentile", ".96percentile", ".99percentile",
                                             ".100percentile"));
  EXPECT_THAT(ignored, testing::ElementsAre("mean", "1.1", "-0.1", "x", "", "nan"));
}

// Spec 7.6, second stage.
TEST(HistogramConfig, LeavesOutTheSeriesThatAFilterNames) {
  struct Case {
    std::vector<std::string> entries;
    bool prefix;
    const char* kept;  // of a.max, a.median, a.avg, a.count, a.95percentile and b.*
  };
  const Case cases[] = {
      {{},
       false,
       "a.max a.median a.avg a.count a.95percentile b.max b.median b.avg b.count b.95percentile"},
      {{"a.max", "b.95percentile", "c.avg"},
       false,
       "a.median a.avg a.count a.95percentile b.max b.median b.avg b.count"},
      // What does not end in the suffix of one of our series is of the first stage.
      {{"a", "a.min", "a.sum", "a.50percentile", "a.", ""},
       true,
       "a.max a.median a.avg a.count a.95percentile b.max b.median b.avg b.count b.95percentile"},
      {{"a.max", "b.count"},
       true,
       "a.median a.avg a.count a.95percentile b.max b.median b.avg b.95percentile"},
      {{".max"},
       true,
       "a.max a.median a.avg a.count a.95percentile b.max b.median b.avg b.count b.95percentile"},
  };
  const TestSegment segment([](Writer& w) {
    for (const char* name : {"a", "b"}) {
      w.histogram({name, "", {}}, {1, 5, 5, 5, 5}, std::vector<WeightedValue>{{5, 1}}, {});
    }
    w.counter({"a.max", "", {}}, 1);  // the first stage has let it through
    w.distribution({"a", "", {}}, {1, 1, 1, 1, 1}, std::vector<Bin>{{1, 1}});
  });
  struct Names : PointSink {
    std::string text;
    size_t others = 0;
    void series(const SeriesPoint& p) override {
      if (p.rate && p.suffix.empty()) {
        ++others;
      } else {
        text += cat(text.empty() ? "" : " ", p.name, p.suffix);
      }
    }
    void sketch(const SketchPoint&) override { ++others; }
    void event(const segment::Event&) override {}
    void service_check(const segment::ServiceCheck&) override {}
  };
  for (const Case& c : cases) {
    HistogramConfig histograms = defaults();
    histograms.leave_out(c.entries, c.prefix);
    Names names;
    const uint64_t filtered = for_each_point(segment.reader(), histograms, names);
    EXPECT_EQ(names.text, c.kept) << testing::PrintToString(c.entries);
    EXPECT_EQ(names.others, 2u);
    EXPECT_EQ(filtered + static_cast<size_t>(std::ranges::count(names.text, ' ')) + 1, 10u);
  }
}

struct PercentileCase {
  std::vector<WeightedValue> values;
  uint32_t percent;
  std::optional<double> expected;
};

TEST(Percentile, FollowsTheSpecification) {
  const std::vector<WeightedValue> two = {{1, 1}, {2, 1}};
  const std::vector<WeightedValue> heavy = {{1, 1}, {2, 98}, {3, 1}};
  const std::vector<WeightedValue> vast = {{1, 1ull << 62}, {2, 1ull << 62}};
  const PercentileCase cases[] = {
      {two, 0, 1},   {two, 50, 1},       {two, 51, 2},     {two, 100, 2},      {heavy, 1, 1},
      {heavy, 2, 2}, {heavy, 99, 2},     {heavy, 100, 3},  {vast, 50, 1},      {vast, 51, 2},
      {{}, 95, {}},  {{{5, 0}}, 95, {}}, {{{5, 1}}, 0, 5}, {{{5, 1}}, 100, 5},
  };
  for (const PercentileCase& c : cases) {
    EXPECT_EQ(percentile({}, c.values, {}, c.percent), c.expected) << c.percent;
  }
}

TEST(Percentile, OfBinsStaysWithinTheExtremes) {
  const std::vector<Bin> bins = {{-1579, 1}, {0, 1}, {1338, 1}, {32767, 1}};
  const segment::Summary s = {4, 1, -41.9, 1e300, 1};
  EXPECT_EQ(percentile(s, {}, bins, 1), -41.9);
  EXPECT_EQ(percentile(s, {}, bins, 50), 0);
  EXPECT_EQ(percentile(s, {}, bins, 75), 1);
  EXPECT_EQ(percentile(s, {}, bins, 100), 1e300);
}

TEST(Points, OneTinyRateDoesNotFillTheOutput) {
  const std::vector<Bin> bins = {{1, UINT64_MAX}, {2, UINT64_MAX - 1}};
  size_t out = 0;
  for_each_output_bin(bins, [&](int16_t, uint32_t) { ++out; });
  EXPECT_EQ(out, 4096u + 1);  // UINT64_MAX is a multiple of UINT32_MAX
}

TEST(Points, HistogramOfBins) {
  const std::string out = lines(
      [](Writer& w) {
        w.histogram({"h", "", {}}, {4, 47, 1, 42, 11.75}, {},
                    std::vector<Bin>{{1338, 1}, {1383, 2}, {1579, 1}});
      },
      config({"min", "sum", "median"}, {"1"}));
  EXPECT_THAT(
      out, testing::HasSubstr(R"("metric":"h.min","host":"","tags":[],"interval":10,"value":1})"));
  EXPECT_THAT(
      out, testing::HasSubstr(R"("metric":"h.sum","host":"","tags":[],"interval":10,"value":47})"));
  EXPECT_THAT(out, testing::HasSubstr(
                       R"("metric":"h.median","host":"","tags":[],"interval":10,"value":2.0)"));
  EXPECT_THAT(out, testing::HasSubstr(R"("metric":"h.100percentile")"));
}

TEST(Points, WeightZeroGivesMedianZeroAndNoPercentile) {
  const std::string out = lines(
      [](Writer& w) {
        w.histogram({"h", "", {}}, {0, 5, 10, 10, 0}, std::vector<WeightedValue>{{10, 0}}, {});
      },
      config({"max", "median"}, {"0.95"}));
  EXPECT_EQ(
      out,
      R"({"ts":1700000000,"type":"gauge","metric":"h.max","host":"","tags":[],"interval":10,"value":10}
{"ts":1700000000,"type":"gauge","metric":"h.median","host":"","tags":[],"interval":10,"value":0}
)");
}

}  // namespace
}  // namespace penstock

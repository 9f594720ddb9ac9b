// Packets in, JSON lines out. Values are computed by hand from the specification and its rulings.
#include "tools/replay/replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "dataplane/base/strings.h"
#include "tools/replay/input.h"

namespace penstock::replay {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::IsEmpty;

constexpr int64_t kStart = 1'700'000'000;

struct Sent {
  double t;  // from kStart
  std::string packet;
};

struct Outcome {
  std::vector<std::string> lines;
  nlohmann::ordered_json ledger;
  std::vector<std::string> notes;
};

std::string json_of(const std::vector<Sent>& sent, double start = kStart) {
  std::string text;
  for (const Sent& s : sent) {
    text += nlohmann::json{{"t", start + s.t}, {"packet", s.packet}}.dump() + "\n";
  }
  return text;
}

Outcome replay_text(const std::string& text, const std::string& yaml = "", uint16_t shards = 1,
                    uint16_t burst = 32) {
  Outcome run;
  const auto loaded = parse_config(yaml, "test.yaml", {});
  EXPECT_TRUE(loaded.ok()) << loaded.status().ToString();
  const Config& config = loaded->config;
  const auto plan = plan_for(config);
  EXPECT_TRUE(plan.ok()) << plan.status().ToString();
  std::vector<std::string> ignored;
  Options options{shards, burst, config.eol_udp, config.eol_uds, config.eol_pipe, {}};
  options.histograms =
      HistogramConfig::parse(config.histogram_aggregates, config.histogram_percentiles, ignored);
  options.histograms.leave_out(config.filter, config.filter_prefix);
  Replay replay(**plan, options, [&](std::string_view bucket) {
    for (size_t end = 0; !bucket.empty(); bucket.remove_prefix(end + 1)) {
      end = bucket.find('\n');
      run.lines.emplace_back(bucket.substr(0, end));
    }
  });
  const auto input = open_json_lines(Bytes::of(text));
  Record record;
  for (;;) {
    const auto more = input->next(record);
    EXPECT_TRUE(more.ok());
    if (!*more) break;
    EXPECT_EQ(record.error, "");
    replay.take(record);
  }
  replay.finish();
  run.ledger = replay.ledger();
  run.notes = replay.notes();
  EXPECT_TRUE(run.ledger.at("balanced").get<bool>()) << run.ledger.dump(1);
  return run;
}

Outcome replay(const std::vector<Sent>& sent, const std::string& yaml = "", uint16_t shards = 1,
               uint16_t burst = 32) {
  return replay_text(json_of(sent), yaml, shards, burst);
}

// "time metric host #tags type value", with time from kStart, of a series or sketch; else the line.
std::string brief(const std::string& line) {
  const auto j = nlohmann::json::parse(line);
  if (!j.contains("metric")) return line;
  std::string tags;
  for (const auto& tag : j.at("tags")) tags += cat(tags.empty() ? "#" : ",", std::string(tag));
  std::string out =
      cat(j.at("ts").get<int64_t>() - kStart, " ", j.at("metric").get<std::string>(), " ",
          j.at("host").get<std::string>().empty() ? "" : cat(std::string(j.at("host")), " "),
          tags.empty() ? "" : cat(tags, " "), j.at("type").get<std::string>());
  if (j.contains("value")) return cat(out, " ", j.at("value").dump());
  for (const char* key : {"k", "n", "cnt", "min", "max", "avg", "sum"})
    out += cat(" ", j.at(key).dump());
  return out;
}

std::vector<std::string> briefs(const Outcome& run) {
  std::vector<std::string> out;
  for (const std::string& line : run.lines) out.push_back(brief(line));
  return out;
}

struct Case {
  const char* name;
  std::string packet;
  std::vector<std::string> lines;
  std::string config;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class OneBucket : public testing::TestWithParam<Case> {};

TEST_P(OneBucket, GivesTheAgentsPoints) {
  const Case& c = GetParam();
  EXPECT_THAT(briefs(replay({{0.5, c.packet}}, c.config)), ElementsAreArray(c.lines));
}

INSTANTIATE_TEST_SUITE_P(
    Spec, OneBucket,
    testing::Values(
        // 8.9
        Case{"counter", "a:3|c\na:2|c|@0.5", {"0 a rate 0.7"}, ""},
        Case{"gauge", "b:1|g\nb:7|g\nb:4|g", {"0 b gauge 4"}, ""},
        Case{"set", "u:x|s\nu:y|s\nu:x|s", {"0 u gauge 2"}, ""},
        Case{"histogram",
             "h:1:2:3:4:5:6:7:8:9:10|h",
             {"0 h.95percentile gauge 10", "0 h.avg gauge 5.5", "0 h.count rate 1",
              "0 h.max gauge 10", "0 h.median gauge 5"},
             ""},
        Case{"histogram_rate",
             "h:10|h|@0.3",
             {"0 h.95percentile gauge 10", "0 h.avg gauge 11.111111111111112", "0 h.count rate 0.3",
              "0 h.max gauge 10", "0 h.median gauge 10"},
             ""},
        Case{"sketch", "d:1:2:2:42|d", {"0 d sketch [1338,1383,1579] [1,2,1] 4 1 42 11.75 47"}, ""},
        Case{"sketch_rate", "d:2|d|@0.3", {"0 d sketch [1383] [3] 3 2 2 2 6.666666666666667"}, ""},
        Case{"timestamped", "t:50|c|@0.1|T1700000003", {"3 t rate 5"}, ""},
        // The rest of section 8, and the rulings.
        Case{"timing_is_a_histogram",
             "h:1|ms\nh:3|h",
             {"0 h.95percentile gauge 3", "0 h.avg gauge 2", "0 h.count rate 0.2",
              "0 h.max gauge 3", "0 h.median gauge 1"},
             ""},
        Case{"all_aggregates",
             "h:4:1:2|h|@0.5",
             {"0 h.0percentile gauge 1", "0 h.100percentile gauge 4", "0 h.50percentile gauge 2",
              "0 h.avg gauge 2.3333333333333335", "0 h.count rate 0.6", "0 h.max gauge 4",
              "0 h.median gauge 2", "0 h.min gauge 1", "0 h.sum gauge 14"},
             "histogram_aggregates: [max, median, avg, count, min, sum]\n"
             "histogram_percentiles: [\"0\", \"0.5\", \"1\"]"},
        Case{"timestamps_off",
             "t:50|c|T1700000003",
             {"0 t rate 5"},
             "dogstatsd_no_aggregation_pipeline: false"},
        Case{"timestamped_tags_are_sorted_and_unique",
             "t:5|g|#b,a,b|T1699999999",
             {"-1 t #a,b gauge 5"},
             ""},
        Case{"timestamped_values_come_one_by_one",
             "t:5:6:5|g|T1700000003",
             {"3 t gauge 5", "3 t gauge 5", "3 t gauge 6"},
             ""},
        Case{"timestamped_nan_is_not_sent", "t:nan:6|g|T1700000003", {"3 t gauge 6"}, ""},
        Case{"timestamped_others_are_not_sent", "t:1|h|T1\nt:1|d|T1\nt:1|s|T1\nt:1|ms|T1", {}, ""},
        Case{
            "nan_makes_a_counter_known", "a:nan|c\nb:inf|g\nc:nan|h\nd:-inf|d", {"0 a rate 0"}, ""},
        Case{"types_apart",
             "x:1|c\nx:9|g\nx:u|s",
             {"0 x gauge 1", "0 x gauge 9", "0 x rate 0.1"},
             ""},
        Case{"bad_rates_count_as_one",
             "x:1|c|@0\nx:1|c|@-1\nx:1|c|@2\nx:1|c|@nan",
             {"0 x rate 0.4"},
             ""},
        Case{"tags_in_any_order", "x:1|c|#b,a\nx:1|c|#a,b,a", {"0 x #a,b rate 0.2"}, ""},
        Case{"empty_tags_count",
             "x:1|c|#\nx:1|c|#a,,\nx:1|c",
             {"0 x rate 0.2", "0 x #,a rate 0.1"},
             ""},
        Case{"hosts",
             "x:1|g\nx:2|g|#host:b\nx:3|g|#host:",
             {"0 x gauge 3", "0 x b gauge 2", "0 x me gauge 1"},
             "hostname: me"},
        Case{"tags_and_namespace",
             "x:1|g\njvm.x:1|g",
             {"0 jvm.x #t gauge 1", "0 n.x #t gauge 1"},
             "dogstatsd_tags: [t]\nstatsd_metric_namespace: n"},
        Case{"bins_of_both_signs",
             "d:-42:0:42|d",
             {"0 d sketch [-1579,0,1579] [1,1,1] 3 -42 42 0 0"},
             ""},
        Case{"sums_do_not_lose", "a:1e22|c\na:1|c\na:-1e22|c", {"0 a rate 0.1"}, ""},
        Case{"copies",
             "h:1:nan|h|@0.5|#b,a\nh:2|ms|#a,b",
             {"0 n.h.95percentile #a,b gauge 2",
              "0 p.n.h #a,b sketch [1338,1383] [2,1] 3 1 2 1.3333333333333333 4"},
             "histogram_copy_to_distribution: true\nhistogram_copy_to_distribution_prefix: p.\n"
             "statsd_metric_namespace: n\nhistogram_aggregates: []\n"
             "histogram_percentiles: [\"0.95\"]"},
        Case{"a_copy_without_prefix_joins_the_distribution",
             "h:1|h\nh:2|d\ng:1|g\nc:1|c",
             {"0 c rate 0.1", "0 g gauge 1", "0 h sketch [1338,1383] [1,1] 2 1 2 1.5 3"},
             "histogram_copy_to_distribution: true\nhistogram_aggregates: []\n"
             "histogram_percentiles: []"},
        Case{"no_copies",
             "h:1|h",
             {},
             "histogram_copy_to_distribution_prefix: p.\nhistogram_aggregates: []\n"
             "histogram_percentiles: []"},
        Case{"filtered",
             "a.b:1|c\na.b.c:1|c\nh:1|h",
             {"0 a.b.c rate 0.1", "0 h.avg gauge 1", "0 h.count rate 0.1", "0 h.max gauge 1",
              "0 h.median gauge 1"},
             "metric_filterlist: [a.b, h.95percentile]"},
        Case{"a_filtered_histogram_has_no_copy",
             "h:1|h\nx:1|h|T1700000001\ni:1|h",
             {"0 p.i sketch [1338] [1] 1 1 1 1 1"},
             "metric_filterlist: [h, x, p.i]\nhistogram_copy_to_distribution: true\n"
             "histogram_copy_to_distribution_prefix: p.\nhistogram_aggregates: []\n"
             "histogram_percentiles: []"},
        Case{"mapped",
             "a.x.y:1|c|#t",
             {"0 b #k:x,t rate 0.1"},
             "dogstatsd_mapper_profiles: [{name: a, prefix: a., mappings: "
             "[{match: a.*.y, name: b, tags: {k: $1}}]}]"},
        Case{"eol_required", "a:1|c\nb:1|c", {"0 a rate 0.1"}, "dogstatsd_eol_required: [udp]"}),
    [](const auto& info) { return info.param.name; });

TEST(Replay, FillsACounterWithZerosUntilItExpires) {
  const Outcome run = replay({{5, "a:1|c"}, {1000, "b:1|g"}});
  std::vector<std::string> expected{"0 a rate 0.1"};
  for (int64_t start = 10; start < 305; start += 10) expected.push_back(cat(start, " a rate 0"));
  expected.emplace_back("1000 b gauge 1");
  EXPECT_THAT(briefs(run), ElementsAreArray(expected));
}

// The bucket 300 begins less than 300 s after a sample at 0.0001, and not after one at 0.
TEST(Replay, LastSeenKeepsTheFraction) {
  EXPECT_EQ(replay({{0, "a:1|c"}, {400, ""}}).lines.size(), 30u);
  EXPECT_EQ(replay({{0.0001, "a:1|c"}, {400, ""}}).lines.size(), 31u);
  EXPECT_EQ(replay({{0.9999, "a:1|c"}, {400, ""}}).lines.size(), 31u);
  EXPECT_EQ(replay({{5, "a:1|c"}, {400, ""}}, "dogstatsd_expiry_seconds: 5").lines.size(), 1u);
  EXPECT_EQ(replay({{5.25, "a:1|c"}, {400, ""}}, "dogstatsd_expiry_seconds: 5").lines.size(), 2u);
  EXPECT_EQ(replay({{5, "a:1|c"}, {4000, ""}}, "dogstatsd_expiry_seconds: 1000").lines.size(),
            101u);
  EXPECT_EQ(replay({{5, "a:1|c"}, {4000, ""}}, "dogstatsd_expiry_seconds: 0").lines.size(), 1u);
}

TEST(Replay, WorksFromTheFirstSecondOfTime) {
  const Outcome run = replay_text(json_of({{0, "a:1|c"}, {5, "b:1|c"}, {1000, ""}}, 0));
  EXPECT_EQ(run.lines.size(), 30u + 31u);
  EXPECT_EQ(run.lines[0],
            R"({"ts":0,"type":"rate","metric":"a","host":"","tags":[],"interval":10,"value":0.1})");
}

TEST(Replay, ContextsExpireAndComeBack) {
  const Outcome run = replay({{5, "a:1|c\ng:1|g"}, {10, "g:2|g"}, {700, "a:2|c\ng:3|g"}},
                             "dogstatsd_expiry_seconds: 10\ndogstatsd_context_expiry_seconds: 0");
  EXPECT_THAT(briefs(run), ElementsAre("0 a rate 0.1", "0 g gauge 1", "10 a rate 0", "10 g gauge 2",
                                       "700 a rate 0.2", "700 g gauge 3"));
}

TEST(Replay, GaugesAndSetsAreNotFilled) {
  EXPECT_THAT(
      briefs(replay({{5, "g:1|g\ns:a|s\nd:1|d"}, {25, "g:2|g"}})),
      ElementsAre("0 d sketch [1338] [1] 1 1 1 1 1", "0 g gauge 1", "0 s gauge 1", "20 g gauge 2"));
}

constexpr const char* kCopies =
    "histogram_copy_to_distribution: true\nhistogram_copy_to_distribution_prefix: p.\n"
    "histogram_aggregates: []\nhistogram_percentiles: []";

// Ruling 5.
TEST(Replay, ACopyWithATimestampGoesToTheBucketOfThatTime) {
  const std::vector<Sent> sent{
      {5, cat("h:1|h\nh:2|h|T", kStart + 9, "\nh:4|ms|@0.5|T", kStart + 25, "\nx:1|d|T1")},
      {15, cat("h:8|h|T", kStart + 3, "\nh:9:10|h|T", kStart + 4, "\nh:nan|h|T7")},
      {21, "h:16|h"},
      {35, cat("h:32|h|T", kStart + 20, "\nh:64|h|T", kStart + 90)}};
  for (const uint16_t shards : {1, 2, 3}) {
    const Outcome run = replay(sent, kCopies, shards);
    EXPECT_THAT(briefs(run), ElementsAre("0 p.h sketch [1338,1383] [1,1] 2 1 2 1.5 3",
                                         "0 p.h sketch [1472,1480,1487] [1,1,1] 3 8 10 9 27",
                                         "20 p.h sketch [1427,1517] [2,1] 3 4 16 8 24",
                                         "20 p.h sketch [1562] [1] 1 32 32 32 32",
                                         "90 p.h sketch [1606] [1] 1 64 64 64 64"));
    EXPECT_EQ(run.ledger["samples"]["unsupported_timestamped"], 9);
  }
}

// Also where nothing else came of the buckets between.
TEST(Replay, CopiesThatWaitComeBucketAfterBucket) {
  const std::string packet =
      cat("h:1|h|T", kStart + 30, "\nh:1|h|T", kStart + 40, "\nh:1|h|T", kStart + 5000);
  const Outcome run = replay({{5, packet}, {50, "h:1|h"}, {9000, "h:1|h"}}, kCopies);
  std::vector<std::string> times;
  for (const std::string& line : briefs(run)) times.push_back(line.substr(0, line.find(' ')));
  EXPECT_THAT(times, ElementsAre("30", "40", "50", "5000", "9000"));
}

// A NUL is a byte as any other.
TEST(Replay, WhatIsAPrefixComesFirst) {
  const std::string nul(1, '\0');
  const std::string packet = cat("a", nul, ":1|g\na:2|g\nab:3|g\na", nul, "b:4|g\nc:1|g|#t", nul,
                                 "\nc:2|g|#t\nc:3|g|#t,u\nc:4|g");
  std::vector<double> values;
  for (const std::string& line : replay({{5, packet}}).lines)
    values.push_back(nlohmann::json::parse(line).at("value"));
  EXPECT_THAT(values, ElementsAre(2, 1, 4, 3, 4, 2, 3, 1));
}

TEST(Replay, CopiesBeyondABoundAreCounted) {
  std::string packet;
  for (int i = 0; i < 20; ++i) packet += cat("h", i, ":1|h\n");
  Outcome run = replay({{5, packet}}, cat(kCopies, "\npenstock: {limits: {contexts: 16}}"));
  // 8 histograms and their copies; the others, and theirs, are folded.
  ASSERT_EQ(run.lines.size(), 9u);
  EXPECT_EQ(brief(run.lines[8]),
            "0 penstock.overflow #kind:distribution sketch [1338] [12] 12 1 1 1 12");
  std::vector<Sent> late;
  for (int i = 0; i < 1000; ++i) late.push_back({5.0 + i * 10, cat("h", i, ":1|h|T2000000000")});
  run = replay(late, cat(kCopies, "\npenstock: {limits: {carry_bytes: 64KiB}}"));
  EXPECT_LT(run.lines.size(), 1000u);
  EXPECT_GT(run.lines.size(), 100u);
  EXPECT_THAT(run.notes, ElementsAre(testing::EndsWith(
                             " copies of timestamped histogram samples beyond carry_bytes")));
}

TEST(Replay, TheClockFollowsEveryRecord) {
  const Outcome run = replay({{5, "a:1|c"}, {15, "garbage"}, {29.999, ""}});
  EXPECT_THAT(briefs(run), ElementsAre("0 a rate 0.1", "10 a rate 0", "20 a rate 0"));
}

TEST(Replay, TimeThatGoesBackNeitherLosesNorRepeatsAPoint) {
  const Outcome run = replay({{15, "a:1|c"}, {3, "a:1|c\nb:1|g"}, {16, "b:2|g"}, {2, "b:3|g"}});
  EXPECT_THAT(briefs(run), ElementsAre("10 a rate 0.2", "10 b gauge 3"));
  EXPECT_THAT(run.notes, ElementsAre("2 records whose time lies before that of an earlier one: "
                                     "they count at the latest time seen"));
}

TEST(Replay, RefusesPacketsThatAreTooLong) {
  const std::string line = "a:1|c|#" + std::string(57, 't');
  const Outcome run = replay({{5, line}, {5, line + "t"}}, "dogstatsd_buffer_size: 64");
  EXPECT_EQ(run.lines.size(), 1u);
  EXPECT_EQ(run.ledger["packets"]["truncated"], 1);
  EXPECT_EQ(run.ledger["packets"]["dispatched"], 1);
}

TEST(Replay, CarriesEventsAndChecks) {
  const Outcome run = replay({{5.7, "_sc|up|1|#b,a|m:m"},
                              {6, "_e{2,3}:z!|a\\n|#t"},
                              {6, "_e{2,1}:a!|b|d:1700000001|h:hh"}},
                             "hostname: me");
  EXPECT_THAT(
      run.lines,
      ElementsAre(
          R"({"type":"event","title":"a!","text":"b","priority":"normal","alert_type":"info","timestamp":1700000001,"hostname":"hh"})",
          R"({"type":"event","title":"z!","text":"a\n","priority":"normal","alert_type":"info","timestamp":1700000006,"hostname":"me","tags":["t"]})",
          R"({"type":"service_check","name":"up","status":1,"timestamp":1700000005,"hostname":"me","message":"m","tags":["a","b"]})"));
}

TEST(Replay, TheContainerOfThePacketCounts) {
  const std::string packet =
      R"("packet":"c:1|c\nt:1|g|T1700000001\n_e{1,1}:e|x\n_sc|k|0\nh:1|h|T1")";
  std::string text;
  for (const char* container :
       {R"(,"container":"a")", R"(,"container":"container_id://b")", "", R"(,"container":"a")"}) {
    text += cat("{\"t\":1700000000,", packet, container, "}\n");
  }
  const std::string config =
      "dogstatsd_tag_cardinality: high\nhistogram_copy_to_distribution: true\n";
  for (const uint16_t shards : {1, 3}) {
    const Outcome run = replay_text(text, config, shards);
    std::vector<std::string> tags;
    for (const std::string& line : run.lines) {
      const auto j = nlohmann::json::parse(line);
      tags.push_back(cat(j.value("metric", j.value("title", j.value("name", ""))), " ",
                         j.value("tags", nlohmann::json::array()).dump()));
    }
    const char* a = R"(["container_id:a"])";
    const char* b = R"(["container_id:b"])";
    EXPECT_THAT(tags, ElementsAre("c []", cat("c ", a), cat("c ", b), "t []", cat("t ", a),
                                  cat("t ", a), cat("t ", b), cat("e ", a), cat("e ", a),
                                  cat("e ", b), "e []", cat("k ", a), cat("k ", a), cat("k ", b),
                                  "k []", "h []", cat("h ", a), cat("h ", b)));
  }
  EXPECT_EQ(replay_text(text).lines.size(), 1u + 4 + 4 + 4);
}

TEST(Replay, LimitsThatAreWrittenBind) {
  std::string packet;
  for (int i = 0; i < 20; ++i) packet += cat("g", i, ":1|g\n");
  const Outcome run = replay({{5, packet}}, "penstock: {limits: {contexts: 16}}");
  EXPECT_EQ(run.lines.size(), 17u);
  EXPECT_THAT(run.notes, ElementsAre(testing::StartsWith("4 samples of contexts beyond")));
}

TEST(Replay, AnEmptyInputGivesNothing) { EXPECT_THAT(replay({}).lines, IsEmpty()); }

// --- the same bytes for every number of shards and every burst ---

std::vector<Sent> random_traffic(uint64_t seed) {
  static constexpr const char* kTypes[] = {"c", "c", "g", "g", "h", "ms", "d", "s"};
  static constexpr const char* kRates[] = {"", "", "|@0.5", "|@0.3", "|@0.1", "|@0.7777"};
  static constexpr const char* kTags[] = {"", "", "|#a", "|#b,a", "|#a,b", "|#host:x,t:1"};
  std::mt19937_64 random(seed);
  const auto below = [&](uint64_t n) { return random() % n; };
  std::vector<Sent> sent;
  double t = 0;
  for (int i = 0; i < 1500; ++i) {
    if (below(3) != 0) t += static_cast<double>(below(1000)) / 997;
    if (below(100) == 0) t += static_cast<double>(below(500));
    if (below(50) == 0) t -= 7;
    sent.push_back({std::max(0.0, t), ""});
    Sent& s = sent.back();
    for (uint64_t n = below(12); n != 0; --n) {
      s.packet +=
          cat("m", below(6), ":", below(4) == 0 ? "-" : "", below(100000), ".", below(999), "e",
              static_cast<int64_t>(below(9)) - 4, "|", kTypes[below(8)], kRates[below(6)],
              kTags[below(6)],
              below(20) == 0 ? cat("|T", kStart + static_cast<int64_t>(below(500))) : "", "\n");
    }
    if (below(20) == 0) s.packet += "_e{1,1}:a|b\n";
    if (below(20) == 0) s.packet += "_sc|n|0";
  }
  return sent;
}

TEST(Replay, IsTheSameForAnyShardsAndBurst) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const std::string text = json_of(random_traffic(seed));
    const Outcome expected = replay_text(text);
    ASSERT_GT(expected.lines.size(), 1000u);
    for (const uint16_t shards : {1, 2, 3, 8}) {
      for (const uint16_t burst : {1, 7, 64}) {
        const Outcome run = replay_text(text, "", shards, burst);
        EXPECT_EQ(run.lines, expected.lines) << seed << " " << shards << " " << burst;
      }
    }
  }
}

TEST(Replay, AHistogramBeyondItsExactLimitIsTheSameForAnyShards) {
  std::vector<Sent> sent;
  for (int i = 0; i < 5000; ++i) sent.push_back({1, cat("h:", i * 7919 % 5000, ".5|h")});
  const Outcome expected = replay(sent);
  EXPECT_EQ(expected.lines.size(), 5u);
  for (const uint16_t shards : {2, 3, 8})
    EXPECT_EQ(replay(sent, "", shards).lines, expected.lines) << shards;
}

}  // namespace
}  // namespace penstock::replay

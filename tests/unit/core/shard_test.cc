#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "tests/support/shard_harness.h"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using Rows = std::vector<std::string>;

// `format` n times, each `%` replaced by the number of the line.
std::string repeat(size_t n, std::string_view format) {
  std::string text;
  for (size_t i = 0; i < n; ++i) {
    for (const char c : format) {
      if (c == '%') {
        text += std::to_string(i);
      } else {
        text.push_back(c);
      }
    }
    text.push_back('\n');
  }
  return text;
}

struct Case {
  const char* name;
  const char* packet;
  Rows rows;
};

class OneBucket : public testing::TestWithParam<Case> {};

TEST_P(OneBucket, GivesTheRows) {
  Bench bench;
  bench.send(GetParam().packet);
  EXPECT_EQ(bench.seal(), GetParam().rows);
  bench.check_ledger(true);
}

// The second time every line is known to the memo.
TEST_P(OneBucket, GivesTheSameRowsFromTheMemo) {
  Bench bench;
  bench.send(GetParam().packet);
  bench.seal();
  bench.send(GetParam().packet);
  EXPECT_EQ(bench.seal(), GetParam().rows);
  bench.check_ledger(true);
}

INSTANTIATE_TEST_SUITE_P(
    Spec, OneBucket,
    testing::Values(
        // Spec 8.9.
        Case{"counter", "a:3|c\na:2|c|@0.5", {"counter a[h]# 7"}},
        Case{"gauge", "b:1|g\nb:7|g\nb:4|g", {"gauge b[h]# 4"}},
        Case{"set", "u:x|s\nu:y|s\nu:x|s", {"set u[h]# 2"}},
        Case{"histogram",
             "h:1:2:3:4:5:6:7:8:9:10|h",
             {"histogram h[h]# cnt=10 sum=55 min=1 max=10 avg=5.5 values 1*1 2*1 3*1 4*1 5*1 6*1 "
              "7*1 8*1 9*1 10*1"}},
        Case{"histogram_rate",
             "h:10|h|@0.3",
             {"histogram h[h]# cnt=3 sum=33.3333333333 min=10 max=10 avg=11.1111111 values "
              "10*3"}},
        Case{"distribution",
             "d:1:2:2:42|d",
             {"distribution d[h]# cnt=4 sum=47 min=1 max=42 avg=11.75 bins 1338:1 1383:2 1579:1"}},
        Case{"distribution_rate",
             "d:2|d|@0.3",
             {"distribution d[h]# cnt=3 sum=6.66666666667 min=2 max=2 avg=2 bins 1383:3"}},
        Case{"timestamped", "t:50|c|@0.1|T1700000003", {"counter t[h]# 50 at 1700000003"}},
        Case{"timestamped_values",
             "t:5:nan:6|g|#b,a,b|T7",
             {"gauge t[h]#a,b 5 at 7", "gauge t[h]#a,b 6 at 7"}},
        // Identity.
        Case{"tag_order", "a:1|c|#x,y\na:2|c|#y,x,x", {"counter a[h]#x,y 3"}},
        Case{"empty_tags", "a:1|c|#,x,", {"counter a[h]#,x 1"}},
        Case{"host", "a:1|c|#host:web,x", {"counter a[web]#x 1"}},
        Case{"empty_host", "a:1|c|#host:", {"counter a[]# 1"}},
        Case{"internal_tags",
             "a:1|c|#dd.internal.entity_id:e,dd.internal.card:low,dd.internal.card:high,"
             "dd.internal.jmx_check_name:j",
             {"counter a[h]#dd.internal.card:high 1"}},
        Case{"timing_is_histogram",
             "a:1|h\na:3|ms",
             {"histogram a[h]# cnt=2 sum=4 min=1 max=3 avg=2 values 1*1 3*1"}},
        Case{"type_clash", "a:1|c\na:9|g", {"counter a[h]# 1", "gauge a[h]# 9"}},
        Case{"set_beside_gauge", "a:1|g\na:1|s", {"gauge a[h]# 1", "set a[h]# 1"}},
        Case{"bytes", "\xff \xfe:1|c|#\x01", {"counter \xff \xfe[h]#\x01 1"}},
        // Rates (architecture, section 12; rulings 15, 16).
        Case{"rate_above_1", "a:3|c|@2", {"counter a[h]# 3"}},
        Case{"rate_0", "a:3|c|@0", {"counter a[h]# 3"}},
        Case{"rate_negative", "a:3|c|@-1", {"counter a[h]# 3"}},
        Case{"rate_nan", "a:3|c|@nan", {"counter a[h]# 3"}},
        Case{"rate_tiny", "a:3|c|@1e-320", {"counter a[h]# 3"}},
        Case{"gauge_ignores_rate", "a:3|g|@0.1", {"gauge a[h]# 3"}},
        // NaN and infinity (ruling 3).
        Case{"nan_counter", "a:nan|c", {"counter a[h]# 0"}},
        Case{"nan_gauge", "a:inf|g\nb:2|g\nb:nan|g", {"gauge b[h]# 2"}},
        Case{"nan_histogram", "a:nan|h\nd:-inf|d", {}}, Case{"timestamped_nan", "a:nan|c|T5", {}},
        Case{"timestamped_histogram", "a:1|h|T5\nb:2|d|T5\nc:3|s|T5\nd:4|ms|T5", {}},
        // Lines.
        Case{"crlf", "a:1|c\r\n\n\r\nb:2|c", {"counter a[h]# 1", "counter b[h]# 2"}},
        Case{"rejected_between",
             "a:1|c\nno\na:x|c\na:1|q\n|\n:1|c\na:1|c|T0\na:2|c",
             {"counter a[h]# 3"}},
        // Events and checks.
        Case{"event",
             "_e{5,8}:title|a\\nb\\n..|d:7|h:x|k:key|p:low|s:src|t:error|#b,host:y,a",
             {"event title=title text=a\nb\n.. at 7 host=x key=key source=src priority=low "
              "alert=error container= card= tags=a,b"}},
        Case{"event_defaults",
             "_e{1,1}:t|x|#host:y",
             {"event title=t text=x at 1700000005 host=y key= source= priority=normal alert=info "
              "container= card= tags="}},
        Case{"check",
             "_sc|db|2|d:9|h:x|#b,a|m:down",
             {"check db status=2 at 9 host=x message=down tags=a,b"}},
        Case{"check_defaults",
             "_sc|db|0",
             {"check db status=0 at 1700000005 host=h message= tags="}}),
    [](const auto& info) { return info.param.name; });

TEST(Shard, CountsRejectedLinesByReason) {
  Bench bench;
  bench.send(
      "x\na|c\n:1|c\na:|c\na:1|q\na:::|c\na:x|c\na:1|c|@x\na:1|c|T0\n_e{\n_e{5,5}:a|b\n"
      "_e{x,1}:a|b\n_e{0,1}:|b\n_sc\n_sc||0\n_sc|a|9");
  const ShardStats& s = *bench.stats[0];
  EXPECT_EQ(s.lines.get(), 16u);
  EXPECT_EQ(s.lines_ok.get(), 0u);
  for (const Counter* c :
       {&s.rejected_no_pipe, &s.rejected_no_colon, &s.rejected_empty_name, &s.rejected_empty_value,
        &s.rejected_bad_type, &s.rejected_no_values, &s.rejected_bad_value, &s.rejected_bad_rate,
        &s.rejected_bad_timestamp, &s.rejected_event_no_colon, &s.rejected_event_too_short,
        &s.rejected_event_bad_header, &s.rejected_event_empty_title, &s.rejected_sc_format,
        &s.rejected_sc_empty_name, &s.rejected_sc_bad_status}) {
    EXPECT_EQ(c->get(), 1u) << (c - &s.packets);
  }
  EXPECT_THAT(bench.seal(), IsEmpty());
  EXPECT_EQ(bench.sealer->sequence(), 0u);
  bench.check_ledger(true);
}

TEST(Shard, DropsAnUnterminatedTailWhereTheEndOfLineIsRequired) {
  Bench bench;
  TestPacket packet("a:1|c\nb:1|c");
  packet.packet().flags = kPacketEolRequired;
  bench.shards[0]->process({&packet.packet(), 1}, bench.now);
  EXPECT_EQ(bench.stats[0]->rejected_unterminated.get(), 1u);
  EXPECT_THAT(bench.seal(), ElementsAre("counter a[h]# 1"));
  bench.check_ledger(true);
}

TEST(Shard, CountsEachOutcomeOfASample) {
  Bench bench;
  bench.send("a:1:nan:2|c\nb:1:2|h|T3\nc:1:inf|g|T4\nd:x:y|s\ne:1|c|@7\ne:1|g|@7");
  const ShardStats& s = *bench.stats[0];
  EXPECT_EQ(s.samples.get(), 10u);
  EXPECT_EQ(s.aggregated.get(), 5u);
  EXPECT_EQ(s.nan_inf.get(), 2u);
  EXPECT_EQ(s.timestamped.get(), 1u);
  EXPECT_EQ(s.unsupported_timestamped.get(), 2u);
  EXPECT_EQ(s.bad_rate.get(), 1u);
  EXPECT_EQ(s.type_clashes.get(), 1u);
  bench.seal();
  bench.check_ledger(true);
}

// One sample of a histogram or distribution counts for 2^32-1 at most, also in its sum.
TEST(Shard, BoundsTheWeightOfASample) {
  Bench bench;
  bench.send("h:2|h|@1e-10\nd:2|d|@1e-10\nc:2|c|@1e-10");
  EXPECT_EQ(bench.stats[0]->bad_rate.get(), 2u);
  EXPECT_THAT(bench.seal(),
              ElementsAre("counter c[h]# 20000000000",
                          "distribution d[h]# cnt=4294967295 sum=8589934590 min=2 max=2 avg=2 "
                          "bins 1383:4294967295",
                          "histogram h[h]# cnt=4294967295 sum=8589934590 min=2 max=2 avg=2 "
                          "values 2*4294967295"));
}

// Rates that have no inverse are no exception; in a counter they count as 1.
TEST(Shard, BoundsTheWeightOfTheSmallestRates) {
  Bench bench;
  bench.send("h:2|h|@1e-320\nd:2|d|@1e-320\nc:2|c|@1e-320");
  EXPECT_EQ(bench.stats[0]->bad_rate.get(), 3u);
  EXPECT_THAT(bench.seal(),
              ElementsAre("counter c[h]# 2",
                          "distribution d[h]# cnt=4294967295 sum=8589934590 min=2 max=2 avg=2 "
                          "bins 1383:4294967295",
                          "histogram h[h]# cnt=4294967295 sum=8589934590 min=2 max=2 avg=2 "
                          "values 2*4294967295"));
}

TEST(Shard, RemembersLinesAsSent) {
  Bench bench;
  for (int i = 0; i < 3; ++i) bench.send("a:1|c|#x,y\na:1|c|#y,x\na:1|c|T9\nb:1|c|@x");
  EXPECT_EQ(bench.stats[0]->memo_hits.get(), 4u);
  EXPECT_EQ(bench.stats[0]->memo_misses.get(), 8u);
  EXPECT_EQ(bench.stats[0]->contexts_created.get(), 1u);
  EXPECT_EQ(bench.stats[0]->contexts.get(), 1u);
}

TEST(Shard, KeepsOriginsApartInTheMemo) {
  Bench bench;
  TestPacket packet("a:1|c");
  for (uint32_t origin : {1u, 2u, 1u, 2u}) {
    packet.packet().origin = origin;
    bench.shards[0]->process({&packet.packet(), 1}, bench.now);
  }
  EXPECT_EQ(bench.stats[0]->memo_misses.get(), 2u);
  EXPECT_THAT(bench.seal(), ElementsAre("counter a[h]# 4"));
}

TEST(Shard, EnrichesAsConfigured) {
  auto plan = test_plan();
  plan->dogstatsd.client_origin = 1;
  plan->dogstatsd.metric_namespace = plan->add_text("ns.");
  plan->dogstatsd.exclusion_count = 1;
  plan->dogstatsd.exclusions[0] = plan->add_text("jvm");
  plan->dogstatsd.tag_count = 2;
  plan->dogstatsd.tags[0] = plan->add_text("env:t");
  plan->dogstatsd.tags[1] = plan->add_text("host:tag");
  Bench bench(std::move(plan));
  bench.send(
      "a:1|c|#z,env:t\njvmx:1|c\nb:1|c|c:ci-77|card:HIGH\nc:1|c|c:ci-77|#dd.internal.card:low\n"
      "d:1|c|c:77|#dd.internal.card:high\n_sc|x|0|#q|c:ci-9|card:none\nt:1|c|T5");
  EXPECT_THAT(
      bench.seal(),
      UnorderedElementsAre("counter ns.a[h]#env:t,host:tag,z 1", "counter jvmx[h]#env:t,host:tag 1",
                           "counter ns.b[h]#container_id:77,env:t,host:tag 1",
                           "counter ns.c[h]#env:t,host:tag 1",
                           "counter ns.d[h]#container_id:77,env:t,host:tag 1",
                           "check x status=0 at 1700000005 host=h message= tags=env:t,host:tag,q",
                           "counter ns.t[h]#env:t,host:tag 1 at 5"));
}

// Spec 8.9, last example, with the rulings' zero fill.
TEST(Shard, FillsCountersWithZeros) {
  Bench bench;
  bench.send("a:1|c\nb:1|g\nc:1|h\nt:1|c|T5");
  EXPECT_EQ(bench.seal(kBucket).size(), 4u);
  int64_t zeros_until = 0;
  for (int64_t start = kBucket + 10; start < kBucket + 400; start += 10) {
    bench.now.unix_ms = (start + 10) * 1000;
    const Rows rows = bench.seal(start);
    if (rows.empty()) continue;
    EXPECT_THAT(rows, ElementsAre("counter a[h]# 0"));
    EXPECT_EQ(start, zeros_until == 0 ? kBucket + 10 : zeros_until + 10);
    zeros_until = start;
  }
  EXPECT_EQ(zeros_until, kBucket + 300);  // the last start below 1700000305
  EXPECT_EQ(bench.stats[0]->contexts.get(), 0u);
  EXPECT_EQ(bench.stats[0]->contexts_expired.get(), 3u);
  bench.check_ledger(true);
}

// Buckets that close one after the other long after their time, as after a jump of the clock or a
// machine that was suspended.
TEST(Shard, LosesNoZeroWhereTheClockIsFarAhead) {
  Bench bench;
  bench.send("a:1|c");  // at 5 s
  bench.now.unix_ms += 600'000;
  EXPECT_THAT(bench.seal(kBucket), ElementsAre("counter a[h]# 1"));
  for (int64_t start = kBucket + 10; start <= kBucket + 300; start += 10)
    EXPECT_THAT(bench.seal(start), ElementsAre("counter a[h]# 0")) << start;
  EXPECT_TRUE(bench.seal(kBucket + 310).empty());
}

TEST(Shard, ExpiresContextsAndForgetsTheirLines) {
  Bench bench;
  bench.send("g:1|g\nold:1|g");
  bench.seal(kBucket);
  bench.now.unix_ms += 20'001;
  bench.send("g:2|g");  // lives on: touched in the open generation when the others are looked at
  bench.seal(kBucket + 20);
  EXPECT_EQ(bench.stats[0]->contexts.get(), 1u);
  bench.send("new:5|g\nold:7|g\nold:8|g");
  EXPECT_THAT(bench.seal(kBucket + 30), ElementsAre("gauge new[h]# 5", "gauge old[h]# 8"));
  bench.send("old:9|g");
  EXPECT_THAT(bench.seal(kBucket + 40), ElementsAre("gauge old[h]# 9"));
  bench.check_ledger(true);
}

TEST(Shard, FoldsContextsBeyondTheLimitIntoOnePerKind) {
  auto plan = test_plan();
  plan->limits.contexts = 2;
  Bench bench(std::move(plan));
  for (int i = 0; i < 2; ++i) bench.send("a:1|c\nb:1|c\nc:1|c\nd:2|c\ng:1|g\ns:1|s\ns:2|s\na:1|c");
  EXPECT_THAT(bench.seal(), UnorderedElementsAre("counter a[h]# 4", "counter b[h]# 2",
                                                 "counter penstock.overflow[h]#kind:counter 6",
                                                 "gauge penstock.overflow[h]#kind:gauge 1",
                                                 "set penstock.overflow[h]#kind:set 2"));
  EXPECT_EQ(bench.stats[0]->overflow.get(), 10u);
  EXPECT_EQ(bench.stats[0]->contexts_full.get(), 5u);  // the memo knows them the second time
  EXPECT_EQ(bench.stats[0]->context_bytes_full.get(), 0u);
  EXPECT_EQ(bench.stats[0]->aggregated.get(), 6u);
  EXPECT_EQ(bench.stats[0]->contexts.get(), 2u);
  bench.check_ledger(true);
}

TEST(Shard, LetsContextsInAgainOnceThereIsRoom) {
  auto plan = test_plan();
  plan->limits.contexts = 1;
  Bench bench(std::move(plan));
  bench.send("a:1|g\nb:2|g");
  EXPECT_THAT(bench.seal(),
              ElementsAre("gauge a[h]# 1", "gauge penstock.overflow[h]#kind:gauge 2"));
  bench.now.unix_ms += 60'000;
  bench.seal(kBucket + 60);
  bench.send("b:3|g");
  EXPECT_THAT(bench.seal(), ElementsAre("gauge b[h]# 3"));
  bench.check_ledger(true);
}

TEST(Shard, FoldsWhereTheKeysDoNotFit) {
  auto plan = test_plan();
  plan->limits.context_bytes = 1;
  Bench bench(std::move(plan));
  for (int i = 0; i < 2; ++i) bench.send(repeat(200, "metric.with.a.long.name.%:1|c"));
  EXPECT_GT(bench.stats[0]->overflow.get(), 100u);
  EXPECT_GT(bench.stats[0]->context_bytes_full.get(), 100u);
  EXPECT_EQ(bench.stats[0]->contexts_full.get(), 0u);
  EXPECT_GT(bench.stats[0]->contexts.get(), 0u);
  bench.seal();
  bench.check_ledger(true);
}

TEST(Shard, TakesNamesOfAnotherLengthOnceTheOldOnesExpired) {
  const std::string names[] = {std::string(40, 'x') + "%:1|g", std::string(60, 'y') + "%:1|g"};
  for (const size_t first : {0, 1}) {
    auto plan = test_plan();
    plan->limits.context_bytes = 64 << 10;
    Bench bench(std::move(plan));
    const auto send = [&](const std::string& name) {
      for (int i = 0; i < 40; ++i) bench.send(repeat(50, absl::StrCat(name.substr(1, 2), i, name)));
    };
    send(names[first]);
    EXPECT_GT(bench.stats[0]->context_bytes_full.get(), 0u);
    bench.seal();
    for (int i = 1; i < 4; ++i) {
      bench.now.unix_ms += 10'000;
      bench.seal(kBucket + i * 10);
    }
    ASSERT_EQ(bench.stats[0]->contexts.get(), 0u);
    send(names[1 - first]);
    EXPECT_GT(bench.stats[0]->contexts.get(), 700u);  // 80 bytes each, and the overflow's
    bench.seal();
    bench.check_ledger(true);
  }
}

TEST(Shard, KeepsSummariesExactWhenTheSamplesDoNotFit) {
  auto plan = test_plan();
  plan->limits.sample_bytes = 64 * 4;
  Bench bench(std::move(plan));
  bench.send(repeat(100, "h:%|h"));
  const uint64_t unkept = bench.stats[0]->samples_unkept.get();
  EXPECT_GT(unkept, 50u);
  const Rows rows = bench.seal();
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_THAT(rows[0], testing::HasSubstr("cnt=100 sum=4950 min=0 max=99 avg=49.5"));
  bench.send("h:1|h");  // the blocks came back
  EXPECT_EQ(bench.stats[0]->samples_unkept.get(), unkept);
  EXPECT_EQ(bench.stats[0]->aggregated.get(), 101u);
}

// The highest bins stay as they are, and the lowest one kept has what lay below, wherever that
// happened: in a shard, or when shards are merged.
TEST(Shard, FoldsTheLowestBinsOfASketch) {
  for (const uint16_t shards : {1, 2}) {
    auto plan = test_plan();
    plan->limits.sketch_bins = 64;
    Bench bench(std::move(plan), shards);
    for (int i = 0; i < 90; ++i) bench.send(repeat(100, "d:1e%|d"), i % shards);
    EXPECT_EQ(bench.sum(&ShardStats::bins_folded), shards == 1 ? 5 * 36u : 2 * 36u);
    const Rows rows = bench.seal();
    ASSERT_EQ(rows.size(), 1u);
    EXPECT_THAT(rows[0], testing::ContainsRegex("cnt=9000 .* bins [0-9]+:3330( [0-9]+:90){63}$"));
    EXPECT_EQ(bench.keeper.bins_folded.get(), 36u);
    bench.check_ledger(true);
  }
}

TEST(Shard, ForgetsLinesTheMemoHasNoRoomForAndLosesNothing) {
  auto plan = test_plan();
  plan->limits.memo_bytes = 1 << 16;
  Bench bench(std::move(plan));
  for (int i = 0; i < 3; ++i) bench.send(repeat(2000, "metric.%:1|c"));
  EXPECT_GT(bench.stats[0]->memo_evicted.get(), 2000u);
  const Rows rows = bench.seal();
  EXPECT_EQ(rows.size(), 2000u);
  EXPECT_THAT(rows, testing::Each(testing::EndsWith("[h]# 3")));
  bench.check_ledger(true);
}

// A pass of a busy shard may be thousands of lines, and there may be a thousand passes an interval.
TEST(Shard, CleansTheMoreTheLongerItsPassesAre) {
  auto plan = test_plan();
  plan->limits.contexts = 60'000;
  plan->limits.context_bytes = 8 << 20;
  Bench bench(std::move(plan));
  std::string known;
  for (int i = 0; i < 50'000; ++i) absl::StrAppend(&known, "c", i, ":1|c\n");
  for (size_t at = 0; at < known.size();) {
    const size_t end = std::min(known.rfind('\n', at + 8000) + 1, known.size());
    bench.send(known.substr(at, end - at));
    at = end;
  }
  std::string short_lines;
  while (short_lines.size() < 8000) short_lines += "a:1|c\n";
  std::string long_line = "d";
  while (long_line.size() < 8000) long_line += ":1";
  long_line += "|d";
  const auto polls_until_clean = [&](std::string_view packet) {
    for (int i = 0; i < 50'000; ++i) bench.send(absl::StrCat("c", i, ":1|c"));
    bench.sealer->begin();
    bench.shards[0]->poll_epoch(bench.now);
    bench.sealer->seal(kBucket);
    int polls = 0;
    for (; bench.shards[0]->epoch_work(); ++polls) {
      for (int i = 0; i < 32 && !packet.empty(); ++i) bench.send(packet);
      bench.shards[0]->poll_epoch(bench.now);
    }
    return polls;
  };
  EXPECT_GT(polls_until_clean(""), 400);  // a few microseconds each
  EXPECT_LT(polls_until_clean(short_lines), 50);
  EXPECT_LT(polls_until_clean(long_line), 50);
}

TEST(Shard, CountsSetMembersItCannotKeep) {
  auto plan = test_plan();
  plan->limits.set_members = 3;
  Bench bench(std::move(plan));
  for (int i = 0; i < 2; ++i) bench.send(repeat(5, "s:%|s"));
  EXPECT_EQ(bench.stats[0]->set_members_unkept.get(), 4u);
  EXPECT_THAT(bench.seal(), ElementsAre("set s[h]# 3"));
  bench.send("t:1|s\nt:2|s\nt:3|s");
  EXPECT_THAT(bench.seal(), ElementsAre("set t[h]# 3"));
  bench.check_ledger(true);
}

TEST(Shard, CountsWhatTheCarryBufferCannotHold) {
  auto plan = test_plan();
  plan->limits.carry_bytes = 64;
  Bench bench(std::move(plan));
  bench.send("t:1:2|c|T5\nt:1:2:nan|c|T6");
  bench.send("_e{1,1}:t|x\n_sc|a|0");
  const ShardStats& s = *bench.stats[0];
  EXPECT_EQ(s.timestamped.get(), 2u);
  EXPECT_EQ(s.carry_full.get(), 2u);
  EXPECT_EQ(s.nan_inf.get(), 1u);
  EXPECT_EQ(s.carry_full_events.get(), 2u);
  EXPECT_THAT(bench.seal(), ElementsAre("counter t[h]# 1 at 5", "counter t[h]# 2 at 5"));
  bench.send("t:1|g|T5");
  EXPECT_THAT(bench.seal(), ElementsAre("gauge t[h]# 1 at 5"));
  bench.check_ledger(true);
}

// A row of the Segment is larger than a value of two bytes.
TEST(Shard, ALineOfManyValuesTakesMoreOfTheCarryBuffer) {
  auto plan = test_plan();
  plan->limits.carry_bytes = 4096;
  Bench bench(std::move(plan));
  std::string line = "t";
  for (int i = 0; i < 300; ++i) line += ":1";
  bench.send(line + "|c|T5\n" + line + "|c|T5");
  EXPECT_EQ(bench.stats[0]->timestamped.get(), 300u);
  EXPECT_EQ(bench.stats[0]->carry_full.get(), 300u);
  EXPECT_EQ(bench.seal().size(), 300u);
  bench.check_ledger(true);
}

TEST(Shard, TakesTheLongestLines) {
  auto plan = test_plan();
  plan->dogstatsd.client_origin = 1;
  plan->dogstatsd.metric_namespace = plan->add_text("ns.");
  plan->dogstatsd.tag_count = 1;
  plan->dogstatsd.tags[0] = plan->add_text(std::string(1000, 't'));
  Bench bench(std::move(plan));
  const auto fill = [](std::string head, std::string_view part, std::string_view tail) {
    while (head.size() + part.size() + tail.size() <= 65'535) head += part;
    return head.append(tail);
  };
  for (const std::string& text :
       {fill("a:1|c|#", ",", ""), fill("b:1|c|#", "x,", ""), fill("c:1", ":1", "|c"),
        fill("d", "d", ":1|c"), fill("e:1|g|#host:", "h", ""), fill("f:1|c|card:high|c:", "i", ""),
        fill("g:", "m", "|s"), fill("h:1|c|T5|#", "y", ""), fill("i:1|h|", "|", "")})
    bench.send(text);
  EXPECT_EQ(bench.stats[0]->lines_ok.get(), 9u);
  EXPECT_EQ(bench.seal().size(), 9u);
  bench.check_ledger(true);
}

TEST(Shard, SurvivesAFloodOfDistinctLines) {
  auto plan = test_plan();
  plan->limits.memo_bytes = 1 << 16;
  plan->limits.contexts = 300;
  Bench bench(std::move(plan));
  for (int i = 0; i < 50; ++i) bench.send(repeat(500, absl::StrCat(i, "m%:1|c|#t%\na:1|c")));
  EXPECT_GT(bench.stats[0]->memo_evicted.get(), 1000u);
  const Rows rows = bench.seal();
  EXPECT_THAT(rows, testing::Contains("counter a[h]# 25000"));
  EXPECT_THAT(rows, testing::SizeIs(301));
  bench.check_ledger(true);
}

}  // namespace
}  // namespace penstock

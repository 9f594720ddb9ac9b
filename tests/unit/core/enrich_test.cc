// Spec section 7 in a shard: from a line to its context.
#include "dataplane/core/enrich.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "dataplane/core/senders.h"
#include "parsers/simd/kernel.h"
#include "tests/support/mapper_plan.h"
#include "tests/support/shard_harness.h"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

TEST(Enrich, MapsBeforeEverythingElse) {
  auto plan = test_plan();
  plan->dogstatsd.client_origin = 1;
  plan->dogstatsd.metric_namespace = plan->add_text("ns.");
  plan->dogstatsd.exclusions[plan->dogstatsd.exclusion_count++] = plan->add_text("jvm");
  plan->dogstatsd.tags[plan->dogstatsd.tag_count++] = plan->add_text("env:t");
  add_profile(*plan, "m.",
              {{"m.*.x", "mapped.$1", {{"part", "$1"}}},
               {"m.host.*", "mapped", {{"host", "$1"}}},
               {"m.jvm.*", "jvm.$1", {}},
               {"m.card.*", "mapped", {{"dd.internal.card", "$1"}}},
               {"m.pod.*", "mapped", {{"dd.internal.entity_id", "$1"}, {"env", "t"}}}});
  Bench bench(std::move(plan));
  bench.send(
      "m.a.x:1|c|#z,part:a\nm.a.x:2|g|T5\nm.host.:1|c|#host:client\nm.host.q:1|c|#host:client\n"
      "m.jvm.gc:1|c\nm.other:1|c\njvm.m:1|c\nm.card.high:1|c|c:ci-1|#a\n"
      "m.card.low:1|c|#dd.internal.card:high\nm.pod.p:1|c|c:ci-1|card:high\n_sc|m.a.x|0");
  EXPECT_THAT(
      bench.seal(),
      UnorderedElementsAre(
          "counter ns.mapped.a[h]#env:t,part:a,z 1", "gauge ns.mapped.a[h]#env:t,part:a 2 at 5",
          "counter ns.mapped[]#env:t 1",   // the mapper's tags come after the client's
          "counter ns.mapped[q]#env:t 1",  // and may give the host
          "counter jvm.gc[h]#env:t 1",     // exclusions look at the mapped name
          "counter ns.m.other[h]#env:t 1", "counter jvm.m[h]#env:t 1",
          "counter ns.mapped[h]#a,container_id:1,env:t 1",
          // A cardinality that is set leaves the next one a tag.
          "counter ns.mapped[h]#dd.internal.card:low,env:t 1", "counter ns.mapped[h]#env:t 1",
          "check m.a.x status=0 at 1700000005 host=h message= tags=env:t"));
  bench.check_ledger(true);
}

TEST(Enrich, TellsOfTheNameBetweenMapperAndNamespace) {
  auto plan = test_plan();
  plan->dogstatsd.metric_namespace = plan->add_text("ns.");
  add_profile(*plan, "m.", {{"m.*", "mapped.$1", {}}});
  Enricher enricher(*plan);
  const Enriched& e = enricher.metric("m.a", "", false, {});
  EXPECT_EQ(e.mapped, "mapped.a");
  EXPECT_EQ(e.name, "ns.mapped.a");
  enricher.metric("a", "", false, {});
  EXPECT_EQ(e.mapped, "a");
  EXPECT_EQ(e.name, "ns.a");
}

// Spec 7.5 as far as rulings 8 and 9 go: of a container there is its id, at cardinality high.
TEST(Enrich, TheContainersIdComesAtHighCardinality) {
  using dogstatsd::Cardinality;
  struct Case {
    Cardinality configured;
    bool unified;
    const char* fields;
    const char* tags;
  };
  constexpr auto kLow = Cardinality::kLow;
  constexpr auto kHigh = Cardinality::kHigh;
  const Case cases[] = {
      {kLow, false, "c:ci-1", ""},
      {Cardinality::kOrchestrator, false, "c:ci-1", ""},
      {Cardinality::kNone, false, "c:ci-1", ""},
      {kHigh, false, "c:ci-1", "container_id:1"},
      {kHigh, false, "c:ci-1,in-5", "container_id:1"},
      {kHigh, false, "c:in-5", ""},
      {kHigh, false, "c:cid-1", "container_id:1"},
      {kHigh, false, "e:cn-x", ""},
      {kHigh, false, "", ""},
      // The client's word counts before the configuration's.
      {kHigh, false, "c:ci-1|card:low", ""},
      {kHigh, false, "c:ci-1|card:orch", ""},
      {kHigh, false, "c:ci-1|card:ORCHESTRATOR", ""},
      {kHigh, false, "c:ci-1|card:none", ""},
      {kHigh, false, "c:ci-1|card:None", ""},  // unknown: low
      {kHigh, false, "c:ci-1|card:higher", ""},
      {kHigh, false, "c:ci-1|card:", "container_id:1"},
      {kLow, false, "c:ci-1|card:HiGh", "container_id:1"},
      {Cardinality::kNone, false, "c:ci-1|card:high", "container_id:1"},
      {kLow, false, "c:ci-1|#dd.internal.card:high", "container_id:1"},
      {kLow, false, "c:ci-1|#dd.internal.card:,dd.internal.card:HIGH", "container_id:1"},
      {kHigh, false, "c:ci-1|#dd.internal.card:low", ""},
      {kHigh, false, "c:ci-1|card:low|#dd.internal.card:high", "dd.internal.card:high"},
      // An entity stands for the container, but in unified detection.
      {kHigh, false, "c:ci-1|#dd.internal.entity_id:p", ""},
      {kHigh, false, "c:ci-1|#dd.internal.entity_id:none", ""},
      {kHigh, false, "c:ci-1|#dd.internal.entity_id:", "container_id:1"},
      {kHigh, false, "c:ci-1|#dd.internal.entity_id:p,dd.internal.entity_id:", "container_id:1"},
      {kHigh, true, "c:ci-1|#dd.internal.entity_id:p", "container_id:1"},
      {kLow, true, "c:ci-1|#dd.internal.entity_id:p", ""},
  };
  for (const Case& c : cases) {
    auto plan = test_plan();
    plan->dogstatsd.client_origin = 1;
    plan->dogstatsd.tag_cardinality = c.configured;
    plan->dogstatsd.origin_unified = c.unified ? 1 : 0;
    Bench bench(std::move(plan));
    bench.send(absl::StrCat("a:1|c|", c.fields));
    EXPECT_THAT(bench.seal(), ElementsAre(absl::StrCat("counter a[h]#", c.tags, " 1"))) << c.fields;
  }
}

// Spec 7.5: what the socket knows of the sender, and what the message says.
TEST(Enrich, TheSendersContainerComesBesideTheClients) {
  constexpr auto kLow = dogstatsd::Cardinality::kLow;
  constexpr auto kHigh = dogstatsd::Cardinality::kHigh;
  struct Case {
    dogstatsd::Cardinality configured;
    const char* fields;
    const char* tags;
    bool precedence = false, unified = false, optout = true;
  };
  const Case cases[] = {
      {kLow, "", ""},
      {kHigh, "", "container_id:s"},
      {kHigh, "card:none", ""},
      {kLow, "card:high", "container_id:s"},
      {kHigh, "c:ci-1", "container_id:1,container_id:s"},
      {kHigh, "c:ci-s", "container_id:s"},
      {kHigh, "c:ci-1|#dd.internal.entity_id:p", "container_id:s"},
      {kHigh, "c:ci-1|#dd.internal.entity_id:p", "", true},
      {kHigh, "c:ci-1", "container_id:1,container_id:s", true},
      {kHigh, "c:ci-1", "container_id:s", false, true},
      {kHigh, "#dd.internal.entity_id:p", "container_id:s", true, true},
      // "none" is an entity that has no tags, and stands in the place of both all the same.
      {kHigh, "c:ci-1|#dd.internal.entity_id:none", "container_id:s"},
      {kHigh, "c:ci-1|#dd.internal.entity_id:none", "", true},
      {kHigh, "c:ci-1|#dd.internal.entity_id:none", "container_id:s", true, true},
      {kHigh, "c:ci-1|#dd.internal.entity_id:", "container_id:1,container_id:s", true},
      // Not resolved: of an inode or external data alone nothing is known.
      {kHigh, "c:in-5", "container_id:s", false, true},
      {kHigh, "e:it-false,cn-x,pu-p", "container_id:s"},
      {kHigh, "card:none", "", false, true},
      {kHigh, "card:none", "", false, false, /*optout=*/false},
      {kHigh, "card:none|c:ci-1", "", false, true, /*optout=*/false},
      {dogstatsd::Cardinality::kNone, "", "", false, false, /*optout=*/false},
      {dogstatsd::Cardinality::kNone, "card:high", "container_id:s"},
      {kLow, "#dd.internal.card:high", "container_id:s"},
      {dogstatsd::Cardinality::kOrchestrator, "", ""},
  };
  Senders senders(4);
  const std::string_view tag = senders.tag(senders.id_of("container_id://s"));
  for (const Case& c : cases) {
    auto plan = test_plan();
    plan->dogstatsd.client_origin = 1;
    plan->dogstatsd.tag_cardinality = c.configured;
    plan->dogstatsd.entity_precedence = c.precedence ? 1 : 0;
    plan->dogstatsd.origin_unified = c.unified ? 1 : 0;
    plan->dogstatsd.origin_optout = c.optout ? 1 : 0;
    Enricher enricher(*plan);
    enricher.from(tag);
    const std::string text = absl::StrCat("a:1|c|", c.fields) + std::string(64, ' ');
    const dogstatsd::Line line = simd::active().line({text.data(), text.size() - 64});
    dogstatsd::Metric m;
    std::vector<double> values(1);
    ASSERT_EQ(simd::active().parse_metric(line, {true, true}, values, m), dogstatsd::Reason::kOk);
    const auto tags = enricher.metric("a", m.tags, m.has_tags, m.origin).tags;
    EXPECT_EQ(absl::StrJoin(std::vector<std::string>(tags.begin(), tags.end()), ","), c.tags)
        << c.fields;
  }
}

TEST(Senders, AreBounded) {
  Senders senders(2);
  EXPECT_EQ(senders.id_of(""), 0u);
  EXPECT_EQ(senders.id_of("container_id://"), 0u);
  EXPECT_EQ(senders.id_of("a"), 1u);
  EXPECT_EQ(senders.id_of("container_id://a"), 1u);
  EXPECT_EQ(senders.id_of(std::string(256, 'x')), 0u);
  EXPECT_EQ(senders.id_of(std::string(255, 'x')), 2u);
  EXPECT_EQ(senders.id_of("b"), 0u);
  EXPECT_EQ(senders.id_of("a"), 1u);
  EXPECT_EQ(senders.tag(0), "");
  EXPECT_EQ(senders.tag(1), "container_id:a");
  EXPECT_EQ(senders.tag(2), "container_id:" + std::string(255, 'x'));
}

// Ruling 9; and events and checks show the cardinality that was sent, not the one that is used.
TEST(Enrich, NoneTakesNothingOfTheConfiguredTags) {
  auto plan = test_plan();
  plan->dogstatsd.client_origin = 1;
  plan->dogstatsd.tag_cardinality = dogstatsd::Cardinality::kHigh;
  plan->dogstatsd.tags[plan->dogstatsd.tag_count++] = plan->add_text("env:t");
  Bench bench(std::move(plan));
  bench.send("a:1|c|c:ci-1|card:none|#x\n_e{1,1}:t|x|c:ci-1");
  EXPECT_THAT(bench.seal(),
              UnorderedElementsAre("counter a[h]#env:t,x 1",
                                   "event title=t text=x at 1700000005 host=h key= source= "
                                   "priority=normal alert=info container=1 card= "
                                   "tags=container_id:1,env:t"));
}

void set_filter(Plan& plan, std::initializer_list<std::string_view> entries, bool prefix) {
  NameFilterPlan& filter = plan.dogstatsd.filter;
  for (const std::string_view entry : entries)
    filter.entries[filter.count++] = plan.add_text(entry);
  filter.prefix = prefix ? 1 : 0;
}

TEST(Enrich, FiltersTheFinalName) {
  auto plan = test_plan();
  plan->dogstatsd.metric_namespace = plan->add_text("ns.");
  plan->dogstatsd.exclusions[plan->dogstatsd.exclusion_count++] = plan->add_text("jvm");
  add_profile(*plan, "m.", {{"m.*", "mapped.$1", {}}});
  set_filter(*plan, {"ns.a", "jvm", "ns.mapped.x", "b"}, false);
  Bench bench(std::move(plan));
  bench.send("a:1|c\nb:1|c\njvm:1|c\njvm.x:1|c\nm.x:1|c\nm.y:1|c\nns.a:1|c\n_sc|ns.a|0");
  EXPECT_THAT(bench.seal(),
              UnorderedElementsAre("counter ns.b[h]# 1", "counter jvm.x[h]# 1",
                                   "counter ns.mapped.y[h]# 1", "counter ns.ns.a[h]# 1",
                                   "check ns.a status=0 at 1700000005 host=h message= tags="));
  EXPECT_EQ(bench.stats[0]->filtered.get(), 3u);
  bench.check_ledger(true);
}

// Each message is parsed whole, also when the memo knows its line; its samples count once, as
// filtered, whatever they are.
TEST(Enrich, FilteredLinesAreCountedAndKnownByTheMemo) {
  auto plan = test_plan();
  set_filter(*plan, {"f."}, true);
  Bench bench(std::move(plan));
  const ShardStats& s = *bench.stats[0];
  for (int i = 0; i < 3; ++i) {
    bench.send(
        "f.c:1:2:3|c\nf.s:a:b|s\nf.n:nan|g\nf.r:1|h|@0\nf.t:1|c|T5\nf.u:1:2|h|T5\nf.:1|d\n"
        "f.c:x|c\nf.c:1|c|Tx\nf:1|c\nf.e:inf|c|T5");
  }
  EXPECT_EQ(s.lines.get(), 33u);
  EXPECT_EQ(s.lines_ok.get(), 27u);
  EXPECT_EQ(s.metrics.get(), 27u);
  EXPECT_EQ(s.rejected_bad_value.get(), 3u);
  EXPECT_EQ(s.rejected_bad_timestamp.get(), 3u);
  EXPECT_EQ(s.samples.get(), 36u);
  EXPECT_EQ(s.filtered.get(), 33u);
  EXPECT_EQ(s.bad_rate.get() + s.nan_inf.get() + s.unsupported_timestamped.get(), 0u);
  EXPECT_EQ(s.contexts.get(), 1u);
  // Six lines, one of them twice in the first batch; and those with a time, which it never knows.
  EXPECT_EQ(s.memo_misses.get(), 7u + 3 * 4u);
  EXPECT_THAT(bench.seal(), ElementsAre("counter f[h]# 3"));
  EXPECT_THAT(bench.seal(kBucket + 10), ElementsAre("counter f[h]# 0"));
  bench.check_ledger(true);
}

// With so many contexts that what a slot leads to is fetched ahead: not for lines without a slot of
// their own, be they filtered or known from a context that is gone.
TEST(Enrich, NothingIsFetchedThroughTheSlotOfAnother) {
  auto plan = test_plan();
  plan->limits.contexts = 40'000;
  plan->limits.context_bytes = 16 << 20;
  plan->limits.memo_bytes = 16 << 20;
  plan->dogstatsd.context_expiry_s = 0;
  plan->dogstatsd.counter_expiry_s = 0;
  set_filter(*plan, {"f"}, false);
  Bench bench(std::move(plan));
  bench.send("a:1|c\nf:1|d\nh:1|h");
  for (int i = 0; i < 33'000;) {
    std::string packet;
    for (const int end = i + 3000; i < end; ++i) absl::StrAppend(&packet, "g", i, ":1|g\n");
    bench.send(packet);
  }
  bench.send("a:1|c\nf:1|d\nh:1|h");
  EXPECT_EQ(bench.stats[0]->filtered.get(), 2u);
  EXPECT_EQ(bench.seal().size(), 33'002u);
  bench.now.unix_ms += 10'000;
  bench.seal(kBucket + 10);
  EXPECT_EQ(bench.stats[0]->contexts.get(), 0u);

  // Every id that was freed becomes a counter's; most with the bits of a double where a histogram
  // has an index.
  for (int i = 0; i < 36'000;) {
    std::string packet;
    for (const int end = i + 3000; i < end; ++i) absl::StrAppend(&packet, "c", i, ":1.7|c\n");
    bench.send(packet);
  }
  bench.send("f:1|d\nf:1|h\nh:1|h");
  bench.send("f:1|d\nf:1|h\nh:1|h");
  EXPECT_EQ(bench.stats[0]->filtered.get(), 6u);
  EXPECT_EQ(bench.seal(kBucket + 20).size(), 36'001u);
  bench.check_ledger(true);
}

// A full table turns new contexts away; filtered lines never needed one.
TEST(Enrich, FilteredLinesStayFilteredWhileTheTableIsFull) {
  auto plan = test_plan();
  plan->limits.contexts = 1;
  plan->dogstatsd.context_expiry_s = 0;
  set_filter(*plan, {"f"}, false);
  Bench bench(std::move(plan));
  for (int i = 0; i < 5; ++i) {
    bench.send(absl::StrCat("g", i, ":1|g\nf:1|g\nh", i, ":1|g"));
    bench.now.unix_ms += 10'000;
    bench.seal(kBucket + int64_t{i} * 10);
  }
  EXPECT_EQ(bench.stats[0]->filtered.get(), 5u);
  EXPECT_EQ(bench.stats[0]->overflow.get(), 5u);
  bench.check_ledger(true);
}

TEST(Enrich, TellsWhichEntryFilters) {
  auto plan = test_plan();
  set_filter(*plan, {"a.b", "a.", "c"}, true);
  Enricher enricher(*plan);
  EXPECT_EQ(*enricher.metric("a.b.c", "", false, {}).filtered, "a.");
  EXPECT_EQ(enricher.metric("a", "", false, {}).filtered, nullptr);
  EXPECT_TRUE(enricher.filters("cd"));
  EXPECT_FALSE(enricher.filters("d"));
}

// Configuration comes to a shard with its Plan, and nothing that it remembers outlives that.
TEST(Enrich, AnotherPlanMapsTheSameLineAnotherWay) {
  const auto rows = [](const char* name) {
    auto plan = test_plan();
    if (*name != '\0') add_profile(*plan, "*", {{"a.*", name, {}}});
    Bench bench(std::move(plan));
    for (int i = 0; i < 3; ++i) bench.send("a.b:1|c");
    EXPECT_EQ(bench.stats[0]->memo_hits.get(), 2u);
    return bench.seal();
  };
  EXPECT_THAT(rows(""), ElementsAre("counter a.b[h]# 3"));
  EXPECT_THAT(rows("one.$1"), ElementsAre("counter one.b[h]# 3"));
  EXPECT_THAT(rows("two.$1"), ElementsAre("counter two.b[h]# 3"));
}

// A mapping may give a good deal more than it was given.
TEST(Enrich, TakesTheLongestNamesThatMappingsGive) {
  auto plan = test_plan();
  plan->limits.context_bytes = 64 << 20;
  TestMapping mapping{"(.*)", "", {}, dogstatsd::MatchType::kRegex};
  for (size_t i = 1; i < kPlanMappingReferencesMax; ++i) mapping.name += "$1";
  mapping.tags = {{"t", "$1"}};
  add_profile(*plan, "*", {mapping});
  Bench bench(std::move(plan));
  const std::string name(65000, 'n');
  bench.send(absl::StrCat(name, ":1|c"));
  bench.send(absl::StrCat("x:1|c|#", std::string(65000, ',')));
  std::string all;
  for (size_t i = 1; i < kPlanMappingReferencesMax; ++i) all += name;
  EXPECT_THAT(bench.seal(),
              UnorderedElementsAre(absl::StrCat("counter ", all, "[h]#t:", name, " 1"),
                                   absl::StrCat("counter ", std::string(15, 'x'), "[h]#,t:x 1")));
  bench.check_ledger(true);
}

}  // namespace
}  // namespace penstock

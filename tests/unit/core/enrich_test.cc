// Spec section 7 in a shard: from a line to its context.
#include "dataplane/core/enrich.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
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

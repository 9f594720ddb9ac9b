// The keys that decide what a metric is called and which tags it has (spec section 7), from the
// configuration to the Plan.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/compile.h"
#include "controlplane/config.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

LoadedConfig good(std::string_view text, const Environment& environment = {}) {
  absl::StatusOr<LoadedConfig> loaded = parse_config(text, "p.yaml", environment);
  EXPECT_TRUE(loaded.ok()) << loaded.status() << "\n" << text;
  return loaded.ok() ? *std::move(loaded) : LoadedConfig{};
}

std::string bad(std::string_view text) {
  const absl::StatusOr<LoadedConfig> loaded = parse_config(text, "p.yaml", {});
  EXPECT_FALSE(loaded.ok()) << text;
  return loaded.ok() ? std::string() : std::string(loaded.status().message());
}

// The last part of `print_plan`, from the line that begins with `word`.
std::string plan_from(const Config& config, std::string_view word) {
  MachineFacts facts;
  facts.cpus = {0, 1};
  facts.hostname = "box";
  const auto compiled = compile(config, facts, {});
  EXPECT_TRUE(compiled.ok()) << compiled.status();
  if (!compiled.ok()) return {};
  const auto memfd = plan_to_memfd(*compiled->plan);
  EXPECT_TRUE(memfd.ok() && open_plan(memfd->get()).ok());
  const std::string text = print_plan(*compiled->plan);
  const size_t at = text.find(cat("\n", word));
  return at == std::string::npos ? std::string() : text.substr(at + 1);
}

constexpr char kProfiles[] = R"yaml(
dogstatsd_mapper_profiles:
  - name: one
    prefix: "a."
    mappings:
      - match: "a.*.b"
        name: "a.b"
        tags: {x: "$1", "y z": 5, w: }
      - match: "a\\.(?P<n>\\d+)"
        match_type: regex
        name: "a.${n}"
  - {name: two, prefix: "*"}
)yaml";
constexpr char kPlan[] =
    "mapper profile, prefix a.\n"
    "  wildcard a.*.b -> a.b x:$1 y z:5 w:\n"
    "  regex a\\.(?P<n>\\d+) -> a.${n}\n"
    "mapper profile, prefix *\n";

TEST(ConfigMapper, GoesFromTheFileToThePlan) {
  const LoadedConfig loaded = good(kProfiles);
  EXPECT_THAT(loaded.faults, IsEmpty());
  EXPECT_THAT(loaded.warnings, IsEmpty());
  EXPECT_EQ(loaded.config.mapper[1].name, "two");
  EXPECT_EQ(plan_from(loaded.config, "mapper"), kPlan);
}

TEST(ConfigMapper, IsJsonInTheEnvironmentWhichWins) {
  const Environment environment{{"DD_DOGSTATSD_MAPPER_PROFILES",
                                 R"([{"name":"one","prefix":"a.","mappings":[
           {"match":"a.*.b","match_type":"","name":"a.b","tags":{"u\u0308":"$1\t","y":5}},
           {"match":"a\\.\u00fc","match_type":"regex","name":"n"}]}])"}};
  const LoadedConfig loaded = good(kProfiles, environment);
  EXPECT_THAT(loaded.faults, IsEmpty());
  EXPECT_EQ(plan_from(loaded.config, "mapper"),
            "mapper profile, prefix a.\n"
            "  wildcard a.*.b -> a.b u\xcc\x88:$1\t y:5\n"
            "  regex a\\.\xc3\xbc -> n\n");
}

TEST(ConfigMapper, IsOffWithoutProfiles) {
  for (const char* text : {"", "dogstatsd_mapper_profiles:", "dogstatsd_mapper_profiles: []"}) {
    const LoadedConfig loaded = good(text);
    EXPECT_THAT(loaded.faults, IsEmpty()) << text;
    EXPECT_EQ(plan_from(loaded.config, "mapper"), "") << text;
  }
}

struct FaultCase {
  const char* profiles;
  const char* fault;
};

// Spec 7.1, ruling 12: any one of these turns the whole mapper off, and nothing else.
TEST(ConfigMapper, FaultsTurnItOff) {
  constexpr std::string_view kGood = "{name: good, prefix: p, mappings: [{match: a, name: b}]}";
  const FaultCase cases[] = {
      {"{prefix: p}", "p.yaml:1: dogstatsd_mapper_profiles[1]: has no name; give one"},
      {"{name: '', prefix: p}", "profiles[1]: has no name; give one"},
      {"{name: n}", "profiles[1]: has no prefix; give one"},
      {"{name: n, prefix: }", "profiles[1]: has no prefix; give one"},
      {"{name: [n], prefix: p}", "profiles[1].name: must be text"},
      {"{name: n, prefix: p, mappings: 5}",
       "profiles[1].mappings = \"5\": must be a list of mappings"},
      {"{name: n, prefix: p, mappings: [x]}",
       "profiles[1].mappings[0] = \"x\": must be a map of keys"},
      {"7", "profiles[1] = \"7\": must be a map of keys"},
      {"{name: n, prefix: p, mappings: [{match: a}]}",
       "profiles[1].mappings[0]: has no name; give one"},
      {"{name: n, prefix: p, mappings: [{name: a, match: ''}]}",
       "profiles[1].mappings[0]: has no match; give one"},
      {"{name: n, prefix: p, mappings: [{name: a, match: b, match_type: glob}]}",
       "profiles[1].mappings[0].match_type = \"glob\": must be wildcard or regex"},
      {"{name: n, prefix: p, mappings: [{name: a, match: b, match_type: Regex}]}",
       "match_type = \"Regex\": must be wildcard or regex"},
      {"{name: n, prefix: p, mappings: [{name: a, match: b}, {name: a, match: 'b c'}]}",
       "profiles[1].mappings[1].match = \"b c\": a wildcard pattern must consist of letters, "
       "digits, '_', '.', '-' and '*'; write one, or a regular expression with match_type: regex"},
      {"{name: n, prefix: p, mappings: [{name: a, match: 'a.**'}]}",
       "match = \"a.**\": a wildcard pattern must not hold \"**\""},
      {"{name: n, prefix: p, mappings: [{name: a, match: \"\\u00fc\"}]}",
       "a wildcard pattern must consist"},
      {"{name: n, prefix: p, mappings: [{name: a, match: 'a(', match_type: regex}]}",
       "match = \"a(\": is no regular expression in RE2 syntax (missing ): ^a($); correct it"},
      {"{name: n, prefix: p, mappings: [{name: a, match: '(?=a)', match_type: regex}]}",
       "is no regular expression in RE2 syntax (invalid perl operator: (?=); correct it"},
      {"{name: n, prefix: p, mappings: [{name: a, match: '(?<n>a)', match_type: regex}]}",
       "(invalid perl operator: (?<); a named group is written (?P<name>...)"},
      {"{name: n, prefix: p, mappings: [{name: a, match: '((\\pL{50}){50}){50}', match_type: "
       "regex}]}",
       "is no regular expression in RE2 syntax"},
      {"{name: n, prefix: p, mappings: [{name: a, match: b, tags: [x]}]}",
       "mappings[0].tags: must be a map of tag keys and their expressions"},
      {"{name: n, prefix: p, mappings: [{name: a, match: b, tags: {x: [y]}}]}",
       "mappings[0].tags.x: must be text"},
  };
  for (const FaultCase& c : cases) {
    const LoadedConfig loaded =
        good(cat("dogstatsd_mapper_profiles: [", kGood, ", ", std::string_view(c.profiles), "]"));
    EXPECT_THAT(loaded.faults, ElementsAre(HasSubstr(c.fault))) << c.profiles;
    EXPECT_EQ(plan_from(loaded.config, "mapper"), "") << c.profiles;
  }
  EXPECT_THAT(good("dogstatsd_mapper_profiles: {a: b}").faults,
              ElementsAre("p.yaml:1: dogstatsd_mapper_profiles: must be a list of profiles"));
}

TEST(ConfigMapper, TellsOfEveryFault) {
  EXPECT_THAT(good("dogstatsd_mapper_profiles:\n- name: n\n  mappings:\n  - match: '**'\n").faults,
              testing::SizeIs(3));
}

TEST(ConfigMapper, FaultsOfTheVariableNameIt) {
  const auto faults = [](const char* json) {
    return good(kProfiles, {{"DD_DOGSTATSD_MAPPER_PROFILES", json}}).faults;
  };
  EXPECT_THAT(faults("[{"), ElementsAre("DD_DOGSTATSD_MAPPER_PROFILES = \"[{\": must be JSON: an "
                                        "array of profiles; correct it"));
  EXPECT_THAT(faults("[]"), IsEmpty());
  EXPECT_THAT(faults("{}"),
              ElementsAre("DD_DOGSTATSD_MAPPER_PROFILES: must be a list of profiles"));
  EXPECT_THAT(faults(R"([{"name":"n","prefix":null}])"),
              ElementsAre("DD_DOGSTATSD_MAPPER_PROFILES[0]: has no prefix; give one"));
  const std::string deep(100'000, '[');
  EXPECT_THAT(faults((deep + std::string(100'000, ']')).c_str()), testing::SizeIs(1));
}

TEST(ConfigMapper, KeysThatDoNothingAreToldOf) {
  const LoadedConfig loaded = good(
      "dogstatsd_mapper_cache_size: 5\ndogstatsd_mapper_profiles:\n- name: n\n  prefix: p\n"
      "  mappings:\n  - {match: a, name: b, matchtype: regex}\n");
  EXPECT_THAT(
      loaded.warnings,
      ElementsAre("p.yaml:6: dogstatsd_mapper_profiles[0].mappings[0].matchtype: unknown key, "
                  "ignored; did you mean \"match_type\"?",
                  "p.yaml:1: dogstatsd_mapper_cache_size = \"5\": has no effect: the line memo "
                  "(penstock.limits.memo_bytes) is in its place"));
  EXPECT_EQ(loaded.config.mapper.size(), 1u);
  EXPECT_THAT(loaded.ignored, IsEmpty());
}

TEST(ConfigMapper, IsBounded) {
  std::string profiles = "dogstatsd_mapper_profiles: [";
  for (size_t i = 0; i <= kPlanProfilesMax; ++i) profiles += "{name: n, prefix: p},";
  EXPECT_THAT(bad(profiles + "]"),
              HasSubstr("dogstatsd_mapper_profiles: 65 profiles; at most 64 are allowed"));
  std::string mappings = "dogstatsd_mapper_profiles: [{name: n, prefix: p, mappings: [";
  for (size_t i = 0; i <= kPlanMappingsMax; ++i) mappings += "{match: a, name: b},";
  EXPECT_THAT(bad(mappings + "]}]"), HasSubstr("513 mappings; at most 512 are allowed"));
  std::string tags =
      "dogstatsd_mapper_profiles: [{name: n, prefix: p, mappings: [{match: a, name: b, tags: {";
  for (size_t i = 0; i <= kPlanMappingTagsMax; ++i) tags += cat("t", i, ": v,");
  EXPECT_THAT(bad(tags + "}}]}]"), HasSubstr("2049 tags; at most 2048 are allowed"));
  EXPECT_THAT(bad(cat("dogstatsd_mapper_profiles: [{name: n, prefix: p, mappings: [{match: '*', "
                      "name: ",
                      std::string_view("$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1"), ", tags: {a: $1}}]}]")),
              HasSubstr("p.yaml:1: dogstatsd_mapper_profiles[0].mappings[0]: its name and tags "
                        "refer to 17 groups; at most 16 are allowed"));
}

TEST(ConfigMapper, IsInTheBudget) {
  MachineFacts facts;
  facts.cpus = {0, 1, 2};
  const auto compiled = compile(good(kProfiles).config, facts, {});
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  EXPECT_THAT(describe(*compiled),
              HasSubstr(" 2 x     1048576  patterns of dogstatsd_mapper_profiles\n"));
}

TEST(ConfigOrigin, GoesToThePlan) {
  struct Case {
    const char* text;
    bool detects;
    const char* proc_root;
  };
  const Case cases[] = {
      {"{}", false, "/proc"},
      {"dogstatsd_origin_detection: false", false, "/proc"},
      {"dogstatsd_origin_detection: true", true, "/proc"},
      {"{dogstatsd_origin_detection: true, container_proc_root: /host/proc}", true, "/host/proc"},
      {"{dogstatsd_origin_detection: true, container_proc_root: /host/proc//}", true, "/host/proc"},
      {"container_proc_root: /", false, "/"},
  };
  MachineFacts facts;
  facts.cpus = {0, 1, 2};
  const std::vector<ListenerSpec> listeners = {
      {"uds-unixgram", "/s", ListenerKind::kUdsDatagram, false},
      {"udp", "127.0.0.1:8125", ListenerKind::kUdp, false},
      {"uds-unix", "/t", ListenerKind::kUdsStream, false},
      {"named_pipe", "/p", ListenerKind::kPipe, false}};
  for (const Case& c : cases) {
    const LoadedConfig loaded = good(c.text);
    EXPECT_THAT(loaded.ignored, IsEmpty()) << c.text;
    const auto compiled = compile(loaded.config, facts, listeners);
    ASSERT_TRUE(compiled.ok()) << compiled.status();
    const Plan& plan = *compiled->plan;
    EXPECT_EQ(plan.listeners[0].origin_detection, c.detects ? 1 : 0) << c.text;
    EXPECT_EQ(plan.listeners[1].origin_detection, 0) << "UDP has no credentials";
    EXPECT_EQ(plan.listeners[2].origin_detection, c.detects ? 1 : 0) << c.text;
    EXPECT_EQ(plan.listeners[3].origin_detection, 0) << "nor has a pipe";
    EXPECT_EQ(plan.str(plan.proc_root), c.proc_root);
    EXPECT_EQ(plan.limits.origins, 65536u);
    const auto line = HasSubstr("containers and processes of senders (origins)");
    if (c.detects) {
      EXPECT_THAT(describe(*compiled), line) << c.text;
    } else {
      EXPECT_THAT(describe(*compiled), Not(line)) << c.text;
    }
  }
  EXPECT_EQ(good("penstock: {limits: {origins: 16}}").config.limits.origins, 16u);
  EXPECT_THAT(bad("penstock: {limits: {origins: 15}}"), HasSubstr("from 16 to 1048576"));
  EXPECT_THAT(bad("dogstatsd_origin_detection: perhaps"), HasSubstr("must be true or false"));
  EXPECT_THAT(bad("container_proc_root: proc"), HasSubstr("must be an absolute path"));
  const Environment variables = {{"DD_DOGSTATSD_ORIGIN_DETECTION", "true"},
                                 {"DD_CONTAINER_PROC_ROOT", "/host/proc"}};
  const auto loaded = parse_config("", "p.yaml", variables);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_TRUE(loaded->config.origin_detection);
  EXPECT_EQ(loaded->config.proc_root, "/host/proc");
}

TEST(ConfigCardinality, GoesToThePlanAndUnknownTextIsLow) {
  struct Case {
    const char* text;
    const char* plan;
    size_t warnings = 0;
  };
  constexpr char kDefault[] =
      "origin cardinality low optout 1 entity_precedence 0 unified 0 proc_root /proc\n";
  const Case cases[] = {
      {"", kDefault},
      {"dogstatsd_tag_cardinality: ''", kDefault},
      {"dogstatsd_tag_cardinality: LOW", kDefault},
      {"dogstatsd_tag_cardinality: medium", kDefault, 1},
      {"dogstatsd_tag_cardinality: None", kDefault, 1},
      {"dogstatsd_tag_cardinality: High",
       "origin cardinality high optout 1 entity_precedence 0 unified 0 proc_root /proc\n"},
      {"dogstatsd_tag_cardinality: Orch",
       "origin cardinality orchestrator optout 1 entity_precedence 0 unified 0 proc_root /proc\n"},
      {"dogstatsd_tag_cardinality: orchestrator",
       "origin cardinality orchestrator optout 1 entity_precedence 0 unified 0 proc_root /proc\n"},
      {"{dogstatsd_tag_cardinality: none, dogstatsd_origin_optout_enabled: false, "
       "dogstatsd_entity_id_precedence: true, origin_detection_unified: true}",
       "origin cardinality none optout 0 entity_precedence 1 unified 1 proc_root /proc\n"},
  };
  for (const Case& c : cases) {
    const LoadedConfig loaded = good(c.text);
    const std::string plan = plan_from(loaded.config, "origin");
    EXPECT_EQ(plan.substr(0, plan.find('\n') + 1), c.plan) << c.text;
    EXPECT_EQ(loaded.warnings.size(), c.warnings) << c.text;
    EXPECT_THAT(loaded.ignored, IsEmpty()) << c.text;
  }
  EXPECT_THAT(good("dogstatsd_tag_cardinality: medium").warnings,
              ElementsAre("p.yaml:1: dogstatsd_tag_cardinality = \"medium\": is not one of low, "
                          "orchestrator, high, none; low is used"));
  EXPECT_THAT(bad("origin_detection_unified: perhaps"), HasSubstr("must be true or false"));
}

// Spec 7.6: the second list is for where the first is empty, and each has its own way to compare.
TEST(ConfigFilter, TakesOneOfTwoLists) {
  struct Case {
    const char* text;
    const char* plan;
  };
  const Case cases[] = {
      {"", ""},
      {"metric_filterlist: []", ""},
      {"metric_filterlist_match_prefix: true", ""},
      {"metric_filterlist: [b, a]", "filtered names b a\n"},
      {"metric_filterlist: a", "filtered names a\n"},
      {"{metric_filterlist: [a], metric_filterlist_match_prefix: true}", "filtered prefixes a\n"},
      {"{metric_filterlist: [a], statsd_metric_blocklist_match_prefix: true}",
       "filtered names a\n"},
      {"{statsd_metric_blocklist: [a], metric_filterlist_match_prefix: true}",
       "filtered names a\n"},
      {"{statsd_metric_blocklist: [a], statsd_metric_blocklist_match_prefix: true}",
       "filtered prefixes a\n"},
      {"{metric_filterlist: [], statsd_metric_blocklist: [a]}", "filtered names a\n"},
      {"{metric_filterlist: [''], statsd_metric_blocklist: [a]}", "filtered names \n"},
  };
  for (const Case& c : cases) {
    const LoadedConfig loaded = good(c.text);
    EXPECT_EQ(plan_from(loaded.config, "filtered"), c.plan) << c.text;
    EXPECT_THAT(loaded.ignored, IsEmpty()) << c.text;
  }
  const LoadedConfig both = good("{statsd_metric_blocklist: [a, b], metric_filterlist: [c]}",
                                 {{"DD_METRIC_FILTERLIST", "x y"}});
  EXPECT_EQ(plan_from(both.config, "filtered"), "filtered names x y\n");
  EXPECT_THAT(both.warnings, ElementsAre("p.yaml:1: statsd_metric_blocklist: has no effect: "
                                         "metric_filterlist is in its place"));
  std::string many = "metric_filterlist: [";
  for (size_t i = 0; i <= kPlanFiltersMax; ++i) many += "a,";
  EXPECT_THAT(bad(many + "]"),
              HasSubstr("metric_filterlist: has 4097 entries; at most 4096 are allowed"));
}

}  // namespace
}  // namespace penstock

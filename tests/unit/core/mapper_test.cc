// Mapper profiles, sentence by sentence of spec 7.1.
#include "dataplane/core/mapper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/mapper_plan.h"

namespace penstock {
namespace {

using dogstatsd::MatchType;

// "name" or "name#tag,tag"; "-" where nothing maps.
std::string map(Mapper& mapper, std::string_view name) {
  const Mapper::Mapped* mapped = mapper.map(name);
  if (mapped == nullptr) return "-";
  std::string text(mapped->name);
  char separator = '#';
  for (const std::string_view tag : mapped->tags) {
    text.append(1, separator).append(tag);
    separator = ',';
  }
  return text;
}

// With one profile for all names that has one mapping.
std::string map_one(const TestMapping& mapping, std::string_view name) {
  auto plan = make_plan();
  add_profile(*plan, "*", {mapping});
  Mapper mapper(*plan);
  return map(mapper, name);
}

struct MatchCase {
  const char* match;
  const char* name;
  const char* groups;  // "1,2,3", "-": no match
};

// The groups $1, $2, $3.
std::string groups_of(const MatchCase& c, MatchType type) {
  return map_one({c.match, "${1},${2},${3}", {}, type}, c.name);
}

// Whoever copies it may not be given null, not even for nothing.
TEST(Mapper, AnEmptyNameIsNotNull) {
  for (const char* name : {"$1", "$nope", "${2}"}) {
    auto plan = make_plan();
    add_profile(*plan, "*", {{"a()", name, {}, MatchType::kRegex}});
    Mapper mapper(*plan);
    const Mapper::Mapped* mapped = mapper.map("a");
    ASSERT_NE(mapped, nullptr);
    EXPECT_EQ(mapped->name, "");
    EXPECT_NE(mapped->name.data(), nullptr) << name;
  }
}

TEST(Mapper, Wildcards) {
  const MatchCase cases[] = {
      {"a.b", "a.b", ",,"},
      {"a.b", "axb", "-"},  // a dot is literal
      {"a.b", "a.b.c", "-"},
      {"a.b", "xa.b", "-"},
      {"a.*", "a.b", "b,,"},
      {"a.*", "a.", ",,"},    // a star may be empty
      {"a.*", "a.b.c", "-"},  // and holds no dot
      {"*", "abc", "abc,,"},
      {"*", "a.b", "-"},
      {"*.*.*", "a.b.c", "a,b,c"},
      {"a*.*b", "axx.yyb", "xx,yy,"},
      {"a*b*c", "abbbc", "bb,,"},  // as much as it can, from the left
      {"A-b_9.*", "A-b_9.x", "x,,"},
      {"a.*", "a.\xff\xfe", "\xff\xfe,,"},
      {"a.*.c", "a.\xc3\xbc\xe2\x82.c", "\xc3\xbc\xe2\x82,,"},
      {"a.*", "A.b", "-"},
      {"a.*", "a. x,#@\n", " x,#@\n,,"},
  };
  for (const MatchCase& c : cases)
    EXPECT_EQ(groups_of(c, MatchType::kWildcard), c.groups) << c.match << " on " << c.name;
}

TEST(Mapper, RegularExpressions) {
  const MatchCase cases[] = {
      {"a\\.(\\w+)", "a.b", "b,,"},
      {"a\\.(\\w+)", "a.b!", "-"},  // anchored at the end
      {"a\\.(\\w+)", "xa.b", "-"},  // and at the start
      {"a.b", "axb", ",,"},
      {"a|b", "ax", ",,"},  // `^a|b$`: each side is anchored once
      {"a|b", "xb", ",,"},
      {"a|b", "xa", "-"},
      {"(?:a|b)", "ax", "-"},
      {"(a)|(b)", "b", ",b,"},  // a group without part in the match is empty
      {"(a*)(a*)", "aaa", "aaa,,"},
      {"(a*?)(a*)", "aaa", ",aaa,"},
      {"(?i)AB(.*)", "abC", "C,,"},
      {"((.)(.))", "xy", "xy,x,y"},
      {"(\\pL+)\\d",
       "\xc3\xbc"
       "ber1",
       "\xc3\xbc"
       "ber,,"},
      {"(.)b",
       "\xc3\xbc"
       "b",
       "\xc3\xbc,,"},  // a character, not a byte
      {"(.)b",
       "\xff"
       "b",
       "\xff,,"},  // a wrong byte is one character
      {"(.)b",
       "\xff\xfe"
       "b",
       "-"},
      {"(.)(.)(.)", "\xed\xa0\x80", "\xed,\xa0,\x80"},  // a surrogate is three of them
      {"(.)(.)b",
       "\xc0\x80"
       "b",
       "\xc0,\x80,"},                             // longer than needed
      {"(.)(.)(.)", "\xe2\x82x", "\xe2,\x82,x"},  // cut short
      {"(.)x(.)", "\xf0\x9f\x98\x80x\xff", "\xf0\x9f\x98\x80,\xff,"},
      {"(.)(.)(.).", "\xf5\x80\x80\x80", "\xf5,\x80,\x80"},  // beyond U+10FFFF
      {"(\\x{fffd})", "\xff", "\xff,,"},  // it is U+FFFD to the pattern, as in Go
      {"([^.]*)\\.x",
       "a\xff"
       "b.x",
       "a\xff"
       "b,,"},
      {"\xc3\xbc(.*)", "\xc3\xbc\xff", "\xff,,"},
      {"(.*)", "a\nb", "-"},
      {"(?s)(.*)", "a\nb", "a\nb,,"},
      {"", "", ",,"},
      {"(.{3})*", "abcdef", "def,,"},
  };
  for (const MatchCase& c : cases)
    EXPECT_EQ(groups_of(c, MatchType::kRegex), c.groups) << c.match << " on " << c.name;
}

TEST(Mapper, Expressions) {
  struct Case {
    const char* expression;
    const char* result;
  };
  // The groups are 1 "ab", named x, and 2 "cd", and 3, which has no part in the match.
  const Case cases[] = {
      {"plain.name", "plain.name"},
      {"$1.$2", "ab.cd"},
      {"${1}${2}", "abcd"},
      {"$x.${x}", "ab.ab"},
      {"$0", "ab.cd"},
      {"$1_total", ""},  // the group is called `1_total`
      {"${1}_total", "ab_total"},
      {"$1x", ""},
      {"$1\xc3\xbc", ""},  // a letter as well
      {"$1\xd9\xa3", ""},  // a digit as well
      {"$1\xe2\x86\x92", "ab\xe2\x86\x92"},
      {"$1\xff", "ab\xff"},
      {"$1-$2", "ab-cd"},
      {"$3", ""},
      {"$9", ""},
      {"$y", ""},
      {"$01", ""},
      {"$4294967297", ""},
      {"$18446744073709551617", ""},
      {"$$", "$"},
      {"$$1", "$1"},
      {"$$$1", "$ab"},
      {"$", "$"},
      {"a$", "a$"},
      {"$.", "$."},
      {"${", "${"},
      {"${}", "${}"},
      {"${1", "${1"},
      {"${1 }", "${1 }"},
      {"${-1}", "${-1}"},
      {"$-1", "$-1"},
      {"{$1}", "{ab}"},
      {"", ""},
  };
  for (const Case& c : cases) {
    const TestMapping mapping{
        "(?P<x>\\w+)\\.(\\w+)(z)?", c.expression, {{"t", c.expression}}, MatchType::kRegex};
    EXPECT_EQ(map_one(mapping, "ab.cd"), std::string(c.result) + "#t:" + c.result) << c.expression;
  }
}

TEST(Mapper, TheFirstProfileThatAppliesDecides) {
  auto plan = make_plan();
  add_profile(*plan, "a.", {{"a.one", "first", {}}, {"a.*", "star", {}}, {"a.one", "late", {}}});
  add_profile(*plan, "b", {});
  add_profile(*plan, "a", {{"a.b.c", "second", {}}, {"ab", "ab", {}}});
  add_profile(*plan, "*", {{"*", "any", {{"was", "$1"}}}, {"b.b", "any", {}}});
  add_profile(*plan, "c", {{"c.c", "never", {}}});
  Mapper mapper(*plan);
  struct Case {
    const char* name;
    const char* result;
  };
  const Case cases[] = {
      {"a.one", "first"},                  // the first mapping wins
      {"a.two", "star"},  {"a.b.c", "-"},  // no mapping of the first profile: it ends there
      {"ab", "ab"},                        // a prefix needs no dot behind it
      {"abc", "-"},       {"b.b", "-"},    // a profile without mappings ends it as well
      {"c", "any#was:c"}, {"c.c", "-"},   {"\xff", "any#was:\xff"}, {"", "any#was:"}};
  for (const Case& c : cases) EXPECT_EQ(map(mapper, c.name), c.result) << c.name;
}

TEST(Mapper, TagsHaveTheOrderOfTheConfiguration) {
  EXPECT_EQ(map_one({"*.*", "n", {{"z", "$2"}, {"a", "x$1"}, {"", ""}, {"host", "$1"}}}, "a.b"),
            "n#z:b,a:xa,:,host:a");
}

TEST(Mapper, TwentyMappingsOfAirflow) {
  auto plan = make_plan();
  add_airflow_profile(*plan);
  Mapper mapper(*plan);
  struct Case {
    const char* name;
    const char* result;
  };
  const Case cases[] = {
      {"airflow.job_start", "-"},
      {"airflow.scheduler_job_start", "airflow.job.start#job_name:scheduler"},
      {"airflow.operator_failures_BashOperator",
       "airflow.operator_failures#operator_name:BashOperator"},
      {"airflow.dag.etl.load.duration", "airflow.dag.task.duration#dag_id:etl,task_id:load"},
      {"airflow.dag.a.b.c.duration", "airflow.dag.task.duration#dag_id:a.b,task_id:c"},
      {"airflow.dagrun.schedule_delay.etl", "airflow.dagrun.schedule_delay#dag_id:etl"},
      {"airflow.ti.finish.etl.load.success",
       "airflow.ti.finish#dag_id:etl,task_id:load,state:success"},
      {"airflow.pool.open_slots.p", "airflow.pool.open_slots#pool_name:p"},
      {"airflow.unknown", "-"},
      {"other.dag.etl.load.duration", "-"}};
  for (const Case& c : cases) EXPECT_EQ(map(mapper, c.name), c.result) << c.name;
}

TEST(Mapper, TakesTheLongestNames) {
  auto plan = make_plan();
  TestMapping mapping{"(?s)(.*)", "", {{"k", "$1$0"}}, MatchType::kRegex};
  for (size_t i = 2; i < kPlanMappingReferencesMax; ++i) mapping.name += "$1";
  add_profile(*plan, "*", {mapping});
  Mapper mapper(*plan);
  for (const char c : {'x', '\xff', '\n'}) {
    const std::string name(65535, c);
    const Mapper::Mapped* mapped = mapper.map(name);
    ASSERT_NE(mapped, nullptr);
    EXPECT_EQ(mapped->name, std::string((kPlanMappingReferencesMax - 2) * 65535, c));
    EXPECT_EQ(mapped->tags[0], "k:" + name + name);
    EXPECT_LE(mapped->name.size() + mapped->tags[0].size(), mapper.bytes_max());
  }
}

}  // namespace
}  // namespace penstock

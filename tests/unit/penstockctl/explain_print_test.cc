#include "tools/penstockctl/explain_print.h"

#include <gtest/gtest.h>

#include "explain_support.h"

namespace penstock {
namespace {

std::string block(std::string_view line, bool with_final = true) {
  const auto plan = message_plan();
  Explainer explainer(*plan, kEverything);
  std::string out;
  append_block(out, *explainer.explain(line, line.size()), with_final);
  return out;
}

TEST(ExplainPrint, Metric) {
  EXPECT_EQ(
      block("views:1:nan|c|@0.5|#env:prod,,host:web|c:ci-ab,in-7|e:it-true,cn-x,pu-y|card:high"),
      R"(views:1:nan|c|@0.5|#env:prod,,host:web|c:ci-ab,in-7|e:it-true,cn-x,pu-y|card:high
  kind            metric
  name            views
  type            c (count)
  values          1, NaN (discarded)
  rate            0.5
  tags            env:prod, "", host:web
  container id    ab
  cgroup inode    7
  init container  yes
  container name  x
  pod uid         y
  cardinality     high
final
  name            views
  host            web
  tags            "", env:prod
  context id      9f9258e6dda0d6b7
  filtered        no
  samples         1 aggregated, 1 nan_inf
)");
}

TEST(ExplainPrint, ParseOnly) {
  EXPECT_EQ(block("a b:x|s|T1700000000", /*with_final=*/false), R"(a b:x|s|T1700000000
  kind            metric
  name            a b
  type            s (set)
  value           x
  rate            1
  timestamp       1700000000 (2023-11-14 22:13:20 UTC)
)");
}

TEST(ExplainPrint, Event) {
  EXPECT_EQ(block("_e{5,4}:ti\\ne|text|p:low|t:error|h:web|k:key|s:src|d:9|#a"),
            R"(_e{5,4}:ti\ne|text|p:low|t:error|h:web|k:key|s:src|d:9|#a
  kind            event
  title           ti\x0ae
  text            text
  priority        low
  alert type      error
  host            web
  aggregation key key
  source type     src
  tags            a
  timestamp       9 (1970-01-01 00:00:09 UTC)
final
  host            web
  tags            a
)");
}

TEST(ExplainPrint, ServiceCheck) {
  EXPECT_EQ(block("_sc|db.up|2|m:no answer"), R"(_sc|db.up|2|m:no answer
  kind            service check
  name            db.up
  status          2 (CRITICAL)
  message         no answer
final
  host            h
  tags            none
  timestamp       the time of arrival
)");
}

TEST(ExplainPrint, ErrorHasACaretBelowTheByte) {
  EXPECT_EQ(block("gr\xc3\xb6\xff\t:1:2x|c"),
            "gr\xc3\xb6\\xff\\x09:1:2x|c\n"
            "               ^\n"
            "  error           bad-value, at byte 10\n"
            "                  This value is not a number, or beyond what a double holds, and one "
            "such value refuses the whole message: send plain decimals such as 12.5, or use the "
            "type s for text.\n");
}

TEST(ExplainPrint, TooLong) {
  const std::string out = block(std::string(70000, 'a'));
  EXPECT_LT(out.size(), 300U);
  EXPECT_NE(out.find("... (70000 bytes)\n  error           too-long\n"), std::string::npos) << out;
}

TEST(ExplainPrint, Rates) {
  struct {
    std::string_view line, rate;
  } const cases[] = {
      {"a:1|c|@1", "1"},
      {"a:1|c|@0", "0 (not in (0, 1]: counts as 1)"},
      {"a:1|h|@2", "2 (not in (0, 1]: counts as 1)"},
      {"a:1|c|@-inf", "-Inf (not in (0, 1]: counts as 1)"},
      {"a:1|c|@5e-324", "5e-324 (too small: counts as 1)"},
      {"a:1|g|@0.5", "0.5 (not used: the type is gauge)"},
      {"a:1|s|@0", "0 (not used: the type is set)"},
      {"a:1|c|@0.5|T1", "0.5 (not used: the message has a timestamp)"},
  };
  for (const auto& c : cases) {
    std::string row = "\n  rate            ";
    row.append(c.rate).append("\n");
    EXPECT_NE(block(c.line).find(row), std::string::npos) << block(c.line);
  }
}

TEST(ExplainPrint, TimestampBeyondAnyDate) {
  EXPECT_NE(block("a:1|c|T9223372036854775807").find("  timestamp       9223372036854775807\n"),
            std::string::npos);
}

}  // namespace
}  // namespace penstock

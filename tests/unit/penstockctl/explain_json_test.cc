#include "tools/penstockctl/explain_json.h"

#include <gtest/gtest.h>

#include "explain_support.h"

namespace penstock {
namespace {

std::string expect_of(std::string_view line) {
  const auto plan = message_plan();
  Explainer explainer(*plan, kEverything);
  std::string out;
  append_expect(out, *explainer.explain(line, line.size()));
  return out;
}

std::string explained(std::string_view line, const Plan& plan) {
  Explainer explainer(plan, kEverything);
  std::string out;
  append_explained(out, *explainer.explain(line, line.size()));
  return out;
}

struct Case {
  std::string_view line, json;
};

TEST(ExplainJson, Expect) {
  const Case cases[] = {
      {"a:1|c", R"({"kind":"metric","name":"a","type":"c","values":[1],"rate":1})"},
      {"a:-0:nan:-inf:INF|g|@nan",
       R"({"kind":"metric","name":"a","type":"g","values":[-0.0,"NaN","-Inf","+Inf"],"rate":"NaN"})"},
      {"a:0.1:1e300:5e-324:12345678901234567890|h",
       R"({"kind":"metric","name":"a","type":"h","values":[0.1,1e+300,5e-324,12345678901234567168],"rate":1})"},
      {"a:1:x|s", R"({"kind":"metric","name":"a","type":"s","values":["1:x"],"rate":1})"},
      {"a:1|c|#b,,a,b|T7",
       R"({"kind":"metric","name":"a","type":"c","values":[1],"rate":1,"tags":["b","","a","b"],"timestamp":7})"},
      {"a:1|c|#b|#", R"({"kind":"metric","name":"a","type":"c","values":[1],"rate":1})"},
      {"a:1|c|c:in-18446744073709551615,ci-x|card:",
       R"({"kind":"metric","name":"a","type":"c","values":[1],"rate":1,"container_id":"x","inode":18446744073709551615})"},
      {"a:1|c|e:cn-x|card:odd",
       R"({"kind":"metric","name":"a","type":"c","values":[1],"rate":1,"external_data":{"init":false,"container_name":"x","pod_uid":""},"cardinality":"odd"})"},
      {"a:1|c|e:it-false,xx", R"({"kind":"metric","name":"a","type":"c","values":[1],"rate":1})"},
      {"_e{4,4}:a\\nb|x\\ny|h:w|k:k|s:s|d:-5|p:low|t:error",
       R"({"kind":"event","title":"a\nb","text":"x\ny","priority":"low","alert_type":"error","hostname":"w","aggregation_key":"k","source_type":"s","timestamp":-5})"},
      {"_e{1,0}:a||h:",
       R"({"kind":"event","title":"a","text":"","priority":"normal","alert_type":"info"})"},
      {"_sc|n|3|h:w|m:hi|#t",
       R"({"kind":"service_check","name":"n","status":3,"hostname":"w","message":"hi","tags":["t"]})"},
      {"a", R"({"error":true,"reason":"no-pipe"})"},
      {"_sc|a", R"({"error":true,"reason":"sc-format"})"},
  };
  for (const Case& c : cases) EXPECT_EQ(expect_of(c.line), c.json) << c.line;
}

TEST(ExplainJson, BytesThatAreNotUtf8AreKept) {
  using namespace std::string_view_literals;
  const Case cases[] = {
      {"gr\xc3\xb6\xc3\x9f\xe2\x82\xac:1|s", "gr\xc3\xb6\xc3\x9f\xe2\x82\xac"},
      {"a\xff:1|s", R"(a\udcff)"},
      {"\xc3:1|s", R"(\udcc3)"},                      // cut short
      {"\xed\xb3\xbf:1|s", R"(\udced\udcb3\udcbf)"},  // a surrogate itself
      {"\xc0\x80:1|s", R"(\udcc0\udc80)"},            // overlong
      {"\"\\\t\x01\x7f:1|s", "\\\"\\\\\\t\\u0001\x7f"},
      {"\xc2\x85\xe2\x80\xa8\xe2\x80\xa9:1|s", R"(\u0085\u2028\u2029)"},
      {"a\0b:1|s"sv, R"(a\u0000b)"},
  };
  for (const Case& c : cases) {
    std::string name = R"("name":")";
    name.append(c.json).append("\"");
    EXPECT_NE(expect_of(c.line).find(name), std::string::npos) << expect_of(c.line);
  }
}

TEST(ExplainJson, Final) {
  const auto plan = message_plan();
  DogstatsdPlan& d = plan->dogstatsd;
  d.metric_namespace = plan->add_text("ns.");
  d.exclusions[d.exclusion_count++] = plan->add_text("jvm");
  d.tags[d.tag_count++] = plan->add_text("dc:1");
  d.client_origin = 1;
  EXPECT_EQ(
      explained("a:2:inf|h|@0.5|#z,host:web,a,z,dd.internal.card:high|c:ci-x", *plan),
      R"({"in":"a:2:inf|h|@0.5|#z,host:web,a,z,dd.internal.card:high|c:ci-x","parsed":{"kind":"metric",)"
      R"("name":"a","type":"h","values":[2,"+Inf"],"rate":0.5,)"
      R"("tags":["z","host:web","a","z","dd.internal.card:high"],"container_id":"x"},)"
      R"("final":{"mapped_name":"a","name":"ns.a","host":"web","tags":["a","container_id:x","dc:1","z"],"type":"h",)"
      R"("values":[2],"rate":0.5,"context_id":"720962608debc556","filtered":false,)"
      R"("samples":{"aggregated":1,"nan_inf":1}}})");
  EXPECT_EQ(
      explained("jvm:x|s", *plan),
      R"({"in":"jvm:x|s","parsed":{"kind":"metric","name":"jvm","type":"s","values":["x"],"rate":1},)"
      R"("final":{"mapped_name":"jvm","name":"jvm","host":"h","tags":["dc:1"],"type":"s","values":["x"],"rate":1,)"
      R"("context_id":"d75cf0b06d8b1c1f","filtered":false,"samples":{"aggregated":1}}})");
  EXPECT_EQ(explained("_sc|n|0|#host:t|h:f", *plan),
            R"({"in":"_sc|n|0|#host:t|h:f","parsed":{"kind":"service_check","name":"n","status":0,)"
            R"("hostname":"f","tags":["host:t"]},"final":{"host":"f","tags":["dc:1"]}})");
  EXPECT_EQ(explained("a:x|c", *plan),
            R"({"in":"a:x|c","parsed":{"error":true,"reason":"bad-value","position":2}})");
}

// Parsed fields are shown even where the server is not told to use them.
TEST(ExplainJson, OriginHasNoEffectUnlessThePlanSaysSo) {
  const auto plan = message_plan();
  const std::string out = explained("a:1|c|c:ci-x|card:high", *plan);
  EXPECT_NE(out.find(R"("container_id":"x")"), std::string::npos) << out;
  EXPECT_NE(out.find(R"("tags":[],"type")"), std::string::npos) << out;
}

TEST(ExplainJson, FilteredByName) {
  const auto plan = message_plan();
  NameFilterPlan& filter = plan->dogstatsd.filter;
  filter.prefix = 1;
  filter.entries[filter.count++] = plan->add_text("secret.");
  EXPECT_TRUE(
      explained("secret.a:1:nan|h|T5", *plan)
          .ends_with(R"("filtered":true,"filtered_by":"secret.","samples":{"filtered":2}}})"));
  EXPECT_TRUE(
      explained("secret:1|c", *plan).ends_with(R"("filtered":false,"samples":{"aggregated":1}}})"));
}

TEST(ExplainJson, Samples) {
  const Case cases[] = {
      {"a:1:2|c", R"({"aggregated":2})"},
      {"a:nan|g", R"({"nan_inf":1})"},
      {"a:x|s", R"({"aggregated":1})"},
      {"a:1:inf|c|T5", R"({"timestamped":1,"nan_inf":1})"},
      {"a:1:nan|h|T5", R"({"unsupported_timestamped":2})"},
      {"a:x|s|T5", R"({"unsupported_timestamped":1})"},
  };
  const auto plan = message_plan();
  for (const Case& c : cases) {
    std::string samples = R"("samples":)";
    samples.append(c.json).append("}}");
    EXPECT_TRUE(explained(c.line, *plan).ends_with(samples)) << explained(c.line, *plan);
  }
}

TEST(ExplainJson, RateAsItCounts) {
  const Case cases[] = {
      {"a:1|c|@0.3", R"("rate":0.3,"context)"},
      {"a:1|c|@0", R"("rate":1,"context)"},
      {"a:1|c|@-1", R"("rate":1,"context)"},
      {"a:1|c|@1.5", R"("rate":1,"context)"},
      {"a:1|c|@nan", R"("rate":1,"context)"},
      {"a:1|g|@0.5", R"("rate":1,"context)"},
      {"a:1|c|@0.5|T5", R"("rate":1,"context)"},
      {"a:1|c|@1e-12", R"("rate":1e-12,"context)"},
      {"a:1|h|@1e-12", R"("rate":2.3283064370807974e-10,"context)"},
  };
  const auto plan = message_plan();
  for (const Case& c : cases) {
    EXPECT_NE(explained(c.line, *plan).find(c.json), std::string::npos) << explained(c.line, *plan);
  }
}

TEST(ExplainJson, LongMessages) {
  const auto plan = message_plan();
  const std::string fits(8192 - 4, 'a');
  EXPECT_EQ(explained(fits + ":1|c", *plan).find("truncated"), std::string::npos);
  EXPECT_NE(explained(fits + "a:1|c", *plan).find(R"("samples":{},"truncated":true}})"),
            std::string::npos);
  const std::string longest(kMessageMax - 4, 'a');
  EXPECT_NE(explained(longest + ":1|c\r", *plan).find("metric"), std::string::npos);
  EXPECT_NE(explained(longest + "a:1|c", *plan)
                .find(R"(,"in_bytes":65536,"parsed":{"error":true,"reason":"too-long",)"),
            std::string::npos);
}

TEST(Explainer, SkipsEmptyLinesAndTrimsOneReturn) {
  const auto plan = message_plan();
  Explainer explainer(*plan, kEverything);
  EXPECT_EQ(explainer.explain("", 0), nullptr);
  EXPECT_EQ(explainer.explain("\r", 1), nullptr);
  EXPECT_EQ(explainer.explain("\r\r", 2)->in, "\r");
  EXPECT_EQ(explainer.explain("a:1|c\r", 6)->in, "a:1|c");
}

}  // namespace
}  // namespace penstock

// The reference aggregator against values computed by hand: section 8.9, the sentences of section 8
// and the rulings on it.
#include "tests/reference/aggregator.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace penstock::reference {
namespace {

using Lines = std::vector<std::string>;

constexpr int64_t kStart = 1700000000;  // of a bucket

struct Packet {
  double after_s;  // seconds after kStart
  std::string bytes;
};

Lines run(const std::vector<Packet>& packets, const Config& config = {}) {
  Aggregator aggregator(config);
  for (const Packet& packet : packets) {
    aggregator.add({.time = kStart + packet.after_s, .bytes = packet.bytes, .container = {}});
  }
  aggregator.finish();
  Lines lines;
  for (const SealedBucket& bucket : aggregator.sealed()) {
    lines.insert(lines.end(), bucket.lines.begin(), bucket.lines.end());
  }
  return lines;
}

// Without host and tags; `ts` is in seconds after kStart.
std::string point(std::string_view type, int64_t ts, const std::string& metric,
                  const std::string& value) {
  std::string line = R"({"ts":)" + std::to_string(kStart + ts);
  line.append(R"(,"type":")").append(type).append(R"(","metric":")").append(metric);
  return line.append(R"(","host":"","tags":[],"interval":10,"value":)").append(value).append("}");
}
std::string rate(int64_t ts, const std::string& metric, const std::string& value) {
  return point("rate", ts, metric, value);
}
std::string gauge(int64_t ts, const std::string& metric, const std::string& value) {
  return point("gauge", ts, metric, value);
}
std::string sketch(int64_t ts, const std::string& metric, const std::string& rest) {
  return R"({"ts":)" + std::to_string(kStart + ts) + R"(,"type":"sketch","metric":")" + metric +
         R"(","host":"","tags":[],)" + rest + "}";
}

struct Case {
  std::string_view what;
  std::vector<Packet> packets;
  Lines expected;
  Config config = {};
};

Config with(void (*change)(Config&)) {
  Config config;
  change(config);
  return config;
}

void expect_all(const std::vector<Case>& cases) {
  for (const Case& c : cases) EXPECT_EQ(run(c.packets, c.config), c.expected) << c.what;
}

const Config kNoHistogram = with([](Config& c) {
  c.histogram_aggregates.clear();
  c.histogram_percentiles.clear();
});

TEST(ReferenceAggregator, WorkedExamples) {  // 8.9
  expect_all({
      {"counter", {{1, "a:3|c"}, {2, "a:2|c|@0.5"}}, {rate(0, "a", "0.7")}},
      {"gauge", {{1, "b:1|g"}, {2, "b:7|g"}, {3, "b:4|g"}}, {gauge(0, "b", "4")}},
      {"set", {{1, "u:x|s\nu:y|s\nu:x|s"}}, {gauge(0, "u", "2")}},
      {"histogram",
       {{1, "h:1:2:3:4:5:6:7:8:9:10|h"}},
       {gauge(0, "h.95percentile", "10"), gauge(0, "h.avg", "5.5"), rate(0, "h.count", "1"),
        gauge(0, "h.max", "10"), gauge(0, "h.median", "5")}},
      // sum = 10 * (1/0.3) = 33.333333333333336; avg = that / 3.
      {"histogram with a rate",
       {{1, "h:10|h|@0.3"}},
       {gauge(0, "h.95percentile", "10"), gauge(0, "h.avg", "11.111111111111112"),
        rate(0, "h.count", "0.3"), gauge(0, "h.max", "10"), gauge(0, "h.median", "10")}},
      {"distribution",
       {{1, "d:1:2:2:42|d"}},
       {sketch(
           0, "d",
           R"("k":[1338,1383,1579],"n":[1,2,1],"cnt":4,"min":1,"max":42,"avg":11.75,"sum":47)")}},
      {"distribution with a rate",
       {{1, "d:2|d|@0.3"}},
       {sketch(0, "d",
               R"("k":[1383],"n":[3],"cnt":3,"min":2,"max":2,"avg":2,"sum":6.666666666666667)")}},
      {"timestamped", {{1, "t:50|c|@0.1|T1700000003"}}, {rate(3, "t", "5")}},
  });
}

TEST(ReferenceAggregator, ZeroFillOfTheWorkedExample) {  // 8.9, the last
  const Lines lines = run({{5, "a:1|c"}, {400, "b:1|g"}});
  ASSERT_EQ(lines.size(), 32U);  // a point, zeros from 10 to 300, the gauge
  EXPECT_EQ(lines[0], rate(0, "a", "0.1"));
  for (int i = 1; i <= 30; ++i) EXPECT_EQ(lines[static_cast<size_t>(i)], rate(10 * i, "a", "0"));
  EXPECT_EQ(lines[31], gauge(400, "b", "1"));
}

TEST(ReferenceAggregator, ZeroFill) {
  const auto expiry = [](double seconds) {
    Config config;
    config.expiry_seconds = seconds;
    return config;
  };
  expect_all({
      {"last seen + expiry > start, with the fraction",
       {{5.25, "a:1|c"}, {60, ""}},
       {rate(0, "a", "0.1"), rate(10, "a", "0"), rate(20, "a", "0"), rate(30, "a", "0")},
       expiry(25)},
      {"not at equality",
       {{5, "a:1|c"}, {60, ""}},
       {rate(0, "a", "0.1"), rate(10, "a", "0"), rate(20, "a", "0")},
       expiry(25)},
      {"a value that is not finite makes a context known (ruling 3)",
       {{5, "a:NaN|c"}, {12, ""}},
       {rate(0, "a", "0"), rate(10, "a", "0")},
       expiry(15)},
      {"timestamped and other types have none",
       {{5, "a:1|c|T1700000001\ng:1|g\ns:x|s\nd:1|d"}, {25, ""}},
       {sketch(0, "d", R"("k":[1338],"n":[1],"cnt":1,"min":1,"max":1,"avg":1,"sum":1)"),
        gauge(0, "g", "1"), gauge(0, "s", "1"), rate(1, "a", "0.1")}},
      {"one that was silent begins anew",
       {{5, "a:1|c"}, {95, "a:2|c"}, {105, ""}},
       {rate(0, "a", "0.1"), rate(10, "a", "0"), rate(90, "a", "0.2"), rate(100, "a", "0")},
       expiry(10)},
      {"without expiry only the bucket itself",
       {{5, "a:1|c"}, {25, ""}},
       {rate(0, "a", "0.1")},
       expiry(0)},
  });
}

TEST(ReferenceAggregator, Buckets) {  // 8.1
  expect_all({
      {"aligned to ten seconds",
       {{9.999, "g:1|g"}, {10, "g:2|g"}},
       {gauge(0, "g", "1"), gauge(10, "g", "2")}},
      {"a clock that goes back", {{12, "g:1|g"}, {3, "g:2|g"}}, {gauge(10, "g", "2")}},
      {"and comes again",
       {{12, "a:1|c"}, {3, "a:2|c"}, {19, "a:3|c"}, {20, ""}},
       {rate(10, "a", "0.6"), rate(20, "a", "0")}},
      {"the clock follows what is not a metric", {{1, "g:1|g"}, {11, "bad"}}, {gauge(0, "g", "1")}},
      {"nothing", {}, {}},
      {"years", {{1, "g:1|g"}, {1e9, "g:2|g"}}, {gauge(0, "g", "1"), gauge(1000000000, "g", "2")}},
  });
}

TEST(ReferenceAggregator, Contexts) {  // 8.2, ruling 2
  const auto tagged = [](std::string_view tags, std::string_view host, std::string_view value) {
    std::string line = R"({"ts":1700000000,"type":"rate","metric":"a","host":")";
    line.append(host).append(R"(","tags":[)").append(tags).append(R"(],"interval":10,"value":)");
    return line.append(value).append("}");
  };
  expect_all({
      {"a set of tags",
       {{1, "a:1|c|#y,x,x\na:2|c|#x,y\na:4|c|#x"}},
       {tagged(R"("x")", "", "0.4"), tagged(R"("x","y")", "", "0.3")}},
      {"empty tags are tags",
       {{1, "a:1|c\na:2|c|#,"}},
       {tagged("", "", "0.1"), tagged(R"("")", "", "0.2")}},
      {"hosts",
       {{1, "a:1|c|#host:h\na:2|c|#host:\na:4|c"}},
       {tagged("", "", "0.2"), tagged("", "d", "0.4"), tagged("", "h", "0.1")},
       with([](Config& c) { c.enrich.hostname = "d"; })},
      {"another type is apart",
       {{1, "a:1|c\na:7|g\na:x|s\na:2|c"}},
       {gauge(0, "a", "1"), gauge(0, "a", "7"), rate(0, "a", "0.3")}},
      {"timings are histograms",
       {{1, "a:1|h\na:3|ms"}},
       {rate(0, "a.count", "0.2")},
       with([](Config& c) {
         c.histogram_aggregates = {"count"};
         c.histogram_percentiles.clear();
       })},
  });
}

TEST(ReferenceAggregator, Values) {  // 8.3, 8.4, 8.7
  expect_all({
      {"what is not finite is discarded",
       {{1, "g:5|g\ng:NaN|g\ng:inf|g\nh:nan|h\nd:-inf|d"}},
       {gauge(0, "g", "5")}},
      {"rates outside (0, 1] count as 1",
       {{1, "a:1|c|@0\na:10|c|@-1\na:100|c|@2\na:1000|c|@nan\na:10000|c|@inf"}},
       {rate(0, "a", "1111.1")}},
      {"value * (1/rate) (ruling 16)", {{1, "a:3|c|@0.1"}}, {rate(0, "a", "3")}},
      {"sums are rounded once",
       {{1, "a:1e100:1:-1e100|c"}, {2, "b:0.1:0.1:0.1:0.1:0.1:0.1:0.1:0.1:0.1:0.1|c"}},
       {rate(0, "a", "0.1"), rate(0, "b", "0.1")}},
      {"beyond a double", {{1, "a:1e308:1e308|c\nb:1|c"}}, {rate(0, "b", "0.1")}},
      {"and back", {{1, "a:1e308:1e308:-1e308|c"}}, {rate(0, "a", "1e+307")}},
      {"gauges and sets ignore rates",
       {{1, "g:4|g|@0.5\ns:a|s|@0.1"}},
       {gauge(0, "g", "4"), gauge(0, "s", "1")}},
      {"set values are bytes", {{1, "s:1|s\ns:1.0|s\ns:a:b|s\ns:nan|s"}}, {gauge(0, "s", "4")}},
      {"each bucket counts a set anew",
       {{1, "s:a|s"}, {11, "s:a|s\ns:b|s"}},
       {gauge(0, "s", "1"), gauge(10, "s", "2")}},
  });
}

TEST(ReferenceAggregator, Histograms) {  // 8.5
  const auto only = [](std::vector<std::string> aggregates, std::vector<double> percentiles) {
    Config config;
    config.histogram_aggregates = std::move(aggregates);
    config.histogram_percentiles = std::move(percentiles);
    return config;
  };
  expect_all({
      {"all aggregates",
       {{1, "h:3:1:2:10|ms"}},
       {gauge(0, "h.avg", "4"), rate(0, "h.count", "0.4"), gauge(0, "h.max", "10"),
        gauge(0, "h.median", "2"), gauge(0, "h.min", "1"), gauge(0, "h.sum", "16")},
       only({"sum", "min", "max", "avg", "count", "median", "mode"}, {})},
      // Weights 2 and 3: the median is the first above (5 - 1) / 2 = 2, which is the second.
      {"weights",
       {{1, "h:1|h|@0.5\nh:9|h|@0.3"}},
       {rate(0, "h.count", "0.5"), gauge(0, "h.median", "9")},
       only({"median", "count"}, {})},
      // Of 100 values p stands for the first above (100 p - 1) / 100 = p - 1 (p > 0), the p-th.
      {"percentiles",
       {{1, "h:1:2:3:4:5:6:7:8:9:10|h"}},
       {gauge(0, "h.0percentile", "1"), gauge(0, "h.100percentile", "10"),
        gauge(0, "h.10percentile", "1"), gauge(0, "h.11percentile", "2"),
        gauge(0, "h.50percentile", "5"), gauge(0, "h.99percentile", "10")},
       only({}, {0.99, 0, 0.1, 1, 0.11, 0.5, -0.1, 1.1})},
      {"int(100 x + 0.5)",
       {{1, "h:1|h"}},
       {gauge(0, "h.29percentile", "1"), gauge(0, "h.58percentile", "1")},
       only({}, {0.29, 0.576})},
      {"one sample is everything",
       {{1, "h:-3|h"}},
       {gauge(0, "h.95percentile", "-3"), gauge(0, "h.avg", "-3"), rate(0, "h.count", "0.1"),
        gauge(0, "h.max", "-3"), gauge(0, "h.median", "-3")}},
      {"a rate without an inverse counts as 1 in a sum",
       {{1, "c:1|c|@1e-320"}},
       {rate(0, "c", "0.1")}},
      {"the smallest rates count for 2^32 - 1",
       {{1, "h:1|h|@1e-300"}},
       {rate(0, "h.count", "429496729.5"), gauge(0, "h.sum", "4294967295")},
       only({"count", "sum"}, {})},
  });
}

TEST(ReferenceAggregator, HistogramCopy) {  // 8.5, 8.8, ruling 5
  Config config = kNoHistogram;
  config.histogram_copy_to_distribution = true;
  config.histogram_copy_to_distribution_prefix = "p.";
  Config filtered = config;
  filtered.enrich.metric_namespace = "ns";
  filtered.enrich.metric_filterlist = {"ns.gone", "p.ns.kept"};
  const std::string one = R"("k":[1338],"n":[1],"cnt":1,"min":1,"max":1,"avg":1,"sum":1)";
  const std::string two = R"("k":[1338],"n":[2],"cnt":2,"min":1,"max":1,"avg":1,"sum":2)";
  expect_all({
      {"timings too, with their rate",
       {{1, "h:1|h\nt:1|ms|@0.5\nc:1|g"}},
       {gauge(0, "c", "1"), sketch(0, "p.h", one), sketch(0, "p.t", two)},
       config},
      {"joins a distribution of that name",
       {{1, "h:1|h\np.h:1|d"}},
       {sketch(0, "p.h", two)},
       config},
      {"off", {{1, "h:1|h"}}, {}, kNoHistogram},
      {"before the namespace, no filter on the new name",
       {{1, "kept:1|h\ngone:1|h"}},
       {sketch(0, "p.ns.kept", one)},
       filtered},
      {"of a timestamped one: that bucket, at the next seal",
       {{21, "h:1|h|T1700000003"}, {22, "h:1|h"}, {31, ""}},
       {sketch(20, "p.h", one), sketch(0, "p.h", one)},
       config},
      {"in the future: when it closes",
       {{1, "h:1|h|T1700000019\ng:1|g"}, {11, "g:2|g"}, {21, "g:3|g"}},
       {gauge(0, "g", "1"), gauge(10, "g", "2"), sketch(10, "p.h", one), gauge(20, "g", "3")},
       config},
      {"in a future that does not come: at the end",
       {{1, "h:1|h|T1700000999\ng:1|g"}},
       {gauge(0, "g", "1"), sketch(990, "p.h", one)},
       config},
      {"a jump does not pass it by",
       {{1, "h:1|h|T1700000019"}, {500, "g:1|g"}},
       {sketch(10, "p.h", one), gauge(500, "g", "1")},
       config},
      {"not finite", {{1, "h:nan|h\nh:inf|h|T1700000003"}}, {}, config},
  });
}

TEST(ReferenceAggregator, Timestamped) {  // 8.8, rulings 1, 14, 15
  Config off;
  off.no_aggregation_pipeline = false;
  expect_all({
      {"each value is a point, none is merged",
       {{1, "g:1:2|g|T1700000003\ng:1|g|T1700000003"}},
       {gauge(3, "g", "1"), gauge(3, "g", "1"), gauge(3, "g", "2")}},
      {"any age, at the next seal",
       {{15, "g:1|g|T1600000000"}, {25, "x"}},
       {gauge(-100000000, "g", "1")}},
      {"other types are dropped", {{1, "h:1|h|T5\nt:1|ms|T5\ns:a|s|T5\nd:1|d|T5"}}, {}},
      {"not finite", {{1, "g:nan|g|T5\nc:inf|c|T5"}}, {}},
      {"with the pipeline off an ordinary sample",
       {{1, "g:1|g|T1700000003\ng:2|g|Tx"}},
       {gauge(0, "g", "2")},
       off},
      {"sorted unique tags",
       {{1, "g:1|g|#b,a,b|T1700000003"}},
       {R"({"ts":1700000003,"type":"gauge","metric":"g","host":"","tags":["a","b"],"interval":10,"value":1})"}},
  });
}

TEST(ReferenceAggregator, EventsAndChecks) {  // 6.3, rulings 6 and 13
  Config named;
  named.enrich.hostname = "h";
  named.enrich.tags = {"x"};
  named.origin_detection_client = true;
  expect_all({
      {"defaults, sorted",
       {{1.5, "_sc|b|0\n_e{1,1}:t|u\n_sc|a|3|m:hi\n_e{1,0}:s|"}},
       {R"({"type":"event","title":"s","text":"","priority":"normal","alert_type":"info","timestamp":1700000001})",
        R"({"type":"event","title":"t","text":"u","priority":"normal","alert_type":"info","timestamp":1700000001})",
        R"({"type":"service_check","name":"a","status":3,"timestamp":1700000001,"message":"hi"})",
        R"({"type":"service_check","name":"b","status":0,"timestamp":1700000001})"}},
      {"enriched",
       {{1,
         "_e{1,1}:t|u|#b,a,b|d:7|k:k|s:s|p:low|t:error|c:ci-1|e:cn-w|card:low\n_sc|n|1|h:o|#host:"
         "q"}},
       {R"({"type":"event","title":"t","text":"u","priority":"low","alert_type":"error","timestamp":7,"hostname":"h","aggregation_key":"k","source_type":"s","container_id":"1","cardinality":"low","external_data":{"init":false,"container_name":"w","pod_uid":""},"tags":["a","b","x"]})",
        R"({"type":"service_check","name":"n","status":1,"timestamp":1700000001,"hostname":"o","tags":["x"]})"},
       named},
      {"not aggregated, each once",
       {{1, "_sc|a|0|d:-5\n_sc|a|0|d:-5"}, {11, ""}},
       {R"({"type":"service_check","name":"a","status":0,"timestamp":-5})",
        R"({"type":"service_check","name":"a","status":0,"timestamp":-5})"}},
  });
}

TEST(ReferenceAggregator, NamesAndFilters) {  // 7.1, 7.4, 7.6
  expect_all({
      {"namespace, exclusions without a dot boundary",
       {{1, "a:1|g\nruntimeX:1|g\njvm.b:1|g"}},
       {gauge(0, "jvm.b", "1"), gauge(0, "n.a", "1"), gauge(0, "runtimeX", "1")},
       with([](Config& c) { c.enrich.metric_namespace = "n"; })},
      {"filtered by the final name, and not known",
       {{1, "a:1|c\nb:1|c"}, {11, ""}},
       {rate(0, "n.b", "0.1"), rate(10, "n.b", "0")},
       with([](Config& c) {
         c.enrich.metric_namespace = "n.";
         c.enrich.metric_filterlist = {"n.a", "b"};
       })},
      {"prefixes", {{1, "ab:1|g\na:1|g\nb:1|g"}}, {gauge(0, "b", "1")}, with([](Config& c) {
         c.enrich.metric_filterlist = {"a"};
         c.enrich.metric_filterlist_match_prefix = true;
       })},
      {"the older list where the newer is empty",
       {{1, "a:1|g\nb:1|g"}},
       {gauge(0, "b", "1")},
       with([](Config& c) { c.enrich.statsd_metric_blocklist = {"a"}; })},
      {"and not where it is not", {{1, "a:1|g\nb:1|g"}}, {gauge(0, "a", "1")}, with([](Config& c) {
         c.enrich.statsd_metric_blocklist = {"a"};
         c.enrich.metric_filterlist = {"b"};
       })},
      {"single series of a histogram",
       {{1, "h:1|h\ni:1|h"}},
       {gauge(0, "h.95percentile", "1"), gauge(0, "i.max", "1")},
       with([](Config& c) {
         c.histogram_aggregates = {"max"};
         c.enrich.metric_filterlist = {"h.max", "i.95percentile", "h.avg"};
       })},
      {"mapper",
       {{1, "x.one.y:2|c|#z\nx.no:1|g"}},
       {R"({"ts":1700000000,"type":"rate","metric":"n.one_y","host":"","tags":["k:one","z"],"interval":10,"value":0.2})",
        gauge(0, "n.x.no", "1")},
       with([](Config& c) {
         c.enrich.metric_namespace = "n";
         c.enrich.mapper_profiles = {
             {"x.", {{"x.*.y", false, "${1}_y", {{"k", "$1"}}}}},
             {"*", {{".*", true, "never", {}}}},
         };
       })},
  });
}

TEST(ReferenceAggregator, Tags) {  // 7.2, 7.3, 7.5, rulings 8 and 9
  const auto tags_of = [](const std::string& fields, const Config& config) {
    Aggregator aggregator(config);
    aggregator.add({kStart, "a:1|g|" + fields, Source::kUds, "sock"});
    aggregator.finish();
    const std::string line = aggregator.sealed().at(0).lines.at(0);
    const size_t begin = line.find("\"host\"");
    return line.substr(begin, line.find(",\"interval\"") - begin);
  };
  Config config;
  config.enrich.hostname = "h";
  config.enrich.tags = {"host:e", "x"};
  config.origin_detection_client = true;
  Config origin = config;
  origin.enrich.tags.clear();
  origin.enrich.origin_detection = true;
  Config high = origin;
  high.enrich.tag_cardinality = "High";
  Config entity = high;
  entity.enrich.entity_id_precedence = true;
  Config unified = high;
  unified.enrich.origin_detection_unified = true;
  struct {
    std::string fields;
    std::string expected;
    Config config;
  } const cases[] = {
      {"c:ci-1|#dd.internal.entity_id:p", R"("host":"h","tags":["container_id:sock"])", unified},
      {"#b,a,b", R"("host":"h","tags":["a","b","host:e","x"])", config},
      {"#host:p,host:q", R"("host":"q","tags":["host:e","x"])", config},
      {"#dd.internal.entity_id:p,dd.internal.jmx_check_name:q",
       R"("host":"h","tags":["host:e","x"])", config},
      {"#dd.internal.card:low,dd.internal.card:high",
       R"("host":"h","tags":["dd.internal.card:high","host:e","x"])", config},
      {"#dd.internal.card:low|card:low",
       R"("host":"h","tags":["dd.internal.card:low","host:e","x"])", config},
      {"c:ci-1", R"("host":"h","tags":["host:e","x"])", config},
      {"c:ci-1|card:HIGH", R"("host":"h","tags":["container_id:1","host:e","x"])", config},
      {"c:ci-1|card:none", R"("host":"h","tags":["host:e","x"])", config},
      {"c:ci-1|card:high", R"("host":"h","tags":["container_id:1","container_id:sock"])", origin},
      {"c:ci-1", R"("host":"h","tags":["container_id:1","container_id:sock"])", high},
      {"c:in-1", R"("host":"h","tags":["container_id:sock"])", high},
      {"c:ci-1|card:orchestrator", R"("host":"h","tags":[])", high},
      {"c:ci-1|#dd.internal.entity_id:p", R"("host":"h","tags":["container_id:sock"])", high},
      {"c:ci-1|#dd.internal.entity_id:p", R"("host":"h","tags":[])", entity},
  };
  for (const auto& c : cases) EXPECT_EQ(tags_of(c.fields, c.config), c.expected) << c.fields;
}

TEST(ReferenceAggregator, Packets) {  // 4, rulings 11 and 17
  Config eol;
  eol.eol_udp = true;
  Config small;
  small.buffer_size = 5;
  expect_all({
      {"an unterminated tail", {{1, "a:1|g\nb:1|g"}}, {gauge(0, "a", "1")}, eol},
      {"truncated", {{1, "a:1|g"}, {2, "b:11|g"}, {12, "toolong"}}, {gauge(0, "a", "1")}, small},
      {"a bad line does not spoil the packet", {{1, "bad\na:1|g"}}, {gauge(0, "a", "1")}},
  });
}

TEST(ReferenceAggregator, Text) {  // docs/json-lines.md
  expect_all({
      {"escapes and bytes that are not UTF-8",
       {{1, "a\"\\\t\x01\b\xC3\xA9\xFF:1|g"}},
       {gauge(0, "a\\\"\\\\\\t\\u0001\\u0008\xC3\xA9\xEF\xBF\xBD", "1")}},
      {"what could have become one character is replaced together",
       {{1, "\xE2\x82z\xE2\x82\xF0\x9F\x98\xED\xA0\x80:1|g"}},
       {gauge(0, "\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD",
              "1")}},
      {"order is of the bytes sent",
       {{1, "\xFF:1|g\n\xF0\x9F\x98\x80:1|g"}},
       {gauge(0, "\xF0\x9F\x98\x80", "1"), gauge(0, "\xEF\xBF\xBD", "1")}},
      {"a name before its continuation",
       {{1, "a.b:1|g\na:1|g"}},
       {gauge(0, "a", "1"), gauge(0, "a.b", "1")}},
  });
}

}  // namespace
}  // namespace penstock::reference

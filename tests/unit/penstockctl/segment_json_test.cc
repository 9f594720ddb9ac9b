#include "tools/penstockctl/segment_json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

namespace penstock {
namespace {

using segment::Bin;
using segment::Context;
using segment::WeightedValue;

const std::vector<std::string_view> kTags = {"a", "k:v"};
const Context kContext = {"n", "h", kTags};

struct Case {
  const char* name;
  std::function<void(SegmentRows&)> write;
  const char* line;
};

class Row : public testing::TestWithParam<Case> {};

TEST_P(Row, IsALineOfJson) {
  Output output;
  SegmentRows rows(output);
  GetParam().write(rows);
  EXPECT_EQ(output.text(), std::string(GetParam().line) + "\n");
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, Row,
    testing::Values(
        Case{"counter", [](SegmentRows& r) { r.counter(kContext, 1.5); },
             R"({"row":"counter","name":"n","host":"h","tags":["a","k:v"],"sum":1.5})"},
        Case{
            "counter_with_low_part",
            [](SegmentRows& r) {
              r.counter({"", "", {}}, {1, 0x1p-54});
            },
            R"({"row":"counter","name":"","host":"","tags":[],"sum":1,"sum_low":5.551115123125783e-17})"},
        Case{"not_finite",
             [](SegmentRows& r) {
               r.counter({"\xff", "", {}}, HUGE_VAL);
               r.counter({"\"", "", {}}, -HUGE_VAL);
               r.counter({"\n", "", {}}, std::nan(""));
             },
             "{\"row\":\"counter\",\"name\":\"\xEF\xBF\xBD\",\"host\":\"\",\"tags\":[],\"sum\":\"+"
             "Inf\"}\n"
             R"({"row":"counter","name":"\"","host":"","tags":[],"sum":"-Inf"})"
             "\n"
             R"({"row":"counter","name":"\n","host":"","tags":[],"sum":"NaN"})"},
        Case{
            "gauge", [](SegmentRows& r) { r.gauge(kContext, -0.0, -5, 7); },
            R"({"row":"gauge","name":"n","host":"h","tags":["a","k:v"],"value":-0,"time_ms":-5,"shard":7})"},
        Case{
            "set",
            [](SegmentRows& r) {
              r.set(kContext, std::vector<uint64_t>{1, UINT64_MAX});
            },
            R"({"row":"set","name":"n","host":"h","tags":["a","k:v"],"members":["0000000000000001","ffffffffffffffff"]})"},
        Case{
            "histogram",
            [](SegmentRows& r) {
              r.histogram({"n", "", {}}, {3, 4, 1, 2, 1.25, 0, 2},
                          std::vector<WeightedValue>{{1, 2}, {2, 1}}, {});
            },
            R"({"row":"histogram","name":"n","host":"","tags":[],"count":3,"sum":4,"min":1,"max":2,"avg":1.25,"samples":2,"values":[[1,2],[2,1]],"bins":[]})"},
        Case{
            "distribution",
            [](SegmentRows& r) {
              r.distribution({"n", "", {}}, {1, 2, 2, 2, 2}, std::vector<Bin>{{-1383, 1}});
              r.distribution({"n", "", {}}, {1, 2, 2, 2, 2, 0, 0, ExactSum(3, 4)}, {});
            },
            R"({"row":"distribution","name":"n","host":"","tags":[],"count":1,"sum":2,"min":2,"max":2,"avg":2,"bins":[[-1383,1]]})"
            "\n"
            R"({"row":"distribution","name":"n","host":"","tags":[],"count":1,"sum":2,"min":2,"max":2,"avg":2,"weighted":3,"weighted_low":4,"bins":[]})"},
        Case{
            "timestamped",
            [](SegmentRows& r) {
              r.timestamped(segment::Kind::kGauge, {"n", "", {}}, -1, 2);
            },
            R"({"row":"timestamped","name":"n","host":"","tags":[],"kind":"gauge","timestamp":-1,"value":2})"},
        Case{
            "event",
            [](SegmentRows& r) {
              r.event(
                  {"t", "x", 1, "h", "k", "s", "low", "info", "c", "high", kTags, 9, "it-true"});
            },
            R"({"row":"event","title":"t","text":"x","timestamp":1,"hostname":"h","aggregation_key":"k","source_type":"s","priority":"low","alert_type":"info","container_id":"c","inode":9,"cardinality":"high","external_data":"it-true","tags":["a","k:v"]})"},
        Case{
            "service_check",
            [](SegmentRows& r) {
              r.service_check({"n", 2, 1, "h", "m", "c", "low", {}, 9, "e"});
            },
            R"({"row":"service_check","name":"n","status":2,"timestamp":1,"hostname":"h","message":"m","container_id":"c","inode":9,"cardinality":"low","external_data":"e","tags":[]})"}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace penstock

#include "controlplane/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

namespace penstock {
namespace {

using Json = nlohmann::ordered_json;
using Counters = std::vector<std::pair<std::string, uint64_t>>;

StatsBlockValues block(StatsBlock kind, const char* label, Counters counters) {
  return {kind, label, std::move(counters)};
}

// 10 packets received, 8 dispatched; 20 lines, 17 ok; 30 samples, 24 kept; 20 of them sealed into
// 3 points, all received.
std::vector<StatsBlockValues> healthy() {
  return {
      block(StatsBlock::kListener, "udp",
            {{"received", 10},
             {"not_ours", 0},
             {"malformed_udp", 1},
             {"truncated", 1},
             {"ring_full", 0},
             {"dispatched", 8}}),
      block(StatsBlock::kLoss, "udp", {{"missed", 4}, {"no_buffer", 0}}),
      block(StatsBlock::kShard, "shard0",
            {{"packets", 8},
             {"lines", 20},
             {"lines_ok", 17},
             {"metrics", 15},
             {"events", 1},
             {"service_checks", 1},
             {"rejected_no_pipe", 2},
             {"rejected_bad_value", 1},
             {"samples", 30},
             {"aggregated", 21},
             {"timestamped", 2},
             {"overflow", 1},
             {"unsupported_timestamped", 1},
             {"filtered", 2},
             {"nan_inf", 2},
             {"carry_full", 1},
             {"contexts", 5}}),
      block(
          StatsBlock::kKeeper, "keeper",
          {{"segments_sealed", 2}, {"points_sealed", 3}, {"samples_sealed", 20}, {"drained", 0}})};
}

LedgerInput input() {
  LedgerInput in;
  in.live = healthy();
  in.reception = {2, 2, 3, 20, 0, 0};
  in.exporters = {{"jsonl", 1, 2, 0}, {"prometheus", 2, 0, 1}};
  return in;
}

uint64_t& counter(std::vector<StatsBlockValues>& blocks, StatsBlock kind, std::string_view name) {
  for (StatsBlockValues& b : blocks) {
    if (b.kind != kind) continue;
    for (auto& [n, value] : b.counters) {
      if (n == name) return value;
    }
  }
  ADD_FAILURE() << name;
  static uint64_t none = 0;
  return none;
}

TEST(Ledger, BalancesAndShowsTheOpenBucket) {
  const Json ledger = make_ledger(input());
  EXPECT_TRUE(ledger["balanced"].get<bool>()) << ledger.dump(2);
  EXPECT_EQ(ledger["packets"]["offered"], 14);
  EXPECT_EQ(ledger["packets"]["malformed"], 1);
  EXPECT_EQ(ledger["lines"]["rejected"]["no-pipe"], 2);
  EXPECT_EQ(ledger["samples"]["open"], 4);
  EXPECT_EQ(ledger["sources"][0]["missed"], 4);
  EXPECT_EQ(ledger["points"]["held"], 0);
  EXPECT_THAT(ledger_table(ledger), testing::EndsWith("\nbalanced\n"));
}

TEST(Ledger, EachIdentityIsCheckedByItself) {
  struct Case {
    StatsBlock kind;
    const char* name;
    const char* identity;
  };
  const Case cases[] = {
      {StatsBlock::kListener, "truncated", "packets of udp: received"},
      {StatsBlock::kShard, "packets", "packets: dispatched"},
      {StatsBlock::kShard, "rejected_no_pipe", "lines: total"},
      {StatsBlock::kShard, "events", "lines: ok"},
      {StatsBlock::kShard, "nan_inf", "samples: total"},
  };
  for (const Case& c : cases) {
    LedgerInput in = input();
    counter(in.live, c.kind, c.name) += 1;
    const Json ledger = make_ledger(in);
    ASSERT_EQ(ledger["differences"].size(), 1u) << c.name;
    EXPECT_THAT(ledger["differences"][0]["identity"].get<std::string>(),
                testing::StartsWith(c.identity));
    EXPECT_EQ(std::abs(ledger["differences"][0]["gap"].get<int64_t>()), 1) << c.name;
    EXPECT_THAT(ledger_table(ledger), testing::EndsWith("\nnot balanced\n"));
  }
}

TEST(Ledger, AnExporterThatLostAPointIsFound) {
  LedgerInput in = input();
  in.exporters[1].delivered -= 1;
  const Json ledger = make_ledger(in);
  ASSERT_EQ(ledger["differences"].size(), 1u);
  EXPECT_THAT(ledger["differences"][0]["identity"].get<std::string>(),
              testing::StartsWith("points of prometheus"));
}

TEST(Ledger, OnceDrainedNothingIsOpenAndNothingHeld) {
  LedgerInput in = input();
  counter(in.live, StatsBlock::kKeeper, "drained") = 1;
  EXPECT_FALSE(make_ledger(in)["balanced"].get<bool>());
  counter(in.live, StatsBlock::kKeeper, "samples_sealed") = 24;
  EXPECT_TRUE(make_ledger(in)["balanced"].get<bool>());
}

TEST(Ledger, SealedSegmentsOnTheirWayAreHeld) {
  LedgerInput in = input();
  counter(in.live, StatsBlock::kKeeper, "segments_sealed") = 3;
  counter(in.live, StatsBlock::kKeeper, "points_sealed") = 10;
  const Json ledger = make_ledger(in);
  EXPECT_TRUE(ledger["balanced"].get<bool>()) << ledger.dump(2);
  EXPECT_EQ(ledger["points"]["held"], 7);
}

TEST(Ledger, SegmentsTheDataPlaneGaveUpAreCountedOnceTheGapIsBehind) {
  LedgerInput in = input();
  in.live.back().counters = {{"segments_sealed", 5},
                             {"points_sealed", 10},
                             {"samples_sealed", 20},
                             {"points_given_up", 7},
                             {"drained", 0}};
  in.reception = {5, 2, 3, 6, 0, 0};
  const Json ledger = make_ledger(in);
  EXPECT_TRUE(ledger["balanced"].get<bool>()) << ledger.dump(2);
  EXPECT_EQ(ledger["points"]["given_up"], 7);
  counter(in.live, StatsBlock::kKeeper, "points_given_up") = 2;
  EXPECT_FALSE(make_ledger(in)["balanced"].get<bool>());
}

// Two sources, of which 20 packets were not refused, and two targets.
LedgerInput forwarding() {
  LedgerInput in = input();
  in.live.push_back(
      block(StatsBlock::kRxQueue, "wire0/0",
            {{"received", 12}, {"ring_full", 2}, {"dispatched", 10}, {"forward_full", 3}}));
  counter(in.live, StatsBlock::kShard, "packets") += 10;
  in.live.push_back(block(
      StatsBlock::kForward, "a:1",
      {{"sent", 12}, {"sent_bytes", 99}, {"queue_full", 1}, {"errors", 2}, {"last_errno", 111}}));
  in.live.push_back(block(StatsBlock::kForward, "b:1",
                          {{"sent", 17}, {"queue_full", 0}, {"errors", 0}, {"last_errno", 0}}));
  return in;
}

TEST(Ledger, WhatIsOfferedToATargetIsWhatTheSourcesDidNotRefuse) {
  LedgerInput in = forwarding();
  Json ledger = make_ledger(in);
  EXPECT_TRUE(ledger["balanced"].get<bool>()) << ledger.dump(2);
  EXPECT_EQ(ledger["forward"].dump(),
            R"([{"name":"a:1","offered":20,"sent":12,"queue_full":4,"errors":2,"in_flight":2,)"
            R"("lost_in_crash":0,"datagrams":0,"bytes":99},)"
            R"({"name":"b:1","offered":20,"sent":17,"queue_full":3,"errors":0,"in_flight":0,)"
            R"("lost_in_crash":0,"datagrams":0,"bytes":0}])");
  EXPECT_THAT(ledger_table(ledger), testing::HasSubstr("forward to a:1\n"));
  counter(in.live, StatsBlock::kForward, "sent") += 3;
  ledger = make_ledger(in);
  ASSERT_EQ(ledger["differences"].size(), 1u);
  EXPECT_THAT(ledger["differences"][0]["identity"].get<std::string>(),
              testing::StartsWith("forward to a:1: offered"));
}

TEST(Ledger, OnceDrainedNothingIsOnItsWayToATarget) {
  LedgerInput in = forwarding();
  counter(in.live, StatsBlock::kKeeper, "drained") = 1;
  counter(in.live, StatsBlock::kKeeper, "samples_sealed") = 24;
  EXPECT_EQ(make_ledger(in)["differences"].size(), 1u);
  counter(in.live, StatsBlock::kForward, "sent") += 2;
  EXPECT_TRUE(make_ledger(in)["balanced"].get<bool>()) << make_ledger(in).dump(2);
}

TEST(Settle, WhatWasOnItsWayToATargetIsLost) {
  LedgerInput in = forwarding();
  const std::vector<StatsBlockValues> last = in.live;
  settle(last, in.reception, in.departed);
  // The next one has one of the two targets, and another one.
  in.live.pop_back();
  in.live.push_back(block(StatsBlock::kForward, "c:1", {{"sent", 17}}));
  in.exporters = {{"jsonl", 6, 0, 0}};
  const Json ledger = make_ledger(in);
  EXPECT_TRUE(ledger["balanced"].get<bool>()) << ledger.dump(2);
  ASSERT_EQ(ledger["forward"].size(), 3u);
  EXPECT_EQ(ledger["forward"][0]["offered"], 40);
  EXPECT_EQ(ledger["forward"][0]["lost_in_crash"], 2);
  EXPECT_EQ(ledger["forward"][0]["in_flight"], 2);
  EXPECT_EQ(ledger["forward"][1]["offered"], 20);
  EXPECT_EQ(ledger["forward"][2]["offered"], 20);
}

TEST(Settle, ACrashLosesTheOpenBucketAndTheRings) {
  std::vector<StatsBlockValues> last = healthy();
  counter(last, StatsBlock::kShard, "packets") = 6;
  Departed departed;
  const CrashLoss loss = settle(last, {2, 2, 3, 20, 0, 0}, departed);
  EXPECT_EQ(loss.packets, 2u);
  EXPECT_EQ(loss.samples, 4u);
  EXPECT_EQ(loss.points, 0u);
  LedgerInput in;
  in.departed = departed;
  in.exporters = {{"jsonl", 3, 0, 0}};
  const Json ledger = make_ledger(in);
  EXPECT_TRUE(ledger["balanced"].get<bool>()) << ledger.dump(2);
  EXPECT_EQ(ledger["samples"]["lost_in_crash"], 4);
  EXPECT_EQ(ledger["packets"]["lost_in_crash"], 2);
}

TEST(Settle, ASealedSegmentThatDidNotReachUsIsLostWithItsSamples) {
  Departed departed;
  const CrashLoss loss = settle(healthy(), {1, 1, 1, 5, 0, 0}, departed);
  EXPECT_EQ(loss.points, 2u);
  EXPECT_EQ(loss.samples, 19u);
  LedgerInput in;
  in.departed = departed;
  in.exporters = {{"jsonl", 1, 0, 0}};
  EXPECT_TRUE(make_ledger(in)["balanced"].get<bool>()) << make_ledger(in).dump(2);
}

TEST(Settle, CountersCutOffInMidBurstAreMadeToAgree) {
  std::vector<StatsBlockValues> last = healthy();
  counter(last, StatsBlock::kShard, "packets") = 9;  // the receive loop had not yet counted one
  counter(last, StatsBlock::kShard, "lines") = 25;
  counter(last, StatsBlock::kShard, "samples") = 31;
  counter(last, StatsBlock::kListener, "received") = 11;
  Departed departed;
  EXPECT_EQ(settle(last, {2, 2, 3, 20, 0, 0}, departed).packets, 0u);
  LedgerInput in;
  in.departed = departed;
  EXPECT_TRUE(make_ledger(in)["balanced"].get<bool>()) << make_ledger(in).dump(2);
}

TEST(Settle, TheNextDataPlaneContinuesTheLedger) {
  LedgerInput in = input();
  settle(healthy(), {2, 2, 3, 20, 0, 0}, in.departed);
  in.exporters = {{"jsonl", 6, 0, 0}};
  const Json ledger = make_ledger(in);
  EXPECT_TRUE(ledger["balanced"].get<bool>()) << ledger.dump(2);
  EXPECT_EQ(ledger["packets"]["offered"], 28);
  EXPECT_EQ(ledger["samples"]["open"], 4);
  EXPECT_EQ(ledger["samples"]["lost_in_crash"], 4);
}

TEST(Ledger, SaysWhichBoundsWereMet) {
  LedgerInput in = input();
  const Counters met = {{"contexts_full", 1},      {"context_bytes_full", 2},
                        {"memo_evicted", 3},       {"samples_unkept", 4},
                        {"bins_folded", 5},        {"carry_full_events", 6},
                        {"set_members_unkept", 7}, {"copies_unkept", 8}};
  in.live.push_back(block(StatsBlock::kShard, "shard1", met));
  in.live.push_back(block(StatsBlock::kKeeper, "", {{"bins_folded", 10}, {"copies_unkept", 20}}));
  in.live.push_back(
      block(StatsBlock::kOrigin, "udp", {{"origin_full", 30}, {"origin_evicted", 60}}));
  const Json ledger = make_ledger(in);
  EXPECT_EQ(ledger["sources"][0]["origin_full"], 30);
  EXPECT_EQ(ledger["bounds"].dump(),
            R"({"contexts":1,"context_bytes":2,"memo_bytes":3,"sample_bytes":4,"sketch_bins":15,)"
            R"("set_members":7,"carry_bytes":35,"fragments":0,"origins":90})");  // carry_full of
                                                                                 // shard0 is 1
  EXPECT_THAT(ledger_table(ledger), testing::HasSubstr("bounds\n  contexts "));
}

TEST(StateFile, ComesBackAsItWas) {
  State state;
  state.instance = 0xffffffffffffffff;
  state.reception = {7, 6, 5, 4, 3, 2};
  state.exporters["jsonl"] = {9, 8, 7, 6, 5, "12:34"};
  state.restarts = 3;
  settle(healthy(), {2, 2, 3, 20, 0, 0}, state.departed);
  state.facts.cpus = {0, 3};
  state.facts.cpu_nodes = {0, 1};
  state.facts.device_nodes = {{"0000:03:00.0", 1}};
  state.facts.hugepage_kb = 2048;
  state.facts.hugepages_free = 17;
  state.facts.root = true;
  state.facts.hostname = "box";
  const std::string text = encode_state(state);
  const absl::StatusOr<State> back = decode_state(text);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(encode_state(*back), text);
  EXPECT_EQ(back->instance, state.instance);
  EXPECT_EQ(back->exporters.at("jsonl").cursor, "12:34");
}

// As the first version wrote it; fields added since have their defaults, and the ledger goes on.
TEST(StateFile, OfAnEarlierVersionIsRead) {
  const absl::StatusOr<State> state = decode_state(
      R"({"departed":{"blocks":[{"counters":[["packets",20],["lines",21]],"kind":3,"label":"shard0"}],
          "crashes":1,"instances":2,"packets_lost":3,"points_lost":4,"points_missing":5,
          "points_received":6,"samples_lost":7},
          "exporters":{"jsonl":{"cursor":"12:34","delivered":6,"given_up":5,"instance":9,
          "instance_points":7,"sequence":8}},
          "facts":{"cpus":[0,1],"hostname":"box","hugepage_kb":2048,"hugepages_free":0,"root":true},
          "instance":9,"reception":{"last_sequence":8,"missing_points":0,"missing_samples":0,
          "points":7,"samples":7,"segments":8},"restarts":1,"version":1})");
  ASSERT_TRUE(state.ok()) << state.status();
  const ExporterProgress& exporter = state->exporters.at("jsonl");
  EXPECT_EQ(exporter.sequence, 8u);
  EXPECT_EQ(exporter.delivered, 6u);
  EXPECT_EQ(exporter.cursor, "12:34");
  EXPECT_EQ(exporter.filtered, 0u);
  EXPECT_EQ(state->departed.points_received, 6u);
  EXPECT_EQ(sum_of(state->departed.blocks, StatsBlock::kShard, "packets"), 20u);
}

TEST(StateFile, NonsenseIsRefused) {
  for (const char* text :
       {"", "{", "{}", "[]", "{\"version\":2}", "{\"version\":1,\"instance\":\"x\"}"}) {
    EXPECT_FALSE(decode_state(text).ok()) << text;
  }
}

TEST(StateFile, IsReplacedWhole) {
  const std::string path = testing::TempDir() + "/state.json";
  ASSERT_TRUE(write_file_atomically(path, "one").ok());
  ASSERT_TRUE(write_file_atomically(path, "two").ok());
  EXPECT_EQ(*read_file(path), "two");
  EXPECT_FALSE(std::filesystem::exists(path + ".next"));
  EXPECT_FALSE(write_file_atomically("/nonexistent/state", "x").ok());
}

}  // namespace
}  // namespace penstock

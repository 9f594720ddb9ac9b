#include "dataplane/api/stats.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

namespace penstock {
namespace {

class StatsTest : public testing::Test {
 protected:
  StatsTest() : fd_(*make_memfd("stats", kStatsBytes)), memory_(*Mapping::map(fd_.get(), true)) {}
  StatsView view() { return StatsView(*Mapping::map(fd_.get(), false)); }

  Fd fd_;
  Mapping memory_;
};

TEST_F(StatsTest, AReaderSeesNothingBeforeTheDirectoryIsPublished) {
  StatsBuilder builder(memory_.bytes());
  builder.add_keeper();
  EXPECT_TRUE(view().read()->empty());
  builder.publish();
  EXPECT_EQ(view().read()->size(), 1u);
}

TEST_F(StatsTest, CountersAreReadByLabelAndName) {
  StatsBuilder builder(memory_.bytes());
  SourceStats& udp = builder.add_source(StatsBlock::kListener, "udp");
  ShardStats& shard = builder.add_shard("shard0");
  SourceStats& wire = builder.add_source(StatsBlock::kRxQueue, "wire0/0");
  LossStats& loss = builder.add_loss("wire0/0");
  builder.publish();
  udp.received.add(3);
  udp.received.add(4);
  shard.flips.add(9);  // the last of its list
  wire.replies_limited.set(5);
  loss.missed.set(6);

  const std::vector<StatsBlockValues> blocks = *view().read();
  ASSERT_EQ(blocks.size(), 4u);
  EXPECT_EQ(blocks[0].label, "udp");
  EXPECT_EQ(blocks[0].kind, StatsBlock::kListener);
  EXPECT_EQ(blocks[0].get("received"), 7u);
  EXPECT_EQ(blocks[0].get("no such counter"), 0u);
  EXPECT_EQ(blocks[1].get("flips"), 9u);
  EXPECT_EQ(blocks[2].get("replies_limited"), 5u);
  EXPECT_EQ(blocks[3].get("missed"), 6u);
}

TEST_F(StatsTest, EveryNameFitsAndNoneRepeats) {
  StatsBuilder builder(memory_.bytes());
  builder.add_source(StatsBlock::kListener, "a");
  builder.add_loss("a");
  builder.add_shard("b");
  builder.add_keeper();
  builder.publish();
  const std::vector<StatsBlockValues> read = *view().read();
  for (const StatsBlockValues& b : read) {
    std::vector<std::string> names;
    for (const auto& [name, value] : b.counters) names.push_back(name);
    std::sort(names.begin(), names.end());
    EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end()) << b.label;
    EXPECT_EQ(std::count(names.begin(), names.end(), ""), 0) << b.label;
    for (const std::string& name : names) EXPECT_LT(name.size(), 31u) << name;
  }
}

TEST_F(StatsTest, AShardsTimesAreReadByName) {
  StatsBuilder builder(memory_.bytes());
  ShardStats& shard = builder.add_shard("shard0");
  builder.publish();
  shard.times.pause_ns_max.set(7);
  shard.times.latency_sum_ns.add(8);
  for (size_t i = 0; i < latency::kBuckets; ++i) shard.times.latency[i].add(i + 1);
  const StatsBlockValues block = view().read()->front();
  EXPECT_EQ(block.get("pause_ns_max"), 7u);
  EXPECT_EQ(block.get("latency_sum_ns"), 8u);
  EXPECT_EQ(block.get("latency_below_128"), 4u);
  EXPECT_EQ(block.get("latency_above"), latency::kBuckets);
  const latency::Counts counts = latency_of(block);
  for (size_t i = 0; i < counts.size(); ++i) EXPECT_EQ(counts[i], i + 1);
}

TEST_F(StatsTest, BlocksDoNotShareCacheLines) {
  StatsBuilder builder(memory_.bytes());
  const auto a = reinterpret_cast<uintptr_t>(&builder.add_shard("a"));
  const auto b = reinterpret_cast<uintptr_t>(&builder.add_shard("b"));
  EXPECT_EQ(a % 64, 0u);
  EXPECT_GE(b - a, sizeof(ShardStats));
}

TEST_F(StatsTest, TheLargestPlanFits) {
  StatsBuilder builder(memory_.bytes());
  builder.add_keeper();
  for (int i = 0; i < 64; ++i) builder.add_shard("shard");
  for (int i = 0; i < 64 + 16; ++i) {
    builder.add_source(StatsBlock::kRxQueue, "queue");
    builder.add_loss("queue");
  }
  builder.publish();
  EXPECT_EQ(view().read()->size(), 1u + 64 + 2 * 80);
}

TEST_F(StatsTest, GarbageIsRefused) {
  StatsBuilder builder(memory_.bytes());
  builder.add_keeper();
  builder.publish();
  std::memset(memory_.bytes().data(), 0x5a, 4096);
  EXPECT_FALSE(view().read().ok());
}

}  // namespace
}  // namespace penstock

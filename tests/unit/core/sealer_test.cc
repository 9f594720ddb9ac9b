#include "dataplane/core/sealer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <limits>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "dataplane/core/arrival.h"
#include "tests/support/segment_rows.h"
#include "tests/support/shard_harness.h"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

// Every row with all bits of its numbers, in any order.
std::multiset<std::string> exact_rows_of(std::span<const std::byte> bytes) {
  const auto reader = segment::Reader::open(bytes);
  EXPECT_TRUE(reader.ok());
  segment::Dump dump;
  reader->visit(dump);
  return absl::StrSplit(dump.out, '\n');
}

TEST(Sealer, MergesShardsByIdentityAndKind) {
  Bench bench(test_plan(), 3);
  bench.send("a:1|c|#x,y\ng:1|g\ns:a|s\ns:b|s\nh:3:1|h\nd:1|d\nonly0:1|c", 0);
  bench.now.unix_ms += 5;
  bench.send("a:2|c|#y,x\ng:3|g\ns:b|s\ns:c|s\nh:2|h|@0.5\nd:2:42|d", 2);
  bench.now.unix_ms -= 3;
  bench.send("a:4|c|#y,x\ng:2|g", 1);
  EXPECT_THAT(bench.seal(),
              UnorderedElementsAre(
                  "counter a[h]#x,y 7", "counter only0[h]# 1", "gauge g[h]# 3", "set s[h]# 3",
                  "histogram h[h]# cnt=4 sum=8 min=1 max=3 avg=2 values 1*1 2*2 3*1",
                  "distribution d[h]# cnt=3 sum=45 min=1 max=42 avg=15 bins 1338:1 1383:1 1579:1"));
  bench.check_ledger(true);
}

TEST(Sealer, TakesTheGaugeOfTheHigherShardAtEqualTimes) {
  Bench bench(test_plan(), 2);
  bench.send("g:1|g", 1);
  bench.send("g:2|g", 0);
  EXPECT_THAT(bench.seal(), ElementsAre("gauge g[h]# 1"));
}

TEST(Sealer, TakesTheGaugeThatArrivedLastWithinAMillisecond) {
  for (const size_t shard : {0, 1}) {
    Bench bench(test_plan(), 2);
    bench.send("g:1|g", shard, 7);
    bench.send("g:2|g", 1 - shard, 8);
    EXPECT_THAT(bench.seal(), ElementsAre("gauge g[h]# 2"));
  }
}

// A listener that is set to spread gives one client's packets to several shards, and one of them
// may be behind. The arrival wraps.
TEST(Sealer, TakesTheGaugeThatArrivedLastWheneverItWasHandled) {
  for (const uint32_t first : {7u, UINT32_MAX}) {
    Bench bench(test_plan(), 2);
    bench.send("g:2|g", 0, first + 1);
    bench.now.unix_ms += 100;
    bench.send("g:1|g", 1, first);
    EXPECT_THAT(bench.seal(), ElementsAre("gauge g[h]# 2"));
  }
}

TEST(ArrivalClock, GrowsWithinATickAndWhereItWraps) {
  ArrivalClock clock;
  uint32_t last = 0;
  for (const uint32_t ticks : {UINT32_MAX - 4, UINT32_MAX - 4, UINT32_MAX - 3, 7u, 100u}) {
    clock.set(ticks);
    for (int i = 0; i < 3; ++i) {
      const uint32_t next = clock.next();
      EXPECT_TRUE(last == 0 || came_after(next, last));
      last = next;
    }
  }
}

TEST(ArrivalClock, FollowsTheClockAfterASilence) {
  for (const uint64_t silence_s : {1, 60, 70, 100, 130, 140, 300}) {
    ArrivalClock clock;
    clock.set(12345);
    clock.next();
    const auto ticks = static_cast<uint32_t>(12345 + silence_s * 1'000'000'000 / 32);
    clock.set(ticks);
    EXPECT_EQ(clock.next(), ticks) << silence_s;
  }
}

TEST(ArrivalClock, OrdersThreadsByTheClock) {
  ArrivalClock busy;
  ArrivalClock quiet;
  busy.set(1'000'000);
  quiet.set(1'031'250);  // 1 ms later
  uint32_t of_busy = 0;
  for (int i = 0; i < 20'000; ++i) of_busy = busy.next();  // 20 M packets a second
  EXPECT_TRUE(came_after(quiet.next(), of_busy));
}

TEST(Sealer, ANanIsNoNewerGauge) {
  Bench bench(test_plan(), 2);
  bench.send("g:1|g", 1);
  bench.now.unix_ms += 1;
  bench.send("g:2|g", 0);
  bench.now.unix_ms += 1;
  bench.send("g:nan|g", 1);
  EXPECT_THAT(bench.seal(), ElementsAre("gauge g[h]# 2"));
}

TEST(Sealer, SpreadingALineOverShardsChangesNothing) {
  std::vector<std::string> lines;
  for (int i = 0; i < 6000; ++i) {
    absl::StrAppend(&lines.emplace_back(), "c:0.", i, "|c|@0.3\nh:", i * 0.7, "|h|@0.3\nd:-", i,
                    ".1|d|@0.7\ne:", i % 3 == 0 ? "-0" : "0", "|d\nk:", i % 4000, "|h");
  }
  std::vector<std::byte> expected;
  for (const uint16_t shards : {1, 2, 3, 8}) {
    Bench bench(test_plan(), shards);
    for (size_t i = 0; i < lines.size(); ++i) bench.send(lines[i], i % shards);
    const auto bytes = bench.seal_bytes();
    if (expected.empty()) expected = bytes;
    EXPECT_EQ(exact_rows_of(bytes), exact_rows_of(expected)) << shards;
  }
}

int64_t bucket_of(std::span<const std::byte> bytes) {
  const auto reader = segment::Reader::open(bytes);
  EXPECT_TRUE(reader.ok());
  return reader->meta().bucket_start;
}

constexpr int64_t kEver = std::numeric_limits<int64_t>::max();

// Rulings, 5.
TEST(Sealer, GivesCopiesWithATimestampToTheirBuckets) {
  auto plan = test_plan();
  plan->dogstatsd.copy_histograms = 1;
  plan->dogstatsd.copy_prefix = plan->add_text("p.");
  Bench bench(std::move(plan), 2);
  bench.send(absl::StrCat("h:1|h|T", kBucket - 25, "\nh:2|h|T", kBucket + 3), 0);
  bench.send(absl::StrCat("h:8|h\nh:4|ms|@0.5|T", kBucket + 9, "\nh:16|h|T", kBucket + 100), 1);
  EXPECT_THAT(bench.seal(kBucket),
              UnorderedElementsAre("histogram h[h]# cnt=1 sum=8 min=8 max=8 avg=8 values 8*1",
                                   "distribution p.h[h]# cnt=4 sum=18 min=2 max=8 avg=4.5 bins "
                                   "1383:1 1427:2 1472:1"));
  const auto late = bench.sealer->seal_late(kBucket);
  ASSERT_EQ(late.size(), 1u);
  EXPECT_EQ(bucket_of(late[0]), kBucket - 30);
  EXPECT_THAT(rows_of(late[0]),
              ElementsAre("distribution p.h[h]# cnt=1 sum=1 min=1 max=1 avg=1 bins 1338:1"));
  EXPECT_THAT(bench.sealer->seal_late(kBucket), IsEmpty());

  bench.send("g:1|g");
  EXPECT_EQ(bucket_of(bench.sealer->seal_rest(kBucket + 10, bench.now)), kBucket + 10);
  const auto rest = bench.sealer->seal_late(kEver);
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(bucket_of(rest[0]), kBucket + 100);
  EXPECT_EQ(bench.sealer->sequence(), 4u);
  EXPECT_EQ(bench.keeper.points_sealed.get(), 5u);
  bench.check_ledger(true);
}

// The nearest: one client with old times does not keep the others' waiting.
TEST(Sealer, GivesSomeLateBucketsAndTheOthersLater) {
  auto plan = test_plan();
  plan->dogstatsd.copy_histograms = 1;
  Bench bench(std::move(plan));
  bench.send(absl::StrCat("h:1|h|T10\nh:1:2|h|T20\nh:1:2|h|T30\nh:1|h|@0.1|T40\ni:1|h|T40\nh:1|h|T",
                          kBucket + 50));
  bench.seal();
  const auto first = bench.sealer->seal_late(kBucket, 2);
  ASSERT_EQ(first.size(), 2u);
  EXPECT_EQ(bucket_of(first[0]), 30);
  EXPECT_EQ(bucket_of(first[1]), 40);
  EXPECT_THAT(bench.sealer->seal_rest(kBucket + 10, bench.now), IsEmpty());
  const auto rest = bench.sealer->seal_late(kEver, 2);
  ASSERT_EQ(rest.size(), 2u);
  EXPECT_EQ(bucket_of(rest[0]), 20);
  EXPECT_EQ(bucket_of(rest[1]), kBucket + 50);
  bench.sealer->give_up_late();
  EXPECT_EQ(bench.keeper.copies_unkept.get(), 1u);
  EXPECT_EQ(bench.sealer->sequence(), 4u);
  EXPECT_EQ(bench.keeper.points_sealed.get(), 5u);
  bench.check_ledger(true);
}

// UBSan has an eye on it.
TEST(Sealer, TakesACopyOfTheLatestTimeThereIs) {
  auto plan = test_plan();
  plan->dogstatsd.copy_histograms = 1;
  Bench bench(std::move(plan));
  bench.send("h:1|h|T9223372036854775807");
  EXPECT_THAT(bench.seal(), IsEmpty());
  EXPECT_THAT(bench.sealer->seal_rest(kBucket + 10, bench.now), IsEmpty());
  const auto rest = bench.sealer->seal_late(kEver);
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(bucket_of(rest[0]), 9'223'372'036'854'775'800);
}

TEST(Sealer, FillsAZeroOnlyWhereNoShardHasSamples) {
  Bench bench(test_plan(), 2);
  bench.send("a:1|c", 0);
  bench.send("a:1|c", 1);
  bench.seal(kBucket);
  bench.send("a:5|c", 1);
  EXPECT_THAT(bench.seal(kBucket + 10), ElementsAre("counter a[h]# 5"));
  EXPECT_THAT(bench.seal(kBucket + 20), ElementsAre("counter a[h]# 0"));
}

TEST(Sealer, FoldsManyValuesIntoBins) {
  Bench bench;
  std::string text;
  for (int i = 1; i <= 10'000; ++i) {
    absl::StrAppend(&text, "h:", i, "|h\nd:", i, "|d\n");
    if (i % 500 == 0) bench.send(std::exchange(text, {}));
  }
  const auto rows = bench.seal();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_THAT(rows[0], testing::StartsWith(
                           "distribution d[h]# cnt=10000 sum=50005000 min=1 max=10000 avg=5000.5"));
  EXPECT_THAT(rows[1], testing::StartsWith(
                           "histogram h[h]# cnt=10000 sum=50005000 min=1 max=10000 avg=5000.5"));
  // The same bins, whenever they were made.
  EXPECT_EQ(rows[0].substr(rows[0].find("bins")), rows[1].substr(rows[1].find("bins")));
}

TEST(Sealer, NumbersSegmentsWithoutGapsAndSkipsEmptyOnes) {
  Bench bench;
  EXPECT_THAT(bench.seal_bytes(), IsEmpty());
  for (uint64_t sequence : {1u, 2u}) {
    bench.send("g:1:2|g");
    const auto bytes = bench.seal_bytes(kBucket + 10);
    const auto reader = segment::Reader::open(bytes);
    ASSERT_TRUE(reader.ok());
    EXPECT_EQ(reader->meta().sequence, sequence);
    EXPECT_EQ(reader->meta().instance, 42u);
    EXPECT_EQ(reader->meta().bucket_start, kBucket + 10);
    EXPECT_EQ(reader->meta().interval_s, 10u);
    EXPECT_EQ(reader->meta().samples, 2u);
    EXPECT_EQ(bench.sealer->sequence(), sequence);
    EXPECT_EQ(bench.sealer->rows(), 1u);
    EXPECT_EQ(bench.sealer->samples(), 2u);
    EXPECT_THAT(bench.seal_bytes(), IsEmpty());
  }
  EXPECT_EQ(bench.keeper.segments_sealed.get(), 2u);
  EXPECT_EQ(bench.keeper.points_sealed.get(), 2u);
}

TEST(Sealer, LetsALateShardJoinTheNextSegment) {
  Bench bench(test_plan(), 2);
  bench.send("a:1|c", 0);
  bench.send("a:10|c\nb:1|g", 1);
  bench.sealer->begin();
  bench.shards[0]->poll_epoch(bench.now);
  EXPECT_FALSE(bench.sealer->ready());
  EXPECT_THAT(rows_of(bench.sealer->seal(kBucket)), ElementsAre("counter a[h]# 1"));
  EXPECT_EQ(bench.keeper.late_shards.get(), 1u);

  bench.settle();  // the late one flips now
  bench.send("a:100|c", 1);
  bench.send("a:2|c", 0);
  EXPECT_THAT(bench.seal(kBucket + 10), ElementsAre("counter a[h]# 12", "gauge b[h]# 1"));
  EXPECT_THAT(bench.seal(kBucket + 20), ElementsAre("counter a[h]# 100"));
  EXPECT_EQ(bench.keeper.late_shards.get(), 1u);
  bench.check_ledger(true);
}

TEST(Sealer, SealsTheRestAtAStop) {
  Bench bench(test_plan(), 2);
  bench.send("a:1|c", 0);
  bench.send("a:10|c", 1);
  EXPECT_THAT(rows_of(bench.sealer->seal_rest(kBucket, bench.now)),
              ElementsAre("counter a[h]# 11"));
  bench.check_ledger(true);
}

// What it gave late and what it has open in one Segment: no second point, such as a zero, for a
// counter that has one.
TEST(Sealer, SealsTheRestOfALateShardToo) {
  auto plan = test_plan();
  plan->dogstatsd.copy_histograms = 1;
  plan->dogstatsd.copy_prefix = plan->add_text("p.");
  Bench bench(std::move(plan), 2);
  bench.send("c:5|c\nonce:1|c", 0);
  bench.send("a:10|c\nh:1|h\ns:x|s\ng:1|g\nt:1|g|T5", 1);
  bench.sealer->begin();
  bench.shards[0]->poll_epoch(bench.now);
  bench.sealer->seal(kBucket);
  bench.shards[1]->poll_epoch(bench.now);
  bench.send(
      absl::StrCat("a:100|c\nnew:1|c\nh:2|h\ns:x:y|s\ng:2|g\nt:2|g|T5\nh:2|h|T", kBucket + 10), 1,
      /*arrival=*/1);
  bench.send("b:1|g\nc:7|c", 0);
  const auto rest = bench.sealer->seal_rest(kBucket + 10, bench.now);
  EXPECT_EQ(bucket_of(rest), kBucket + 10);
  EXPECT_THAT(
      rows_of(rest),
      UnorderedElementsAre(
          "counter a[h]# 110", "counter c[h]# 7", "counter new[h]# 1", "counter once[h]# 0",
          "gauge b[h]# 1", "gauge g[h]# 2", "gauge t[h]# 1 at 5", "gauge t[h]# 2 at 5",
          "set s[h]# 2", "histogram h[h]# cnt=2 sum=3 min=1 max=2 avg=1.5 values 1*1 2*1",
          "distribution p.h[h]# cnt=3 sum=5 min=1 max=2 avg=1.66666667 bins 1338:1 1383:2"));
  EXPECT_EQ(bench.sealer->sequence(), 2u);
  EXPECT_EQ(bench.keeper.points_sealed.get(), 13u);
  bench.check_ledger(true);
}

TEST(Sealer, LeavesNothingToSealAfterTheRest) {
  Bench bench;
  EXPECT_THAT(bench.sealer->seal_rest(kBucket, bench.now), IsEmpty());
}

// Adds up one counter and looks at nothing else.
struct CounterSum : segment::Reader::Visitor {
  double sum = 0;
  void add(std::span<const std::byte> bytes) {
    if (bytes.empty()) return;
    const auto reader = segment::Reader::open(bytes);
    ASSERT_TRUE(reader.ok());
    reader->visit(*this);
  }
  void counter(const segment::Context& c, ExactSum value) override {
    if (c.name == "a") sum += value.value();
  }
  void gauge(const segment::Context&, double, int64_t, uint32_t) override {}
  void set(const segment::Context&, std::span<const uint64_t>) override {}
  void histogram(const segment::Context&, const segment::Summary&,
                 std::span<const segment::WeightedValue>, std::span<const segment::Bin>) override {}
  void distribution(const segment::Context&, const segment::Summary&,
                    std::span<const segment::Bin>) override {}
  void timestamped(segment::Kind, const segment::Context&, int64_t, double) override {}
  void event(const segment::Event&) override {}
  void service_check(const segment::ServiceCheck&) override {}
};

// Keeper and shards on threads of their own: every sample arrives, in some Segment, once. Under
// ThreadSanitizer this is the test of the epochs.
TEST(Sealer, LosesNothingBetweenThreads) {
  auto plan = test_plan();
  plan->dogstatsd.context_expiry_s = 0;  // contexts come and go
  plan->dogstatsd.counter_expiry_s = 0;
  plan->limits.carry_bytes = 1 << 14;
  constexpr uint64_t kSegments = 30;
  Bench bench(std::move(plan), 2);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (size_t i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] {
      Now now = bench.now;
      for (int n = 0; !stop; ++n) {
        now.unix_ms += 1;
        const TestPacket packet(absl::StrCat("a:1|c\nb", n % 300, ":1|c\ns:", n,
                                             "|s\nh:1:2|h\nd:3|d\nt:1|c|T5\ng", n / 100, ":1|g"));
        bench.shards[i]->process({&packet.packet(), 1}, now);
        bench.shards[i]->poll_epoch(now);
      }
    });
  }
  CounterSum counted;
  int64_t start = kBucket;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (bench.keeper.segments_sealed.get() < kSegments &&
         std::chrono::steady_clock::now() < deadline) {
    bench.sealer->begin();
    for (int i = 0; i < 1000 && !bench.sealer->ready(); ++i) std::this_thread::yield();
    counted.add(bench.sealer->seal(start += 10));
  }
  stop = true;
  for (std::thread& t : threads) t.join();
  counted.add(bench.sealer->seal_rest(start + 10, bench.now));
  EXPECT_GE(bench.keeper.segments_sealed.get(), kSegments);
  EXPECT_EQ(counted.sum, static_cast<double>(bench.sum(&ShardStats::packets)));
  bench.check_ledger(true);
}

}  // namespace
}  // namespace penstock

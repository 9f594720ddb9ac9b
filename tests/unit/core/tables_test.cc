// The shard's tables, each alone: line memo, contexts, set members, samples, sketch.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "dataplane/core/context_key.h"
#include "dataplane/core/context_table.h"
#include "dataplane/core/late_sketches.h"
#include "dataplane/core/line_memo.h"
#include "dataplane/core/sample_store.h"
#include "dataplane/core/set_members.h"

namespace penstock {
namespace {

using segment::Kind;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;

constexpr int64_t kEver = std::numeric_limits<int64_t>::max();

TEST(LineMemo, FindsExactlyWhatWasPutIn) {
  LineMemo memo(1 << 20, 7);
  const auto put = [&](uint32_t origin, std::string_view name, std::string_view suffix,
                       uint32_t id) {
    LineTarget target{};
    target.id = id;
    memo.insert(memo.hash(origin, name, suffix), origin, name, suffix, target);
  };
  const auto get = [&](uint32_t origin, std::string_view name, std::string_view suffix) {
    const auto* e = memo.find(memo.hash(origin, name, suffix), origin, name, suffix);
    return e == nullptr ? -1 : static_cast<int>(e->target.id);
  };
  put(0, "a", "|c", 1);
  put(1, "a", "|c", 2);
  put(0, "a|", "c", 3);
  put(0, "b", "|c|#x", 4);
  EXPECT_EQ(get(0, "a", "|c"), 1);
  EXPECT_EQ(get(1, "a", "|c"), 2);
  EXPECT_EQ(get(0, "a|", "c"), 3);
  EXPECT_EQ(get(0, "b", "|c|#x"), 4);
  EXPECT_EQ(get(0, "b", "|c|#y"), -1);
  EXPECT_EQ(get(2, "a", "|c"), -1);
}

// Many times its size goes through it; what is left is right, and nearly the newest.
TEST(LineMemo, EvictsTheOldestAndCountsThem) {
  LineMemo memo(1 << 16, 7);
  std::mt19937 random(1);
  std::map<std::string, uint32_t> all;
  std::vector<std::string> order;
  uint64_t evicted = 0;
  for (uint32_t i = 0; i < 20'000; ++i) {
    const std::string name = std::to_string(i) + std::string(random() % 200, 'x');
    LineTarget target{};
    target.id = i;
    evicted += memo.insert(memo.hash(0, name, "|c"), 0, name, "|c", target);
    all[name] = i;
    order.push_back(name);
  }
  uint64_t kept = 0;
  size_t newest_run = 0;
  bool run = true;
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    const auto* e = memo.find(memo.hash(0, *it, "|c"), 0, *it, "|c");
    run = run && e != nullptr;
    newest_run += run ? 1 : 0;
    if (e == nullptr) continue;
    ++kept;
    EXPECT_EQ(e->target.id, all[*it]);
  }
  EXPECT_EQ(evicted + kept, 20'000u);
  EXPECT_GT(newest_run, 100u);
}

TEST(LineMemo, LeavesHugeLinesOut) {
  LineMemo memo(1 << 16, 7);
  const std::string name(20'000, 'x');
  EXPECT_EQ(memo.insert(memo.hash(0, name, "|c"), 0, name, "|c", {}), 0u);
  EXPECT_EQ(memo.find(memo.hash(0, name, "|c"), 0, name, "|c"), nullptr);
}

TEST(ContextKey, ReadsBackWhatItWrote) {
  const std::string big(70'000, 'b');
  const std::vector<std::string_view> tags = {"", "a:b", big};
  std::string key(200'000, '\0');
  key.resize(encode_key("name", "host", tags, key.data()));
  KeyReader reader;
  const segment::Context c = reader.read(key);
  EXPECT_EQ(c.name, "name");
  EXPECT_EQ(c.host, "host");
  EXPECT_TRUE(std::ranges::equal(c.tags, tags));
}

// Against a std::map, with contexts coming and going.
TEST(ContextTable, BehavesLikeAMap) {
  ContextTable table(500, 1 << 20, 3, "h");
  std::mt19937 random(5);
  std::map<std::pair<std::string, Kind>, uint32_t> model;
  for (int i = 0; i < 100'000; ++i) {
    const std::pair key(std::to_string(random() % 400) + std::string(random() % 40, 'k'),
                        static_cast<Kind>(random() % segment::kKinds));
    const auto it = model.find(key);
    if (it != model.end() && random() % 2 == 0) {
      table.remove(it->second);
      model.erase(it);
      continue;
    }
    bool clash = false;
    for (size_t k = 0; k < segment::kKinds; ++k)
      clash |= model.contains({key.first, static_cast<Kind>(k)});
    const auto found = table.find_or_create(key.first, key.second, 1);
    if (it != model.end()) {
      ASSERT_EQ(found.id, it->second);
      ASSERT_FALSE(found.created);
    } else if (model.size() == 500) {
      ASSERT_TRUE(ContextTable::is_overflow(found.id));
      ASSERT_EQ(table.at(found.id).kind, key.second);
    } else {
      ASSERT_TRUE(found.created);
      ASSERT_EQ(found.clash, clash);
      ASSERT_EQ(table.key(found.id), key.first);
      model[key] = found.id;
    }
    ASSERT_EQ(table.live(), model.size());
  }
}

TEST(ContextTable, GivesAnIdThatWasFreedToTheNext) {
  ContextTable table(1, 4096, 3, "h");
  const auto first = table.find_or_create("a", Kind::kGauge, 1);
  const uint32_t stamp = table.room_stamp();
  table.remove(first.id);
  EXPECT_EQ(table.born(first.id), ContextTable::kFree);
  EXPECT_NE(table.room_stamp(), stamp);
  const auto second = table.find_or_create("b", Kind::kGauge, 9);
  EXPECT_EQ(second.id, first.id);
  EXPECT_EQ(table.born(second.id), 9u);
}

TEST(SetMembers, IsASetForEachContext) {
  SetMembers sets(1000);
  std::mt19937 random(2);
  for (int round = 0; round < 3; ++round) {
    std::set<std::pair<uint32_t, uint64_t>> model;
    for (int i = 0; i < 5000; ++i) {
      const std::pair<uint32_t, uint64_t> m(random() % 20, random() % 100);
      const bool known = model.contains(m) || model.size() < 1000;
      ASSERT_EQ(sets.add(m.first, m.second), known);
      if (known) model.insert(m);
    }
    ASSERT_EQ(sets.members().size(), model.size());
    for (const auto& m : sets.members()) ASSERT_TRUE(model.contains({m.context, m.hash}));
    while (!sets.clear(7)) {
    }
    ASSERT_TRUE(sets.members().empty());
  }
}

// Whoever sends members knows their hashes, and can choose them.
TEST(SetMembers, NobodyCanAimAtAPlace) {
  using Clock = std::chrono::steady_clock;
  std::mt19937_64 random(3);
  const auto time_of = [&](bool aimed) {
    SetMembers sets(1 << 14);
    const auto begun = Clock::now();
    for (uint64_t i = 0; i < 1 << 14; ++i) sets.add(1, aimed ? i << 50 : random());
    return Clock::now() - begun;
  };
  // In one place, each would look at all before it: some hundred times as long.
  EXPECT_LT(time_of(true), time_of(false) * 10 + std::chrono::milliseconds(20));
}

TEST(SetMembers, HashesTheSameInEveryProcess) {
  EXPECT_EQ(SetMembers::hash_of("u-9912"), SetMembers::hash_of("u-9912"));
  EXPECT_EQ(SetMembers::hash_of(""), 0x2d06800538d394c2u);  // XXH3 of nothing, seed 0
}

TEST(SampleStore, KeepsValuesThenBins) {
  SampleStore store(1 << 20);
  Samples s{};
  std::map<int16_t, uint64_t> model;
  for (int i = 0; i < 20'000; ++i) {
    const double value = i % 700 * 1.5;
    EXPECT_TRUE(store.add(s, value, 2, 2.5));
    model[sketch::key_of(value)] += 2;
    if (i == 4095) {
      std::vector<segment::WeightedValue> values;
      store.read_values(s, values);
      ASSERT_EQ(values.size(), 4096u);
      EXPECT_EQ(values[1].value, 1.5);
      EXPECT_EQ(values[1].weight, 2u);
    }
  }
  EXPECT_EQ(s.totals.count, 40'000u);
  std::vector<segment::WeightedValue> values;
  std::vector<segment::Bin> bins;
  store.read_values(s, values);
  store.read_bins(s, bins);
  EXPECT_LE(values.size(), SampleStore::kFoldMax);
  for (const auto& v : values) bins.push_back({sketch::key_of(v.value), v.weight});
  bins.resize(sketch::normalize(bins));
  ASSERT_EQ(bins.size(), model.size());
  for (const auto& b : bins) EXPECT_EQ(b.count, model[b.key]);
  store.release(s);
  EXPECT_EQ(store.blocks_in_use(), 0u);
}

TEST(SampleStore, FoldsEarlyWhereThePoolIsUsedUp) {
  SampleStore store(64 * 20);
  Samples s{};
  for (int i = 0; i < 5000; ++i) EXPECT_TRUE(store.add(s, i % 10, 1, 1));
  std::vector<segment::Bin> bins;
  store.read_bins(s, bins);
  EXPECT_EQ(bins.size(), 10u);
  store.release(s);
  EXPECT_EQ(store.blocks_in_use(), 0u);
}

TEST(SampleTotals, TheAverageOfASketchIsRoundedOnce) {
  struct {
    std::vector<double> values;
    double rate;
    double avg;
  } const cases[] = {
      {{0.1}, 1 / 0.3, 0.1},  // 0.1 * 3 / 3 is not 0.1
      {{0.7}, 1 / 0.01, 0.7},
      {{-3.3}, 1 / 0.1, -3.3},
      {{1e300}, 7, 1e300},
      {{36, 458.85, 75.151}, 1, 190.00033333333334},  // 570.001 / 3 is one less in the last place
      {{1, 2, 2, 42}, 1, 11.75},
  };
  for (const auto& c : cases) {
    SampleTotals totals{};
    for (const double v : c.values) totals.add(v, static_cast<uint32_t>(c.rate), c.rate);
    EXPECT_EQ(totals.of_distribution().avg, c.avg);
  }
}

TEST(LateSketches, TakesBucketsInOrderOfTime) {
  LateSketches late(1 << 20);
  const auto nearest = [&](int64_t sealing, int64_t before, size_t at_most) {
    late.sealing(sealing);
    return late.nearest(before, at_most);
  };
  EXPECT_THAT(nearest(0, kEver, SIZE_MAX), IsEmpty());
  EXPECT_TRUE(late.add(20, "a", 2, 1, 1));
  EXPECT_TRUE(late.add(10, "a", 1, 2, 2.5));
  EXPECT_TRUE(late.add(20, "a", 1, 1, 1));
  EXPECT_THAT(nearest(30, kEver, SIZE_MAX), ElementsAre(10, 20));
  EXPECT_TRUE(late.take(0).empty());
  const auto first = late.take(10);
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first.at("a").totals.of_distribution().sum, 2.5);
  EXPECT_THAT(nearest(30, kEver, SIZE_MAX), ElementsAre(20));
  const auto second = late.take(20);
  ASSERT_EQ(second.at("a").bins.size(), 2u);
  EXPECT_EQ(second.at("a").bins[0].key, 1338);
  EXPECT_THAT(nearest(30, kEver, SIZE_MAX), IsEmpty());
}

TEST(LateSketches, GivesTheNearestBuckets) {
  LateSketches late(1 << 20);
  for (const int64_t start : {10, 40, 60, 80, 200}) late.add(start, "a", 1, 1, 1);
  const struct {
    int64_t sealing, before;
    size_t at_most;
    std::vector<int64_t> starts;
  } kCases[] = {
      {70, kEver, 3, {40, 60, 80}}, {70, 70, 2, {40, 60}}, {70, 70, 9, {10, 40, 60}},
      {60, kEver, 1, {60}},         {60, 60, 1, {40}},     {500, 500, 2, {80, 200}},
      {0, kEver, 2, {10, 40}},      {0, 0, 2, {}},         {70, kEver, 0, {}},
      {150, kEver, 2, {80, 200}},
  };
  for (const auto& c : kCases) {
    late.sealing(c.sealing);
    EXPECT_THAT(late.nearest(c.before, c.at_most), ElementsAreArray(c.starts)) << c.sealing;
  }
}

// Far ones, of a client whose times are milliseconds or nothing, on both sides.
TEST(LateSketches, NearBucketsTakeTheRoomOfFarOnes) {
  LateSketches late(100'000);
  late.sealing(1'700'000'000);
  int64_t future = 0;
  while (late.add(1'700'000'000'000 + future, "f", 1, 1, 1)) ++future;
  EXPECT_GT(future, 200);
  EXPECT_EQ(late.take_given_up(), 0u);
  int64_t past = 0;
  while (late.add(10'000 - past, "p", 1, 1, 1)) ++past;
  EXPECT_EQ(past, future);
  EXPECT_EQ(late.take_given_up(), static_cast<uint64_t>(future));
  uint64_t near = 0;
  while (late.add(1'700'000'000, std::to_string(near), 1, 1, 1)) ++near;
  EXPECT_GT(near, 300u);
  EXPECT_EQ(late.take_given_up(), static_cast<uint64_t>(past));
  EXPECT_THAT(late.nearest(kEver, SIZE_MAX), ElementsAre(1'700'000'000));
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(late.add(1'700'000'010, std::to_string(i), 1, 1, 1));
  EXPECT_EQ(late.take(1'700'000'000).size(), near);
  EXPECT_EQ(late.take_given_up(), 0u);
}

TEST(LateSketches, IsBoundedAndGivesItsRoomBack) {
  constexpr int kRounds = 3;
  LateSketches late(100'000);
  for (int round = 0; round < kRounds; ++round) {
    int kept = 0;
    late.sealing(0);
    while (late.add(kept, "key" + std::to_string(kept), 1, 1, 1)) ++kept;
    EXPECT_GT(kept, 200);
    EXPECT_LT(kept, 400);
    for (const int64_t start : late.nearest(kEver, SIZE_MAX)) late.take(start);
    // Few contexts take any number of values.
    for (int i = 0; i < 100'000; ++i) ASSERT_TRUE(late.add(10, "a", i % 1000, 1, 1));
    EXPECT_EQ(late.take(10).at("a").totals.count, 100'000u);
  }
}

// A bucket each, a context each, a bin each.
TEST(LateSketches, TakesNoMoreOfTheHeapThanItsBound) {
  constexpr size_t kBound = 8 << 20;
  const auto value = [](int i) { return std::pow(1.015625, i % 4000 - 1300); };
  const std::function<bool(LateSketches&, int)> fills[] = {
      [](auto& late, int i) { return late.add(i * 10, "\1hab", 1, 1, 1); },
      [](auto& late, int i) { return late.add(10, std::to_string(i), 1, 1, 1); },
      [](auto& late, int i) { return late.add(10, std::string(i % 2000, 'k'), 1, 1, 1); },
      [&](auto& late, int i) { return late.add(10, std::to_string(i / 4000), value(i), 1, 1); },
      [&](auto& late, int i) {
        return late.add(10, std::to_string(i % 150), value(i / 150), 1, 1);
      },
  };
  for (const auto& fill : fills) {
    const size_t before = ::mallinfo2().uordblks;
    LateSketches late(kBound);
    int n = 0;
    while (n < 1'000'000 && fill(late, n)) ++n;
    const size_t used = ::mallinfo2().uordblks - before;
    EXPECT_LE(used, kBound) << n;
  }
}

TEST(ContextKey, ANameWithAPrefixIsAnotherKey) {
  const std::string_view tags[] = {"a:b", ""};
  for (const size_t size : {1, 126, 127, 128, 16'383, 16'384}) {
    const std::string name(size, 'n');
    for (const std::string prefix : {"", "p", "prefix."}) {
      std::string key(size + 200, '\0');
      key.resize(encode_key(name, "host", tags, key.data()));
      std::string prefixed(key.size() + prefix.size() + kVarintMax, '\0');
      prefixed.resize(prefixed_key(key, prefix, prefixed.data()));
      std::string expected(size + 200, '\0');
      expected.resize(encode_key(prefix + name, "host", tags, expected.data()));
      EXPECT_EQ(prefixed, expected);
    }
  }
}

}  // namespace
}  // namespace penstock

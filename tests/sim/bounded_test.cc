// Random lines into one to four shards with small tables, with flips at random points, late shards,
// a clock that moves both ways, and shards that clean up in the middle of traffic; every Segment
// must be what the bounded model says.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bounded_model.h"
#include "seeds.h"
#include "tests/support/shard_harness.h"

namespace penstock {
namespace {

class Simulation {
 public:
  explicit Simulation(uint64_t seed);
  void run();

 private:
  uint64_t below(uint64_t n) { return random_() % n; }
  bool chance(uint64_t percent) { return below(100) < percent; }
  std::unique_ptr<Plan> make_plan();
  Message make_message();
  void send();
  void poll(size_t shard);
  void begin();
  void seal();
  void move_clock();

  std::mt19937_64 random_;
  const uint64_t vocabulary_;
  Bench bench_;
  std::vector<std::unique_ptr<BoundedShard>> reference_;
  std::vector<BoundedShard*> pointers_;
  int64_t bucket_ = kBucket;
};

Simulation::Simulation(uint64_t seed)
    : random_(seed),
      vocabulary_(1 + below(30)),
      bench_(make_plan(), static_cast<uint16_t>(1 + below(4))) {
  const BoundedShard::Limits limits{bench_.plan->limits.contexts, bench_.plan->limits.set_members,
                                    int64_t{bench_.plan->dogstatsd.context_expiry_s} * 1000,
                                    int64_t{bench_.plan->dogstatsd.counter_expiry_s} * 1000};
  for (uint32_t i = 0; i < bench_.shards.size(); ++i) {
    reference_.push_back(std::make_unique<BoundedShard>(i, limits));
    pointers_.push_back(reference_.back().get());
  }
}

std::unique_ptr<Plan> Simulation::make_plan() {
  auto plan = test_plan();
  plan->limits.contexts = static_cast<uint32_t>(chance(50) ? 100 : 1 + below(40));
  plan->limits.set_members = static_cast<uint32_t>(chance(70) ? 400 : below(20));
  plan->limits.memo_bytes = chance(50) ? 1 << 20 : 1 << 13;
  plan->dogstatsd.context_expiry_s = static_cast<uint32_t>(below(40));
  plan->dogstatsd.counter_expiry_s = static_cast<uint32_t>(below(60));
  return plan;
}

Message Simulation::make_message() {
  static constexpr double kRates[] = {1, 1, 1, 0.5, 0.25, 0.125};
  Message m;
  m.kind = static_cast<segment::Kind>(below(segment::kKinds));
  m.name = absl::StrCat("m", below(vocabulary_));
  if (chance(20)) m.host = absl::StrCat("web", below(2));
  for (uint64_t n = below(4); n != 0; --n)
    m.tags.push_back(chance(10) ? "" : absl::StrCat("t", below(3)));
  // A tag field that holds nothing but one empty tag is no tag at all.
  if (m.tags.size() == 1 && m.tags[0].empty() && m.host.empty()) m.tags.clear();
  if (m.kind == segment::Kind::kSet) {
    m.member = absl::StrCat("u", below(30));
    m.values = {0};
  } else {
    for (uint64_t n = 1 + below(3); n != 0; --n) {
      m.values.push_back(chance(4) ? std::numeric_limits<double>::quiet_NaN()
                                   : static_cast<double>(below(1000)) / 4 - 30);
    }
  }
  m.rate = kRates[below(std::size(kRates))];
  if (chance(5)) m.timestamp = static_cast<int64_t>(1 + below(100));
  return m;
}

void Simulation::send() {
  const size_t shard = below(reference_.size());
  std::string text;
  for (uint64_t n = 1 + below(100); n != 0; --n) {
    const Message m = make_message();
    text += m.text() + "\n";
    reference_[shard]->add(m, bench_.now.unix_ms);
  }
  bench_.send(text, shard);
}

void Simulation::poll(size_t shard) {
  bench_.shards[shard]->poll_epoch(bench_.now);
  reference_[shard]->poll(bench_.now.unix_ms);
}

void Simulation::begin() {
  bench_.sealer->begin();
  for (auto& shard : reference_) shard->ask();
}

void Simulation::seal() {
  const auto expected = bounded_rows(pointers_, bucket_);
  uint64_t samples = 0;
  for (auto& shard : reference_) {
    if (shard->holds()) samples += shard->held().samples;
    shard->drain((bucket_ + 10) * 1000);
  }
  ASSERT_EQ(absl::StrJoin(rows_of(bench_.sealer->seal(bucket_)), "\n"),
            absl::StrJoin(expected, "\n"));
  ASSERT_EQ(bench_.sealer->samples(), samples);
  bucket_ += 10;
}

void Simulation::move_clock() {
  if (chance(2)) {
    bench_.now.unix_ms -= static_cast<int64_t>(below(20'000));
  } else {
    bench_.now.unix_ms += static_cast<int64_t>(below(3000));
  }
}

void Simulation::run() {
  for (int step = 0; step < 400 && !testing::Test::HasFatalFailure(); ++step) {
    move_clock();
    const uint64_t what = below(10);
    if (what < 5) {
      send();
    } else if (what < 8) {
      for (uint64_t n = below(6); n != 0; --n) poll(below(reference_.size()));
    } else if (what < 9) {
      begin();
    } else {
      seal();
    }
    bench_.check_ledger(false);
  }
  for (int round = 0; round < 2 && !testing::Test::HasFatalFailure(); ++round) {
    for (int polls = 0; polls < 8; ++polls) {
      if (polls == 4) begin();
      for (size_t i = 0; i < reference_.size(); ++i) poll(i);
    }
    seal();
  }
  bench_.check_ledger(true);
}

TEST(Simulation, BoundedTables) {
  for_each_seed(200, [](uint64_t seed) { Simulation(seed).run(); });
}

}  // namespace
}  // namespace penstock

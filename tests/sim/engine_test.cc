// Random traffic through rings, shards, epochs, sealer and encoder against the reference
// aggregator: one to four shards, inline or behind rings, bursts of 1 to 64, receiver, shards and
// keeper taking steps in any order. In each run one more thing goes wrong, or none:
//   nothing    the JSON lines of every Segment are the reference's, byte for byte;
//   late       the keeper does not wait for shards that do not poll. Which zeros a counter then
//   gets
//              depends on who knew it (the bounded model shows that); everything else is the same;
//   backwards  the wall clock steps back. Zeros depend on readings that nobody else has; so would
//   the
//              newest gauge of several shards, hence each shard has its own;
//   full       tables, memo, samples, members, carry and rings are too small. The contexts that
//   were
//              there first keep exact values, and the ledger balances.
#include "engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <limits>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "dataplane/base/strings.h"
#include "dataplane/core/bucket_clock.h"
#include "random_config.h"
#include "seeds.h"
#include "setup.h"
#include "tests/reference/aggregator.h"
#include "traffic.h"

namespace penstock {
namespace {

using Lines = std::vector<std::string>;

enum class Trouble : uint8_t { kNone, kLate, kBackwards, kFull };

// A packet that a shard has handled.
struct Handled {
  reference::Input input;
  int64_t now_ms;
  uint64_t order;  // Packet::arrival; for a clock that steps back: when it was handled
};

class Simulation {
 public:
  explicit Simulation(uint64_t seed);
  void run();

 private:
  struct Sent {
    reference::Input input;
    uint64_t arrival;
  };
  // What the shard did not seal yet, and what it sealed and nobody has taken.
  struct ShardLog {
    std::deque<Sent> in_ring;
    std::vector<Handled> open, held;
    bool holds = false;
  };

  reference::Config make_config();
  std::unique_ptr<Plan> make_plan();
  static Trouble pick_trouble(Random& random);

  void move_clock();
  void receive();
  void send(size_t shard, std::vector<std::string> packets);
  void poll(size_t shard);
  void keeper();
  void seal(int64_t bucket);
  void finish();
  void handled(size_t shard, const Sent& sent);
  std::vector<Handled> take(bool all);
  void expect(int64_t bucket, const std::vector<Handled>& packets);
  Lines expected_lines();
  void compare(int64_t bucket, Lines actual, Lines wanted) const;
  [[nodiscard]] bool comparable(const std::string& line) const;
  [[nodiscard]] Now now() const { return Now{now_ms_}; }

  Random random_;
  const Trouble trouble_;
  const reference::Config config_;
  const uint16_t shards_;
  Engine engine_;
  Traffic traffic_;
  reference::Aggregator reference_;
  KeeperStats clock_stats_;
  int64_t now_ms_;
  BucketClock clock_;
  std::vector<ShardLog> logs_;
  std::vector<int> asleep_;  // steps a shard does not poll for
  std::optional<int64_t> closing_;
  int patience_ = 0;
  uint64_t arrivals_ = 0;
  uint64_t order_ = 0;
};

Simulation::Simulation(uint64_t seed)
    : random_(seed),
      trouble_(pick_trouble(random_)),
      config_(make_config()),
      shards_(static_cast<uint16_t>(1 + random_.below(4))),
      engine_(make_plan(), shards_, random_.chance(30) ? 0 : 8U << random_.below(4),
              histograms_of(config_)),
      traffic_(random_, {.names = 1 + random_.below(12),
                         .gauge_of_each_shard = trouble_ == Trouble::kBackwards,
                         .flood = trouble_ == Trouble::kFull}),
      reference_(config_),
      now_ms_(kBucket * 1000 + static_cast<int64_t>(random_.below(10'000))),
      clock_(10, now_ms_, clock_stats_),
      logs_(shards_),
      asleep_(shards_) {}

Trouble Simulation::pick_trouble(Random& random) {
  constexpr Trouble kTroubles[] = {Trouble::kNone, Trouble::kNone,      Trouble::kNone,
                                   Trouble::kLate, Trouble::kBackwards, Trouble::kFull};
  return random.pick(kTroubles);
}

reference::Config Simulation::make_config() {
  if (trouble_ != Trouble::kFull) return random_config(random_);
  reference::Config config;
  config.expiry_seconds = 10'000;
  config.histogram_aggregates = {"count", "sum", "max", "min", "avg"};
  config.histogram_percentiles.clear();
  return config;
}

std::unique_ptr<Plan> Simulation::make_plan() {
  auto plan = plan_of(config_);
  plan->dogstatsd.context_expiry_s = static_cast<uint32_t>(random_.below(40));
  if (random_.chance(50)) plan->limits.memo_bytes = 1 << 13;
  if (trouble_ == Trouble::kFull) {
    plan->dogstatsd.context_expiry_s = 10'000;
    plan->limits.contexts = static_cast<uint32_t>(16 + random_.below(40));
    plan->limits.sample_bytes = 64 * (8 + random_.below(60));
    plan->limits.set_members = static_cast<uint32_t>(random_.below(20));
    plan->limits.carry_bytes = random_.below(400);
    plan->limits.memo_bytes = 1 << 13;
  }
  return plan;
}

void Simulation::move_clock() {
  const uint64_t what = random_.below(100);
  if (what < 90) {
    now_ms_ += static_cast<int64_t>(random_.below(400));
  } else if (what < 98) {
    now_ms_ += static_cast<int64_t>(random_.below(8'000));
  } else if (trouble_ == Trouble::kBackwards) {
    now_ms_ -=
        static_cast<int64_t>(random_.chance(10) ? random_.below(5'000'000) : random_.below(30'000));
  } else {
    now_ms_ += static_cast<int64_t>(random_.chance(10) ? random_.below(1'000'000)
                                                       : random_.below(100'000));
  }
}

void Simulation::receive() {
  const size_t shard = random_.below(shards_);
  std::vector<std::string> packets(1 + random_.below(random_.chance(5) ? 64 : 6));
  for (std::string& packet : packets) packet = traffic_.packet(shard, now_ms_ / 1000);
  send(shard, std::move(packets));
}

void Simulation::send(size_t shard, std::vector<std::string> packets) {
  std::vector<Packet> headers(packets.size());
  for (size_t i = 0; i < packets.size(); ++i) {
    headers[i].arrival = static_cast<uint32_t>(++arrivals_);
    headers[i].flags = config_.eol_udp ? kPacketEolRequired : 0;
    const Sent sent{{.time = 0, .bytes = packets[i], .container = {}}, arrivals_};
    if (engine_.inline_wiring()) {
      handled(shard, sent);
    } else if (engine_.push(shard, packets[i], headers[i])) {
      logs_[shard].in_ring.push_back(sent);
    }
  }
  if (engine_.inline_wiring()) engine_.process(shard, packets, headers, now());
}

void Simulation::handled(size_t shard, const Sent& sent) {
  ++order_;
  Handled packet{sent.input, now_ms_, trouble_ == Trouble::kBackwards ? order_ : sent.arrival};
  packet.input.time = static_cast<double>(now_ms_) / 1000;
  logs_[shard].open.push_back(std::move(packet));
}

void Simulation::poll(size_t shard) {
  ShardLog& log = logs_[shard];
  const uint64_t flips = engine_.flips(shard);
  const size_t n = engine_.poll(shard, 1 + random_.below(64), now());
  for (size_t i = 0; i < n; ++i) {
    handled(shard, log.in_ring.front());
    log.in_ring.pop_front();
  }
  if (engine_.flips(shard) == flips) return;
  ASSERT_FALSE(log.holds);
  log.holds = true;
  log.held = std::exchange(log.open, {});
}

// One look of the keeper at the clock, or at the shards it waits for.
void Simulation::keeper() {
  if (!closing_) {
    closing_ = clock_.poll(now_ms_);
    if (!closing_) return;
    engine_.sealer().begin();
    patience_ = static_cast<int>(random_.below(6));
    return;
  }
  const bool waits = trouble_ != Trouble::kLate || patience_-- > 0;
  if (!engine_.sealer().ready() && waits) return;
  seal(*std::exchange(closing_, {}));
}

// The packets behind the generations the keeper takes now, in the order that decides about gauges;
// `all`: and those behind the open ones.
std::vector<Handled> Simulation::take(bool all) {
  std::vector<Handled> packets;
  for (ShardLog& log : logs_) {
    const auto add = [&](std::vector<Handled>& from) {
      std::move(from.begin(), from.end(), std::back_inserter(packets));
      from.clear();
    };
    if (std::exchange(log.holds, false)) add(log.held);
    if (all) add(log.open);
  }
  std::ranges::sort(packets, {}, &Handled::order);
  return packets;
}

void Simulation::expect(int64_t bucket, const std::vector<Handled>& packets) {
  reference_.open(bucket);
  for (const Handled& packet : packets) reference_.take(packet.input);
  reference_.seal();
}

Lines Simulation::expected_lines() {
  Lines lines;
  for (reference::SealedBucket& sealed : reference_.sealed())
    std::move(sealed.lines.begin(), sealed.lines.end(), std::back_inserter(lines));
  return lines;
}

bool Simulation::comparable(const std::string& line) const {
  if (trouble_ == Trouble::kNone) return true;
  if (trouble_ == Trouble::kFull) return line.find(R"("metric":"e)") != std::string::npos;
  const bool zero = line.ends_with(R"("value":0})") || line.ends_with(R"("value":-0})");
  return !(zero && line.find(R"("type":"rate")") != std::string::npos);
}

void Simulation::compare(int64_t bucket, Lines actual, Lines wanted) const {
  const auto drop = [this](Lines& lines) {
    std::erase_if(lines, [this](const std::string& line) { return !comparable(line); });
  };
  drop(actual);
  drop(wanted);
  if (actual == wanted) return;
  const auto [a, w] = std::ranges::mismatch(actual, wanted);
  ADD_FAILURE() << "bucket " << bucket << ", line " << a - actual.begin() << " of " << actual.size()
                << " (the reference has " << wanted.size() << ")\n  is        "
                << (a == actual.end() ? "-" : *a) << "\n  should be "
                << (w == wanted.end() ? "-" : *w);
}

void Simulation::seal(int64_t bucket) {
  expect(bucket, take(false));
  reference_.seal_late(bucket);
  Lines actual = engine_.lines(engine_.sealer().seal(bucket));
  for (std::string& line : engine_.late_lines(bucket)) actual.push_back(std::move(line));
  compare(bucket, std::move(actual), expected_lines());
}

// As a stop does it: the sources are closed, the shards work off their rings, the keeper seals what
// is left, of a late shard two generations.
void Simulation::finish() {
  for (size_t i = 0; i < shards_; ++i) {
    while (!engine_.inline_wiring() && engine_.has_packets(i)) poll(i);
  }
  if (closing_) {
    for (size_t i = 0; i < shards_; ++i) poll(i);
    while (!engine_.sealer().ready()) {
      for (size_t i = 0; i < shards_; ++i) poll(i);
    }
    seal(*std::exchange(closing_, {}));
  }
  const int64_t bucket = clock_.open_bucket();
  expect(bucket, take(true));
  reference_.seal_late(std::numeric_limits<int64_t>::max());
  Lines actual = engine_.lines(engine_.sealer().seal_rest(bucket, now()));
  for (std::string& line : engine_.late_lines(std::numeric_limits<int64_t>::max()))
    actual.push_back(std::move(line));
  compare(bucket, std::move(actual), expected_lines());
}

void Simulation::run() {
  if (trouble_ == Trouble::kFull) {
    for (size_t i = 0; i < shards_; ++i) {
      send(i, {Traffic::established()});
      poll(i);
    }
  }
  const uint64_t steps = 40 + random_.below(160);
  for (uint64_t step = 0; step < steps && !testing::Test::HasFailure(); ++step) {
    move_clock();
    const uint64_t actor = random_.below(10);
    if (actor < 3) {
      receive();
    } else if (actor < 8) {
      const size_t shard = random_.below(shards_);
      if (asleep_[shard] > 0) {
        --asleep_[shard];
      } else {
        poll(shard);
        if (random_.chance(3)) asleep_[shard] = 20;
      }
    } else {
      keeper();
    }
    engine_.check_ledger(false);
  }
  if (testing::Test::HasFailure()) return;
  finish();
  engine_.check_ledger(true);
}

TEST(Simulation, EngineAgainstReference) {
  for_each_seed(500, [](uint64_t seed) { Simulation(seed).run(); });
}

}  // namespace
}  // namespace penstock

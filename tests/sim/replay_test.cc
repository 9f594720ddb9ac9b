// penstock-replay against the reference's clock: random records with times that stand, go on, jump
// and go back, from every source, for any number of shards and burst.
#include "tools/replay/replay.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "random_config.h"
#include "seeds.h"
#include "setup.h"
#include "tests/reference/aggregator.h"
#include "tests/support/shard_harness.h"
#include "traffic.h"

namespace penstock {
namespace {

// Mostly forwards; back, which counts as the latest time before; over gaps that nothing fills.
int64_t move(Random& random, int64_t now_ms) {
  const uint64_t what = random.below(100);
  if (what < 30) return now_ms;
  if (what < 80) return now_ms + static_cast<int64_t>(random.below(2'000));
  if (what < 90) return now_ms + static_cast<int64_t>(random.below(30'000));
  if (what < 97) return std::max<int64_t>(now_ms - static_cast<int64_t>(random.below(20'000)), 0);
  return now_ms + static_cast<int64_t>(random.below(random.chance(50) ? 1'000'000 : 100'000'000));
}

void replay_and_compare(uint64_t seed) {
  Random random(seed);
  reference::Config config = random_config(random);
  config.eol_uds = random.chance(20);
  config.eol_pipe = random.chance(20);
  config.buffer_size = 64 + random.below(100);
  const auto plan = plan_of(config);
  const replay::Options options{.shards = static_cast<uint16_t>(1 + random.below(5)),
                                .burst = static_cast<uint16_t>(1 + random.below(64)),
                                .eol_udp = config.eol_udp,
                                .eol_uds = config.eol_uds,
                                .eol_pipe = config.eol_pipe,
                                .histograms = histograms_of(config)};
  std::string actual;
  replay::Replay replay(*plan, options, [&](std::string_view text) { actual += text; });
  reference::Aggregator aggregator(config);
  Traffic traffic(random, {.names = 1 + random.below(8)});
  int64_t now_ms =
      random.chance(10) ? 0 : kBucket * 1000 + static_cast<int64_t>(random.below(9999));
  for (uint64_t n = 20 + random.below(150); n != 0; --n) {
    now_ms = move(random, now_ms);
    const auto source = static_cast<uint8_t>(random.below(4));
    const std::string packet = traffic.packet(0, now_ms / 1000);
    aggregator.add({.time = static_cast<double>(now_ms) / 1000,
                    .bytes = packet,
                    .source = static_cast<reference::Source>(source),
                    .container = {}});
    replay::Record record;
    record.timed = true;
    record.time_ms = now_ms;
    record.packet = packet;
    record.source = static_cast<Source>(source);
    replay.take(record);
  }
  replay.finish();
  aggregator.finish();
  std::string expected;
  for (const reference::SealedBucket& bucket : aggregator.sealed()) {
    for (const std::string& line : bucket.lines) expected += line + "\n";
  }
  EXPECT_TRUE(replay.ledger().at("balanced").get<bool>());
  if (actual == expected) return;
  const auto at = static_cast<size_t>(std::ranges::mismatch(actual, expected).in1 - actual.begin());
  const size_t line = actual.rfind('\n', at) + 1;
  ADD_FAILURE() << "shards " << options.shards << ", burst " << options.burst << "\n  is        "
                << actual.substr(line, actual.find('\n', at) - line) << "\n  should be "
                << expected.substr(line, expected.find('\n', at) - line);
}

TEST(Simulation, ReplayAgainstReference) { for_each_seed(300, replay_and_compare); }

}  // namespace
}  // namespace penstock

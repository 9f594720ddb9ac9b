// penstock-replay against the reference's clock: random records with times that stand, go on, jump
// and go back, from every source, for any number of shards and burst.
#include "tools/replay/replay.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

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

struct Recorded {
  int64_t time_ms;
  std::string packet;
  uint8_t source = 0;
};

std::string replayed(const reference::Config& config, replay::Options options,
                     const std::vector<Recorded>& input) {
  options.eol_udp = config.eol_udp;
  options.eol_uds = config.eol_uds;
  options.eol_pipe = config.eol_pipe;
  options.histograms = histograms_of(config);
  const auto plan = plan_of(config);
  std::string output;
  replay::Replay replay(*plan, options, [&](std::string_view text) { output += text; });
  for (const Recorded& packet : input) {
    replay::Record record;
    record.timed = true;
    record.time_ms = packet.time_ms;
    record.packet = packet.packet;
    record.source = static_cast<Source>(packet.source);
    replay.take(record);
  }
  replay.finish();
  EXPECT_TRUE(replay.ledger().at("balanced").get<bool>());
  return output;
}

std::string expected(const reference::Config& config, const std::vector<Recorded>& input) {
  reference::Aggregator aggregator(config);
  for (const Recorded& packet : input) {
    aggregator.add({.time = static_cast<double>(packet.time_ms) / 1000,
                    .bytes = packet.packet,
                    .source = static_cast<reference::Source>(packet.source),
                    .container = {}});
  }
  aggregator.finish();
  std::string output;
  for (const reference::SealedBucket& bucket : aggregator.sealed()) {
    for (const std::string& line : bucket.lines) output += line + "\n";
  }
  return output;
}

void compare(const reference::Config& config, const replay::Options& options,
             const std::vector<Recorded>& input) {
  const std::string is = replayed(config, options, input);
  const std::string should_be = expected(config, input);
  if (is == should_be) return;
  const auto at = static_cast<size_t>(std::ranges::mismatch(is, should_be).in1 - is.begin());
  const size_t line = at == 0 ? 0 : is.rfind('\n', at - 1) + 1;
  ADD_FAILURE() << "shards " << options.shards << ", burst " << options.burst << "\n  is        "
                << is.substr(line, is.find('\n', at) - line) << "\n  should be "
                << should_be.substr(line, should_be.find('\n', at) - line);
}

void replay_and_compare(uint64_t seed) {
  Random random(seed);
  reference::Config config = random_config(random);
  config.eol_uds = random.chance(20);
  config.eol_pipe = random.chance(20);
  config.buffer_size = 64 + random.below(100);
  Traffic traffic(random, {.names = 1 + random.below(8)});
  int64_t now_ms =
      random.chance(10) ? 0 : kBucket * 1000 + static_cast<int64_t>(random.below(9999));
  std::vector<Recorded> input;
  for (uint64_t n = 20 + random.below(150); n != 0; --n) {
    now_ms = move(random, now_ms);
    input.push_back(
        {now_ms, traffic.packet(0, now_ms / 1000), static_cast<uint8_t>(random.below(4))});
  }
  compare(config,
          {.shards = static_cast<uint16_t>(1 + random.below(5)),
           .burst = static_cast<uint16_t>(1 + random.below(64)),
           .histograms = {}},
          input);
}

TEST(Simulation, ReplayAgainstReference) { for_each_seed(300, replay_and_compare); }

// 8.6: the lowest bins of a sketch that has more than 4096 become one; and the most values for
// which a histogram is exact.
TEST(Simulation, TheLargestSketchAndHistogram) {
  std::vector<Recorded> input;
  for (int i = 0; i < 9000; ++i) {
    // Keys -1950 to 7050 in an order that has nothing to do with theirs, some twice.
    const int key = (i * 7919) % 9000 - 1950;
    const double size = std::exp((std::abs(key) - 1338) * std::log1p(1.0 / 64));
    char text[64];
    std::snprintf(text, sizeof text, "d:%s%.17g|d|@%s", key < 0 ? "-" : "", size,
                  i % 5 == 0 ? "0.5" : "1");
    input.push_back({kBucket * 1000 + i / 10, text});
    if (i < 4096) {
      std::snprintf(text, sizeof text, "h:%d.5|h", (i * 7919) % 5000);
      input.push_back({kBucket * 1000 + i / 10, text});
    }
  }
  reference::Config config;
  config.histogram_percentiles = {0, 0.01, 0.5, 0.9, 0.99, 1};
  for (const uint16_t shards : {1, 3}) compare(config, {.shards = shards, .histograms = {}}, input);
}

}  // namespace
}  // namespace penstock

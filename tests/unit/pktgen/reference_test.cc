// What the generator says it sent is what the reference parser reads: each packet, each profile.

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "tests/reference/dogstatsd_reference.h"
#include "tools/pktgen/traffic.h"

namespace penstock::pktgen {
namespace {

std::string context_of(const reference::Metric& metric) {
  std::string key = metric.name + "|" + metric.type;
  const std::set<std::string> tags(metric.tags.begin(), metric.tags.end());
  for (const std::string& tag : tags) key += "," + tag;
  return key;
}

Tally read_back(const Deck& deck) {
  Tally out;
  std::set<std::string> contexts;
  for (size_t i = 0; i < deck.size(); ++i) {
    ++out.packets;
    out.bytes += deck.packet(i).size();
    for (const auto& message : reference::parse_packet(deck.packet(i), false, {})) {
      ++out.lines;
      if (const auto* error = std::get_if<reference::Error>(&message.body)) {
        ++out.malformed.at(std::ranges::find(kFaults, error->reason) - kFaults.begin());
        continue;
      }
      const auto& metric = std::get<reference::Metric>(message.body);
      contexts.insert(context_of(metric));
      const size_t type = std::ranges::find(kTypes, metric.type) - kTypes.begin();
      out.samples.at(type) += type == kSetType ? 1 : metric.values.size();
      if (type != kCounterType) continue;
      for (const double v : metric.values)
        out.counters[metric.name] += static_cast<uint64_t>(v * (1 / metric.rate));
    }
  }
  out.contexts = contexts.size();
  return out;
}

TEST(Reference, CountsWhatWasSaidToBeSent) {
  const TrafficOptions small = *profile("small");
  const TrafficOptions large = *profile("long");
  const TrafficOptions cases[] = {
      {},
      small,
      large,
      {.contexts = 20000, .tags = {0, 3}, .name_bytes = 1},
      {.seed = 5, .contexts = 700, .contexts_per_name = 350, .tags = 1, .tag_bytes = {3, 4}},
      {.seed = 9,
       .contexts = 999,
       .mix = {20, 20, 20, 20, 20},
       .packed = 100,
       .packed_values = {1, 9}},
      {.contexts = 500, .sampled = 100, .sample_rate = 0.001, .malformed = 30},
      {.contexts = 50, .lines_per_packet = 3, .malformed = 90},
  };
  for (const TrafficOptions& options : cases) {
    SCOPED_TRACE(testing::Message()
                 << "seed " << options.seed << ", contexts " << options.contexts);
    const auto deck = Deck::make(options);
    ASSERT_TRUE(deck.ok()) << deck.status();
    const Tally said = deck->tally(std::vector<uint64_t>(deck->size(), 1));
    const Tally read = read_back(*deck);
    EXPECT_EQ(said.lines, read.lines);
    EXPECT_EQ(said.bytes, read.bytes);
    EXPECT_EQ(said.contexts, read.contexts);
    EXPECT_EQ(said.contexts, options.contexts);
    EXPECT_EQ(said.samples, read.samples);
    EXPECT_EQ(said.malformed, read.malformed);
    EXPECT_EQ(said.counters, read.counters);
  }
}

TEST(Reference, LongKeepsItsRanges) {
  const auto deck = Deck::make(*profile("long"));
  ASSERT_TRUE(deck.ok());
  size_t packed = 0, can_be = 0;
  for (size_t i = 0; i < deck->size(); ++i) {
    for (const auto& message : reference::parse_packet(deck->packet(i), false, {})) {
      const auto& metric = std::get<reference::Metric>(message.body);
      ASSERT_TRUE(metric.name.size() >= 1 && metric.name.size() <= 200) << metric.name;
      ASSERT_TRUE(metric.tags.size() >= 2 && metric.tags.size() <= 50);
      for (const auto& tag : metric.tags) ASSERT_TRUE(tag.size() >= 3 && tag.size() <= 150) << tag;
      ASSERT_LE(metric.values.size(), 32u);
      can_be += metric.type != "s";
      packed += metric.values.size() > 1;
    }
  }
  EXPECT_NEAR(static_cast<double>(packed) / static_cast<double>(can_be), 0.08, 0.01);
}

}  // namespace
}  // namespace penstock::pktgen

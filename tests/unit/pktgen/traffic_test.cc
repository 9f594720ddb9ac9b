#include "tools/pktgen/traffic.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace penstock::pktgen {
namespace {

Deck make(const TrafficOptions& options) {
  auto deck = Deck::make(options);
  EXPECT_TRUE(deck.ok()) << deck.status();
  return *std::move(deck);
}

std::vector<std::string> lines_of(const Deck& deck) {
  std::vector<std::string> out;
  for (size_t i = 0; i < deck.size(); ++i) {
    std::string_view rest = deck.packet(i);
    while (true) {
      const size_t end = rest.find('\n');
      out.emplace_back(rest.substr(0, end));
      if (end == std::string_view::npos) break;
      rest.remove_prefix(end + 1);
    }
  }
  return out;
}

// An independent reading of counter lines: "name:value|c[|@0.5][|#...]".
std::map<std::string, uint64_t> counter_sums(const std::vector<std::string>& lines) {
  std::map<std::string, uint64_t> sums;
  for (const std::string& line : lines) {
    const size_t colon = line.find(':');
    const size_t pipe = line.find('|');
    if (line.substr(pipe, 3) != "|c" && line.substr(pipe, 3) != "|c|") continue;
    uint64_t value = 0;
    for (size_t at = colon; at < pipe; at = line.find_first_of(":|", at + 1))
      value += std::stoull(line.substr(at + 1));
    sums[line.substr(0, colon)] += line.find("|@0.5") == std::string::npos ? value : 2 * value;
  }
  return sums;
}

TEST(Deck, FollowsFromTheSeed) {
  const Deck a = make({.seed = 7, .contexts = 500});
  const Deck b = make({.seed = 7, .contexts = 500});
  const Deck c = make({.seed = 8, .contexts = 500});
  EXPECT_EQ(lines_of(a), lines_of(b));
  EXPECT_NE(lines_of(a), lines_of(c));
}

TEST(Deck, PacketsKeepTheirLimits) {
  const Deck deck = make({.contexts = 300, .packet_bytes = 700, .lines_per_packet = 4});
  for (size_t i = 0; i < deck.size(); ++i) {
    const std::string_view packet = deck.packet(i);
    EXPECT_LE(packet.size(), 700u);
    EXPECT_LE(std::count(packet.begin(), packet.end(), '\n'), 3);
  }
}

TEST(Deck, TypicalPacketsHoldAboutTwelveLines) {
  const Deck deck = make({});
  const double lines =
      static_cast<double>(lines_of(deck).size()) / static_cast<double>(deck.size());
  EXPECT_GT(lines, 10.5);
  EXPECT_LT(lines, 14.5);
}

TEST(Deck, HasEveryContextAndNoOther) {
  for (const uint32_t contexts : {1u, 99u, 1000u, 20000u}) {
    std::set<std::string> keys;
    for (const std::string& line : lines_of(make({.contexts = contexts}))) {
      const size_t tags = line.find("|#");
      keys.insert(line.substr(0, line.find(':')) + line.substr(tags));
    }
    EXPECT_EQ(keys.size(), contexts);
  }
}

TEST(Deck, WithoutTagsEachContextIsAName) {
  std::set<std::string> names;
  for (const std::string& line :
       lines_of(make({.contexts = 1000, .tags = 0, .mix = {100, 0, 0, 0, 0}})))
    names.insert(line.substr(0, line.find(':')));
  EXPECT_EQ(names.size(), 1000u);
}

TEST(Deck, TallyIsWhatTheLinesSay) {
  const Deck deck = make({.prefix = "x", .seed = 3, .contexts = 2000});
  const auto lines = lines_of(deck);
  const Tally tally = deck.tally(std::vector<uint64_t>(deck.size(), 1));
  EXPECT_EQ(tally.packets, deck.size());
  EXPECT_EQ(tally.lines, lines.size());
  EXPECT_EQ(tally.counters, counter_sums(lines));
  size_t bytes = 0;
  for (size_t i = 0; i < deck.size(); ++i) bytes += deck.packet(i).size();
  EXPECT_EQ(tally.bytes, bytes);
}

TEST(Deck, TallyMultiplies) {
  const Deck deck = make({.contexts = 50});
  std::vector<uint64_t> times(deck.size());
  times[1] = 3;
  const Tally three = deck.tally(times);
  times[1] = 1;
  const Tally one = deck.tally(times);
  EXPECT_EQ(three.lines, 3 * one.lines);
  EXPECT_FALSE(one.counters.empty());
  for (const auto& [name, sum] : one.counters) EXPECT_EQ(three.counters.at(name), 3 * sum) << name;
}

TEST(Deck, MixIsHalfCounters) {
  const Deck deck = make({.contexts = 10000});
  const Tally tally = deck.tally(std::vector<uint64_t>(deck.size(), 1));
  const auto share = [&](size_t type) {
    return static_cast<double>(tally.samples[type]) / static_cast<double>(tally.lines);
  };
  EXPECT_NEAR(share(0), 0.50, 0.01);
  EXPECT_NEAR(share(1), 0.20, 0.01);
  EXPECT_NEAR(share(2), 0.15, 0.02);  // some messages are packed
  EXPECT_NEAR(share(3), 0.10, 0.02);
  EXPECT_NEAR(share(4), 0.05, 0.01);
}

TEST(Deck, RefusesOptionsThatCannotWork) {
  const struct {
    void (*spoil)(TrafficOptions&);
    std::string_view says;
  } cases[] = {
      {[](TrafficOptions& o) { o.contexts = 0; }, "--contexts 0"},
      {[](TrafficOptions& o) { o.packet_bytes = 15; }, "--packet-bytes 15"},
      {[](TrafficOptions& o) { o.packet_bytes = 65508; }, "--packet-bytes 65508"},
      {[](TrafficOptions& o) { o.packet_bytes = 40; }, "a line is"},
      {[](TrafficOptions& o) { o.tags = 65; }, "--tags 65"},
      {[](TrafficOptions& o) {
         o.tags = {5, 4};
       },
       "--tags 5-4"},
      {[](TrafficOptions& o) { o.contexts_per_name = 1297; }, "--contexts-per-name 1297"},
      {[](TrafficOptions& o) {
         o.name_bytes = {0, 5};
       },
       "--name-bytes 0-5"},
      {[](TrafficOptions& o) {
         o.tag_bytes = {2, 5};
       },
       "--tag-bytes 2-5"},
      {[](TrafficOptions& o) { o.tag_bytes = 3; }, "--tag-bytes 3"},
      {[](TrafficOptions& o) { o.packed = 101; }, "--packed 101"},
      {[](TrafficOptions& o) { o.packed_values = 0; }, "--packed-values 0"},
      {[](TrafficOptions& o) { o.sampled = -1; }, "--sampled -1"},
      {[](TrafficOptions& o) { o.sample_rate = 0.3; }, "--sample-rate 0.3: must be 1/n"},
      {[](TrafficOptions& o) { o.sample_rate = 0; }, "--sample-rate 0"},
      {[](TrafficOptions& o) { o.malformed = 91; }, "--malformed 91"},
      {[](TrafficOptions& o) {
         o.mix = {50, 50, 50, 0, 0};
       },
       "--mix"},
      {[](TrafficOptions& o) { o.prefix = "a:b"; }, "--prefix"},
  };
  for (const auto& c : cases) {
    TrafficOptions options;
    c.spoil(options);
    const auto deck = Deck::make(options);
    ASSERT_FALSE(deck.ok()) << c.says;
    EXPECT_NE(deck.status().ToString().find(c.says), std::string::npos) << deck.status();
  }
}

}  // namespace
}  // namespace penstock::pktgen

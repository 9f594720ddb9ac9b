#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/status.h"
#include "tools/pktgen/random.h"

namespace penstock::pktgen {

// The metric types that are generated, by their symbols on the wire (spec 5.2).
inline constexpr std::array<std::string_view, 5> kTypes = {"c", "g", "h", "d", "s"};
inline constexpr size_t kCounterType = 0;
inline constexpr size_t kSetType = 4;

// What malformed lines have wrong, by the names of spec 12; they take turns.
inline constexpr std::array<std::string_view, 7> kFaults = {
    "no-pipe", "no-colon", "empty-name", "empty-value", "bad-type", "bad-value", "bad-rate"};

inline constexpr uint32_t kContextsPerNameMax = 1296;

// The traffic, but for where it goes and how fast. The defaults are the profile `typical`. Shares
// are percent of the lines that can have the thing. See docs/pktgen.md.
struct TrafficOptions {
  std::string prefix = "pktgen";  // of metric names, before a dot; or empty
  uint64_t seed = 1;
  uint32_t contexts = 10000;         // distinct (name, tags)
  uint32_t contexts_per_name = 100;  // 1 to kContextsPerNameMax
  uint32_t packet_bytes = 1432;      // most bytes in a packet
  uint32_t lines_per_packet = 0;     // most lines in a packet; 0: as many as fit
  Range tags = 5;                    // on a line; from 0: every context is a name of its own
  Range name_bytes = 0;              // with the prefix, which may raise it; 0: words
  Range tag_bytes = 0;               // of a tag, 3 and more, the most at least 4; 0: words
  std::array<uint32_t, kTypes.size()> mix = {50, 20, 15, 10, 5};  // percent of contexts
  double packed = 2;         // share of c, g, h, d lines with several values
  Range packed_values = 2;   // how many these have
  double sampled = 6;        // share of c, h, d lines with a sample rate
  double sample_rate = 0.5;  // 1 / n, so that counter sums are whole
  double malformed = 0;      // share of all lines
};

// `small`, `typical`, `many` or `long`; `seed` and the like are the defaults.
absl::StatusOr<TrafficOptions> profile(std::string_view name);

// What was sent. Counter values are whole and rates 1 / n, so `counters` is exact.
struct Tally {
  uint64_t packets = 0;
  uint64_t lines = 0;  // malformed ones included
  uint64_t bytes = 0;
  uint64_t contexts = 0;                             // distinct
  std::array<uint64_t, kTypes.size()> samples{};     // values sent, by index in kTypes
  std::array<uint64_t, kFaults.size()> malformed{};  // lines, by index in kFaults
  std::map<std::string, uint64_t> counters;          // name -> sum of value / rate
};

// A deck of packets, rendered once from a seed and then dealt in order, over and over: sending
// costs no formatting, and what was sent follows from how often each packet was. Each context is in
// the deck at least once. Equal options make equal decks. Immutable once made.
class Deck {
 public:
  // Fails when an option is out of range, when a line does not fit a packet, or when the deck would
  // be larger than kDeckBytesMax.
  static absl::StatusOr<Deck> make(const TrafficOptions& options);

  [[nodiscard]] size_t size() const { return packets_.size(); }
  [[nodiscard]] std::string_view packet(size_t i) const {
    return std::string_view(text_).substr(packets_[i].offset, packets_[i].size);
  }
  [[nodiscard]] uint32_t lines(size_t i) const { return packets_[i].lines; }

  // The tally when packet i was sent times[i] times; `times` has size() elements.
  [[nodiscard]] Tally tally(const std::vector<uint64_t>& times) const;

 private:
  struct PacketInfo {
    size_t offset;
    uint32_t size;
    uint32_t first_line;  // in lines_
    uint32_t lines;
  };
  struct LineInfo {
    uint32_t context;  // in contexts_; kMalformed: none
    uint32_t amount;   // what the line adds to its counter; of a malformed one, index in kFaults
    uint32_t samples;
  };
  struct Context {
    uint32_t name;    // in names_
    uint16_t number;  // among the contexts of the name
    uint8_t type;     // index in kTypes
  };
  static constexpr uint32_t kMalformed = UINT32_MAX;

  std::string text_;
  std::vector<PacketInfo> packets_;
  std::vector<LineInfo> lines_;
  std::vector<Context> contexts_;
  std::vector<std::string> names_;

  friend class DeckMaker;
};

inline constexpr size_t kDeckBytesMax = size_t{512} << 20;

}  // namespace penstock::pktgen

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/status.h"

namespace penstock::pktgen {

// The metric types that are generated, by their symbols on the wire (spec 5.2).
inline constexpr std::array<std::string_view, 5> kTypes = {"c", "g", "h", "d", "s"};
inline constexpr size_t kCounterType = 0;

struct TrafficOptions {
  std::string prefix = "pktgen";  // metric names are <prefix>.<word>.<word>[.<n>]
  uint64_t seed = 1;
  uint32_t contexts = 10000;      // distinct (name, tags)
  uint32_t packet_bytes = 1432;   // most bytes in a packet
  uint32_t lines_per_packet = 0;  // most lines in a packet; 0: as many as fit
  uint32_t tags = 5;              // tags on a line; with 0 every context is a name of its own
  bool mixed = true;              // 50 % c, 20 % g, 15 % h, 10 % d, 5 % s; otherwise counters only
};

// What was sent. Counters have integer values and rates of 1 or 0.5, so `counters` is exact.
struct Tally {
  uint64_t packets = 0;
  uint64_t lines = 0;
  uint64_t bytes = 0;
  std::array<uint64_t, kTypes.size()> samples{};  // by index in kTypes
  std::map<std::string, uint64_t> counters;       // name -> sum of value / rate
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
    uint32_t name;    // in names_
    uint32_t amount;  // what the line adds to its counter; 0 for other types
    uint8_t type;     // index in kTypes
    uint8_t samples;
  };

  std::string text_;
  std::vector<PacketInfo> packets_;
  std::vector<LineInfo> lines_;
  std::vector<std::string> names_;

  friend class DeckMaker;
};

inline constexpr size_t kDeckBytesMax = size_t{512} << 20;

}  // namespace penstock::pktgen

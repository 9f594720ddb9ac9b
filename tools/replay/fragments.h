#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "parsers/packet/decode.h"

namespace penstock::replay {

// Joins the IP fragments of recorded UDP datagrams, as a host does: any number of pieces in any
// order. A piece that is there already is left out; one that overlaps, or has a length that cannot
// be, ends its datagram. One thread.
class Fragments {
 public:
  static constexpr int64_t kLifetimeMs = 1000;  // Reassembly's

  // `bytes_max`: of memory, for those that wait and one more. The oldest make room.
  explicit Fragments(size_t bytes_max = size_t{256} << 20) : bytes_max_(bytes_max) {}

  // Takes the piece of `frame` that `decode` called a fragment. If it is the last that was missing,
  // returns the datagram as one frame (valid until the next call) and sets `frames` to how many it
  // came in. Else returns nothing.
  std::span<const uint8_t> add(std::span<const uint8_t> frame, const packet::Decoded& piece,
                               int64_t time_ms, uint32_t& frames);

  // Gives up datagrams whose first piece came kLifetimeMs before `time_ms`.
  void expire(int64_t time_ms);
  // Gives up all.
  void give_up();

  // Frames of datagrams that were given up since the last call.
  uint32_t take_given_up();

 private:
  using Key = std::string;
  struct Datagram {
    int64_t born_ms;
    std::list<Key>::iterator age;                        // its place in `by_age_`
    std::vector<uint8_t> header;                         // Ethernet and IP, of the first that came
    std::map<size_t, std::vector<uint8_t>> pieces = {};  // by offset
    size_t held = 0;                                     // bytes in `pieces`
    size_t cost = 0;                                     // memory, at most
    size_t size = 0;                                     // of them all; 0: not known
    uint32_t frames = 0;
  };
  using Waiting = std::map<Key, Datagram>;

  bool put(Datagram& datagram, std::span<const uint8_t> bytes, const packet::Decoded& piece);
  void charge(Datagram& datagram, size_t bytes);
  void give_up(Waiting::iterator datagram);
  void remove(Waiting::iterator datagram);

  const size_t bytes_max_;
  Waiting waiting_;
  std::list<Key> by_age_;  // of all that wait, the oldest first
  size_t cost_ = 0;        // of them all
  uint32_t given_up_ = 0;
  std::vector<uint8_t> joined_;
};

}  // namespace penstock::replay

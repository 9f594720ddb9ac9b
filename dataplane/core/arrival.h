#pragma once

#include <cstdint>

namespace penstock {

// Packet::arrival of one receive thread, in ticks (clock.h): the time of its burst, and a tick more
// for each packet before it in that, so that it grows with every packet, and orders those of
// different threads to about a microsecond. It wraps: compare with `came_after`.
class ArrivalClock {
 public:
  // Once a burst.
  void set(uint32_t ticks) {
    // What is further ahead than packets can push it was passed long ago, in a silence.
    if (!set_ || next_ - ticks > kAheadMax) next_ = ticks;
    set_ = true;
  }
  // Once a packet.
  uint32_t next() { return next_++; }

 private:
  static constexpr uint32_t kAheadMax = 1u << 25;  // a second

  uint32_t next_ = 0;
  bool set_ = false;
};

// Of two packets less than a minute apart: whether `a` came after `b`.
inline bool came_after(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) > 0; }

}  // namespace penstock

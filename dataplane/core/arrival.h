#pragma once

#include <cstdint>

namespace penstock {

// Packet::arrival of one receive thread: grows with every packet, also within a millisecond and
// where the clock steps back, and follows the clock, so that it orders packets of different threads
// to a millisecond. It wraps: compare with `came_after`.
class ArrivalClock {
 public:
  // Once a burst.
  void set(int64_t unix_ms) {
    const auto now = static_cast<uint32_t>(unix_ms) << kBits;
    if (!set_ || static_cast<int32_t>(now - next_) > 0) next_ = now;
    set_ = true;
  }
  // Once a packet.
  uint32_t next() { return next_++; }

 private:
  // 32 packets a microsecond, and 131 s until it wraps: several intervals.
  static constexpr unsigned kBits = 15;
  uint32_t next_ = 0;
  bool set_ = false;
};

// Of two packets less than a minute apart: whether `a` came after `b`.
inline bool came_after(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) > 0; }

}  // namespace penstock

#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "dataplane/api/plan.h"

namespace penstock {

// How a receive loop waits when there is nothing: first it only pauses between polls, then, where
// the CPU can (WAITPKG), it halts for moments without giving up the core, then it sleeps, longer
// and longer. The longest sleep is short enough that a lone packet is taken within 1 ms, timer
// slack included, and that a burst at full 10 GbE rate fits into the receive ring meanwhile, and
// long enough that an idle queue takes about 1.5 % of a core (a poll of an AF_XDP socket and a
// sleep cost some 15 us on a small VM).
class IdleLadder {
 public:
  static constexpr int kSpins = 256;  // some tens of microseconds
  static constexpr std::chrono::microseconds kFirst{50};
  static constexpr std::chrono::microseconds kLongest{800};

  static constexpr int kHalts = 256;
  static constexpr std::chrono::microseconds kHalt{2};

  enum class Rung : uint8_t { kPause, kHalt, kSleep };
  struct Wait {
    Rung rung;
    std::chrono::microseconds sleep;  // 0 unless kSleep
  };

  IdleLadder(IdleMode mode, bool can_halt)
      : busy_(mode == IdleMode::kBusy), sleeps_after_(kSpins + (can_halt ? kHalts : 0)) {}

  // A pass found work: back to the first rung.
  void reset() {
    passes_ = 0;
    sleep_ = kFirst;
  }

  // A pass found none: what to do before the next.
  Wait next() {
    if (busy_ || ++passes_ < kSpins) return {Rung::kPause, {}};
    if (passes_ < sleeps_after_) return {Rung::kHalt, {}};
    passes_ = sleeps_after_;
    const auto now = sleep_;
    sleep_ = std::min(sleep_ * 2, kLongest);
    return {Rung::kSleep, now};
  }

 private:
  bool busy_;
  int sleeps_after_;  // passes
  int passes_ = 0;
  std::chrono::microseconds sleep_ = kFirst;
};

}  // namespace penstock

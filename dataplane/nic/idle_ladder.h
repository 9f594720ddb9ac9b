#pragma once

#include <algorithm>
#include <chrono>

#include "dataplane/api/plan.h"

namespace penstock {

// How a receive loop waits when there is nothing: first it only pauses between polls, then it
// sleeps, longer and longer. The longest sleep is short enough that a burst at full 10 GbE rate
// fits into the receive ring meanwhile, and long enough that an idle queue takes about 1.5 % of a
// core (a poll of an AF_XDP socket and a sleep cost some 15 us on a small VM).
class IdleLadder {
 public:
  static constexpr int kSpins = 256;  // some tens of microseconds
  static constexpr std::chrono::microseconds kFirst{50};
  static constexpr std::chrono::microseconds kLongest{1000};

  explicit IdleLadder(IdleMode mode) : mode_(mode) {}

  // A pass found work: back to the first rung.
  void reset() {
    passes_ = 0;
    sleep_ = kFirst;
  }

  // A pass found none. How long to sleep; 0: pause only.
  std::chrono::microseconds next() {
    if (mode_ == IdleMode::kBusy || ++passes_ < kSpins) return {};
    const auto now = sleep_;
    sleep_ = std::min(sleep_ * 2, kLongest);
    return now;
  }

 private:
  IdleMode mode_;
  int passes_ = 0;
  std::chrono::microseconds sleep_ = kFirst;
};

}  // namespace penstock

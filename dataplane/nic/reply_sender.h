#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/nic/rx_queue.h"
#include "dataplane/nic/tally.h"

namespace penstock {

// Answers ARP, neighbour solicitations and echo on a port that has no kernel behind it, at most
// kRepliesPerSecond of them per queue. One per receive loop, which owns the transmit queue of the
// same number.
class ReplySender {
 public:
  static constexpr int64_t kRepliesPerSecond = 1000;
  static constexpr int64_t kRepliesBurst = 100;

  explicit ReplySender(const RxQueue& queue);

  // Sends the answer to `frame`, if there is one; counts replies and replies_limited.
  void answer(std::span<const uint8_t> frame, int64_t unix_ms, Tally& tally);

 private:
  bool take_token(int64_t unix_ms);
  bool send(size_t bytes);

  const RxQueue queue_;
  std::vector<uint8_t> reply_;
  int64_t tokens_ = kRepliesBurst * 1000;  // thousandths of a reply
  int64_t refilled_ms_ = 0;
};

}  // namespace penstock

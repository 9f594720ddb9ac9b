#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/nic/rx_queue.h"
#include "dataplane/nic/tally.h"

namespace penstock {

// Answers ARP, neighbour solicitations and echo on a port that has no kernel behind it, at most
// kRepliesPerSecond of them per queue, and tells the neighbours of the port's addresses when its
// link comes up. One per receive loop, which owns the transmit queue of the same number.
class ReplySender {
 public:
  static constexpr int64_t kRepliesPerSecond = 1000;
  static constexpr int64_t kRepliesBurst = 100;

  // How often the addresses are announced, and how long apart (RFC 5227 section 1.1; what RFC 4861
  // section 7.2.6 allows).
  static constexpr int kAnnouncements = 2;
  static constexpr int64_t kAnnounceIntervalMs = 2000;

  explicit ReplySender(const RxQueue& queue);

  // Sends the answer to `frame`, if there is one; counts replies and replies_limited.
  void answer(std::span<const uint8_t> frame, int64_t unix_ms, Tally& tally);

  // Every pass: true if `announce` has something to send.
  [[nodiscard]] bool announcement_due(int64_t unix_ms) const {
    if (queue_.link_ups == nullptr) return false;
    return queue_.link_ups->load(std::memory_order_relaxed) != link_ups_seen_ ||
           (announcements_left_ != 0 && is_time(unix_ms));
  }
  // Announces every address; counted like replies, without their limit.
  void announce(int64_t unix_ms, Tally& tally);

 private:
  // Also when the clock was set back.
  [[nodiscard]] bool is_time(int64_t unix_ms) const {
    return unix_ms < announced_ms_ || unix_ms - announced_ms_ >= kAnnounceIntervalMs;
  }
  bool take_token(int64_t unix_ms);
  bool send(size_t bytes);

  const RxQueue queue_;
  std::vector<uint8_t> reply_;
  int64_t tokens_ = kRepliesBurst * 1000;  // thousandths of a reply
  int64_t refilled_ms_ = 0;
  uint32_t link_ups_seen_ = 0;
  int announcements_left_ = 0;
  int64_t announced_ms_ = 0;
};

}  // namespace penstock

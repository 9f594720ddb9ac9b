#pragma once

#include <chrono>
#include <cstdint>

#include "dataplane/api/latency.h"
#include "dataplane/api/plan.h"

namespace penstock::uring {

// Whether the io thread naps although datagrams come. Where those of kernel UDP come one by one,
// each wakes the io thread, and that a shard: several times what a datagram itself costs. So, as a
// NIC moderates its interrupts, the thread lets some gather in the socket first. Only in a socket
// with room for them, and only of UDP, whose senders never wait: a Unix socket or pipe that is not
// read holds its senders up.
class Moderation {
 public:
  static constexpr std::chrono::microseconds kNap{200};
  // SO_RCVBUF, as the kernel gives it, that holds what comes meanwhile: the kernel takes some 2300
  // bytes for a datagram of an MTU, so 450 of them. Its default, 208 KiB, overflowed in naps at
  // 200 k packets a second.
  static constexpr int kRoomBytes = 1 << 20;
  // Fewer datagrams in a pass were all that the sockets held: the kernel hands over at most 32 of
  // one at a time.
  static constexpr uint64_t kEnough = 32;
  // Between datagrams, at most: a nap, which is a timer to the kernel, then pays for itself.
  static constexpr uint32_t kGapTicks = 40'000 / latency::kTickNs;

  explicit Moderation(IdleMode idle) : on_(idle == IdleMode::kAdaptive) {}

  // After each pass, which began at `ticks` (clock.h) and took `roomy` datagrams from UDP sockets
  // with room, and `others` of anything else: nap before the next?
  bool nap_after(uint32_t ticks, uint64_t roomy, uint64_t others) {
    const uint32_t since = ticks - last_;
    last_ = ticks;
    return on_ && others == 0 && roomy < kEnough && since < roomy * kGapTicks;
  }

 private:
  bool on_;
  uint32_t last_ = 0;  // when the pass before began
};

}  // namespace penstock::uring

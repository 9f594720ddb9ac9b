#pragma once

#include <chrono>
#include <cstdint>

#include "dataplane/api/latency.h"
#include "dataplane/api/plan.h"

namespace penstock::uring {

// Whether the io thread naps although datagrams come. Where those of kernel UDP come one by one,
// each wakes the io thread, and that a shard: several times what a datagram itself costs. So, as a
// NIC moderates its interrupts, the thread lets some gather in the socket first. Only of kernel
// UDP, whose senders never wait: a Unix socket or pipe that is not read holds its senders up.
class Moderation {
 public:
  // Within a socket's buffer at any rate: 100 of the largest fill the kernel's default.
  static constexpr std::chrono::microseconds kNap{100};
  // Datagrams of a pass that are worth its wake-up.
  static constexpr uint64_t kEnough = 16;
  // Between datagrams, at most: a nap then gathers two.
  static constexpr uint32_t kGapTicks = 50'000 / latency::kTickNs;

  explicit Moderation(IdleMode idle) : on_(idle == IdleMode::kAdaptive) {}

  // After each pass that had work, which began at `ticks` (clock.h) and took `udp` datagrams of
  // kernel UDP, and `others` of anything else: nap before the next?
  bool nap_after(uint32_t ticks, uint64_t udp, uint64_t others) {
    const uint32_t since = ticks - last_;
    last_ = ticks;
    return on_ && others == 0 && udp != 0 && udp < kEnough && since < udp * kGapTicks;
  }

 private:
  bool on_;
  uint32_t last_ = 0;  // when the pass before began
};

}  // namespace penstock::uring

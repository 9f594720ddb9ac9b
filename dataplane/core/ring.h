#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "dataplane/core/packet.h"

namespace penstock {

// The single-producer single-consumer ring between a receive thread and a shard. It works like a
// NIC's transmit ring: the consumer only advances `tail`, after it *finished* a burst, and the
// producer frees the owners of finished descriptors in bulk when it next has a moment. So there is
// no return ring, and buffers are allocated and freed on one thread.
//
//        reclaim <= tail <= head <= reclaim + slots          (free-running 32-bit counters)
//   [reclaim, tail) finished, owners not yet freed    [tail, head) waiting
class PacketRing {
 public:
  // `slots` is a power of two. Allocates here and never again.
  explicit PacketRing(uint32_t slots);

  // Producer. Appends as many of `packets` as there is room for (room counts from `reclaim`),
  // publishes them at once, and returns how many. The caller counts and frees what did not fit.
  // Does not wake the consumer.
  size_t push(std::span<const Packet> packets);

  // Producer. Calls `free(owner)` for each non-zero owner of the finished descriptors, at most
  // `max` of them, and makes their slots free. Returns how many descriptors it reclaimed.
  template <class Free>
  size_t reclaim(Free&& free, size_t max = SIZE_MAX);

  // Producer. Descriptors pushed and not yet reclaimed.
  [[nodiscard]] size_t in_flight() const;

  // Consumer. The next waiting packets, contiguous in the ring, at most `max`; empty if none. They
  // stay valid until `finish`.
  std::span<const Packet> peek(size_t max);

  // Consumer. Done with the first `n` packets of the last `peek`: their buffers may be reused.
  void finish(size_t n);

  // Consumer. True if a `peek` would find nothing; an acquire load, for the look before sleeping.
  [[nodiscard]] bool empty() const;
};

}  // namespace penstock

#pragma once

#include <algorithm>
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
  // `slots` is a power of two, at most 2^31. Allocates here and never again. `first` is where the
  // counters start; it matters to nobody but the test of their wrap.
  explicit PacketRing(uint32_t slots, uint32_t first = 0);
  ~PacketRing();
  PacketRing(const PacketRing&) = delete;
  PacketRing& operator=(const PacketRing&) = delete;

  // Producer. Appends as many of `packets` as there is room for (room counts from `reclaim`),
  // publishes them at once, and returns how many. The caller counts and frees what did not fit.
  // Does not wake the consumer.
  size_t push(std::span<const Packet> packets);

  // Producer. Calls `free(owner)` for each non-zero owner of the finished descriptors, at most
  // `max` of them, and makes their slots free. Returns how many descriptors it reclaimed.
  template <class Free>
  size_t reclaim(Free&& free, size_t max = SIZE_MAX);

  // Producer. Descriptors pushed and not yet reclaimed.
  [[nodiscard]] size_t in_flight() const { return producer_.head - producer_.reclaim; }

  // Consumer. The next waiting packets behind the first `skip` (of earlier peeks), contiguous in
  // the ring, at most `max`; empty if none. They stay valid until `finish`.
  std::span<const Packet> peek(size_t max, size_t skip = 0);

  // Consumer. Done with the first `n` packets it has seen: their buffers may be reused.
  void finish(size_t n);

  // Consumer. True if a `peek` would find nothing; an acquire load, for the look before sleeping.
  [[nodiscard]] bool empty() const {
    return head_.load(std::memory_order_acquire) == consumer_.tail;
  }

  [[nodiscard]] uint32_t slots() const { return mask_ + 1; }

 private:
  // Two cache lines: the adjacent-line prefetcher fetches them in pairs.
  static constexpr size_t kApart = 128;

  // Each side keeps its own counters and the last value it saw of the other's, and reads the
  // other's published line only when that value no longer suffices.
  struct Producer {
    uint32_t head = 0;
    uint32_t reclaim = 0;
    uint32_t tail_seen = 0;
  };
  struct Consumer {
    uint32_t tail = 0;
    uint32_t head_seen = 0;
  };

  // Set at construction, read by both.
  alignas(kApart) Packet* slots_;
  uint32_t mask_;

  alignas(kApart) Producer producer_;           // producer only
  alignas(kApart) std::atomic<uint32_t> head_;  // producer writes, consumer reads
  alignas(kApart) Consumer consumer_;           // consumer only
  alignas(kApart) std::atomic<uint32_t> tail_;  // consumer writes, producer reads
};

template <class Free>
size_t PacketRing::reclaim(Free&& free, size_t max) {
  Producer& p = producer_;
  if (p.reclaim == p.head) return 0;
  if (p.tail_seen - p.reclaim < max) p.tail_seen = tail_.load(std::memory_order_acquire);
  const auto n = static_cast<uint32_t>(std::min<size_t>(p.tail_seen - p.reclaim, max));
  for (uint32_t i = 0; i < n; ++i) {
    if (const uint64_t owner = slots_[(p.reclaim + i) & mask_].owner; owner != 0) free(owner);
  }
  p.reclaim += n;
  return n;
}

}  // namespace penstock

#pragma once

#include <cstdint>
#include <span>

#include "dataplane/core/packet.h"
#include "dataplane/nic/rx_queue.h"
#include "dataplane/nic/tally.h"

namespace penstock {

// Hands the packets of one receive loop also to the forwarder. A packet then has two owners, its
// shard and the forwarder; each gives its reference back here, to the lcore the pool belongs to.
// The loop's thread only.
class ForwardTap {
 public:
  explicit ForwardTap(const RxQueue& queue) : queue_(queue) {}

  // Before the shard gets them. Those that there is no room for are counted in forward_full.
  void push(std::span<const Packet> packets, Tally& tally);
  // Frees what the forwarder is done with.
  void reclaim();

 private:
  [[nodiscard]] bool is_joined(uint64_t owner) const;

  const RxQueue queue_;
  uint32_t joined_ = 0;  // datagrams joined from fragments that the forwarder has
};

}  // namespace penstock

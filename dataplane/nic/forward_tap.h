#pragma once

#include <span>

#include "dataplane/core/outlet.h"
#include "dataplane/core/packet.h"
#include "dataplane/nic/tally.h"

namespace penstock {

// Hands the packets of one receive loop also to the forwarder. A packet then has two owners, its
// shard and the forwarder; each gives its reference back here, to the lcore the pool belongs to.
// The loop's thread only.
class ForwardTap {
 public:
  explicit ForwardTap(const Outlet& to) : to_(to) {}

  // Before the shard gets them. Those the ring has no room for are counted in forward_full.
  void push(std::span<const Packet> packets, Tally& tally);
  // Frees what the forwarder is done with.
  void reclaim();

 private:
  Outlet to_;
};

}  // namespace penstock

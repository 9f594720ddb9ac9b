#include "dataplane/uring/outlets.h"

#include <cassert>

#include "dataplane/core/emptiest.h"

namespace penstock::uring {

Outlets::Outlets(std::span<const Outlet> outlets, uint32_t loose_max) : loose_max_(loose_max) {
  assert(!outlets.empty());
  for (const Outlet& o : outlets) {
    gathers_.push_back({.ring = o.ring, .sleeper = o.sleeper, .packets = {}});
  }
}

uint32_t Outlets::spread_flow() {
  if (spread_run_ == kSpreadRun) {
    spread_turn_ = emptiest(gathers_, spread_turn_,
                            [](const Gather& g) { return g.ring->in_flight() + g.count; });
    spread_run_ = 0;
  }
  ++spread_run_;
  // The least flow that leads there.
  return static_cast<uint32_t>(((uint64_t{spread_turn_} << 32) + gathers_.size() - 1) /
                               gathers_.size());
}

void Outlets::dispatch(const Packet& packet, uint64_t memory) {
  Gather& g = gathers_[uint64_t{packet.flow} * gathers_.size() >> 32];
  g.loose += packet.owner == 0 ? 1 : 0;
  g.packets[g.count++] = packet;
  if (g.count == kGather) send(g);
  if (forwarder_ != nullptr) forwarder_->offer(packet, memory);
}

void Outlets::send(Gather& g) {
  [[maybe_unused]] const size_t pushed = g.ring->push({g.packets.data(), g.count});
  assert(pushed == g.count);
  g.count = 0;
  g.sleeper->wake();
}

void Outlets::flush() {
  for (Gather& g : gathers_) {
    if (g.count != 0) send(g);
  }
}

}  // namespace penstock::uring

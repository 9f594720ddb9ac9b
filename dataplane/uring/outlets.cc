#include "dataplane/uring/outlets.h"

#include <cassert>
#include <utility>

#include "dataplane/core/emptiest.h"

namespace penstock::uring {

Outlets::Outlets(std::span<const Outlet> outlets, uint32_t loose_max,
                 std::unique_ptr<origin::Origins> origins)
    : origins_(std::move(origins)), loose_max_(loose_max) {
  assert(!outlets.empty());
  for (const Outlet& o : outlets) {
    gathers_.push_back({.ring = o.ring, .sleeper = o.sleeper, .packets = {}});
  }
}

void Outlets::begin_pass(int64_t unix_ms, uint32_t ticks) {
  arrival_.set(ticks);
  if (origins_ != nullptr) origins_->begin_pass(unix_ms);
}

void Outlets::take(Packet& packet, uint64_t memory, const origin::Credentials& sender,
                   uint16_t listener) {
  packet.arrival = arrival_.next();
  if (forwarder_ != nullptr) forwarder_->offer(packet, memory);
  if (origins_ == nullptr || !origins_->wanted(listener)) return dispatch(packet);
  origins_->take(packet, sender, listener, [this](const Packet& p) { dispatch(p); });
}

void Outlets::settle() {
  if (origins_ != nullptr) origins_->settle([this](const Packet& p) { dispatch(p); });
}

void Outlets::give_up() {
  if (origins_ != nullptr) origins_->give_up([this](const Packet& p) { dispatch(p); });
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

void Outlets::dispatch(const Packet& packet) {
  Gather& g = gathers_[uint64_t{packet.flow} * gathers_.size() >> 32];
  g.loose += packet.owner == 0 ? 1 : 0;
  g.packets[g.count++] = packet;
  if (g.count == kGather) send(g);
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
  if (origins_ != nullptr) origins_->end_pass();
}

}  // namespace penstock::uring

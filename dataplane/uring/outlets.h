#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/core/arrival.h"
#include "dataplane/core/outlet.h"
#include "dataplane/core/packet.h"
#include "dataplane/origin/origins.h"
#include "dataplane/uring/forwarder.h"
#include "dataplane/uring/loans.h"

namespace penstock::uring {

// The ways to the shards. Packets are gathered, so that a burst is published once. There is a slot
// in each ring for every buffer there is, and `loose_max` for packets that share the buffer of a
// later one, and for those of them that wait for their origin; whoever sends the latter asks for
// room first, so a push always succeeds.
class Outlets {
 public:
  // `origins` is null where no listener wants them.
  Outlets(std::span<const Outlet> outlets, uint32_t loose_max,
          std::unique_ptr<origin::Origins> origins);
  // Wiring time. What is taken also goes here.
  void forward_to(Forwarder& forwarder) { forwarder_ = &forwarder; }

  // The receive time of the packets that follow, and the same in ticks (clock.h).
  void begin_pass(int64_t unix_ms, uint32_t ticks);

  // Sends a packet of the Plan's listener `listener`, complete but for arrival and origin. Where
  // the listener wants origins, it may wait for that of `sender`; see Origins for the order.
  // `memory` is the owner of what it lies in, also of one without owner.
  void take(Packet& packet, uint64_t memory, const origin::Credentials& sender, uint16_t listener);
  // Sends those whose origins have come; all that wait, without.
  void settle();
  void give_up();

  // A flow that leads to the shard with the least to do, the same one kSpreadRun times. For packets
  // of a listener that is set to spread; those of one buffer have one flow.
  uint32_t spread_flow();

  // Whether one more packet without owner may go where `flow` leads.
  [[nodiscard]] bool has_room(uint32_t flow) const { return at(flow).loose < loose_max_; }

  // Publishes what is gathered and what was counted, and wakes who sleeps.
  void flush();

  // Calls `free(owner)` for the owners of what the shards have finished.
  template <class Free>
  void reclaim(Free&& free);

 private:
  static constexpr size_t kGather = 64;
  static constexpr size_t kSpreadRun = 32;

  struct Gather {
    PacketRing* ring;
    Sleeper* sleeper;
    size_t loose = 0;  // packets without owner gathered or in the ring
    size_t count = 0;
    std::array<Packet, kGather> packets;
  };

  [[nodiscard]] const Gather& at(uint32_t flow) const {
    return gathers_[uint64_t{flow} * gathers_.size() >> 32];
  }
  void dispatch(const Packet& packet);
  static void send(Gather& g);

  std::vector<Gather> gathers_;
  std::unique_ptr<origin::Origins> origins_;
  Forwarder* forwarder_ = nullptr;  // null: nothing is forwarded
  size_t loose_max_;
  ArrivalClock arrival_;
  size_t spread_turn_ = 0;  // index of a shard
  size_t spread_run_ = 0;   // flows it got in its turn
};

template <class Free>
void Outlets::reclaim(Free&& free) {
  for (Gather& g : gathers_) {
    size_t owned = 0;
    const size_t all = g.ring->reclaim([&](uint64_t owner) {
      ++owned;
      free(owner);
    });
    g.loose -= all - owned;
  }
}

}  // namespace penstock::uring

#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "dataplane/api/plan.h"

namespace penstock {

// What the io thread allocates, for it and for the budget of `penstockd --check`.

// Byte streams that can be open at once: connections and pipes.
inline uint32_t streams_of(const Plan& plan) {
  uint32_t streams = 0;
  for (size_t i = 0; i < plan.listener_count; ++i) {
    const ListenerPlan& l = plan.listeners[i];
    if (l.kind == ListenerKind::kUdsStream) streams += l.connections;
    if (l.kind == ListenerKind::kPipe) ++streams;
  }
  return streams;
}

// Buffers of dogstatsd_buffer_size in which a stream's packet comes together that was cut: one for
// each stream, and as many again as there are receive buffers for those on their way to a shard.
inline uint32_t assemblies_of(const Plan& plan) {
  const uint32_t streams = streams_of(plan);
  return streams == 0 ? 0 : streams + plan.io_buffers;
}

// Packets on their way to one shard that share the receive buffer of a later one. A datagram has a
// buffer of its own, so there are none without streams.
inline uint32_t loose_packets_of(const Plan& plan) {
  return streams_of(plan) == 0 ? 0 : plan.limits.ring_slots;
}

// Packets that may wait for the container of their sender, a power of two: half of the receive
// buffers, so that known senders always have the rest.
inline uint32_t origin_places_of(const Plan& plan) {
  return std::bit_floor(std::max(plan.io_buffers / 2, 1u));
}

// Slots of the ring from the io thread to each shard: for all of these at once, so that it is never
// full.
inline uint32_t io_ring_slots(const Plan& plan) {
  const uint32_t loose = loose_packets_of(plan);
  // Those that waited for their origin come beside the others.
  const uint32_t slots =
      plan.io_buffers + assemblies_of(plan) + loose + (loose == 0 ? 0 : origin_places_of(plan));
  return std::bit_ceil(std::max(slots, 2u));
}

}  // namespace penstock

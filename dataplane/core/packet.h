#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "parsers/simd/kernel.h"

namespace penstock {

// Where a packet came in (spec 1.5); the value is part of the wire between rx, io and shards.
enum class Source : uint8_t { kUdp = 0, kUds = 1, kUdsStream = 2, kPipe = 3 };

// Packet::flags.
inline constexpr uint8_t kPacketEolRequired = 1;  // spec section 4, step 3, holds for its source

// Bytes that may be read, not used, past the end of every packet, so that SIMD loads need no tail
// loop. Whoever fills in a Packet guarantees them: mbuf tailroom, io buffers and test buffers all
// reserve them.
inline constexpr size_t kPacketPadding = simd::kPadding;

// One datagram on its way to a shard: a pointer into a buffer that somebody else owns. Trivially
// copyable, two to a cache line; it crosses a core boundary once, by value, in a ring.
struct alignas(32) Packet {
  const uint8_t* data;  // DogStatsD payload; kPacketPadding readable bytes follow its end
  uint64_t
      owner;  // mbuf or provided-buffer id + 1, for the producer's reclaim; 0 = not its last use
  uint32_t origin;  // origin id of the sender; 0 = none
  uint32_t flow;    // remixed flow hash
  // When it came, by the ArrivalClock of its receive thread (arrival.h): among gauge samples that
  // different shards handled, the latest counts; and how long it took is counted.
  uint32_t arrival;
  uint16_t len;  // bytes of payload
  Source source;
  uint8_t flags;
};
static_assert(sizeof(Packet) == 32 && std::is_trivially_copyable_v<Packet>);

// The time a burst is handled, read once per burst by whoever calls `Shard::process`.
struct Now {
  int64_t unix_ms;
};

}  // namespace penstock

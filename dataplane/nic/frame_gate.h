#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstdint>

#include "dataplane/core/packet.h"
#include "dataplane/nic/rx_queue.h"
#include "dataplane/nic/tally.h"
#include "parsers/packet/decode.h"

namespace penstock {

// Decides on each received frame: a datagram for a shard, or which counter it ends in. Offload
// flags are trusted: GOOD checksums are not computed again, BAD ones are refused, unknown ones
// (every virtual driver) are verified here. One per receive loop.
class FrameGate {
 public:
  enum class Fate : uint8_t {
    kDispatch,  // `packet` is filled in, its owner is the mbuf
    kRefuse,    // counted; free the mbuf
    kAnswer,    // counted as not_ours; the responder may have something to say to it
    kFragment,  // for Reassembly::add, which counts it
  };

  explicit FrameGate(const RxQueue& queue)
      : queue_(queue), packet_flags_(queue.port->eol_required != 0 ? kPacketEolRequired : 0) {}

  // A frame from the NIC: counts it as received, and then in exactly one of the identity's buckets,
  // except `dispatched` and `ring_full`, which whoever takes the packet counts, and fragments.
  Fate inspect(rte_mbuf& frame, uint32_t arrival, Packet& packet, Tally& tally) const {
    ++tally.received;
    return judge(frame, arrival, packet, tally);
  }
  // The same for a datagram joined from fragments, which have been counted as received.
  Fate judge(rte_mbuf& frame, uint32_t arrival, Packet& packet, Tally& tally) const;

 private:
  Fate admit(const rte_mbuf& frame, const packet::Decoded& d, uint32_t arrival, Packet& packet,
             Tally& tally) const;
  Fate admit_fragment(rte_mbuf& frame, const packet::Decoded& d, Tally& tally) const;
  [[nodiscard]] bool is_our_port(uint16_t udp_port) const;
  [[nodiscard]] bool is_our_address(const packet::Decoded& d) const;

  const RxQueue queue_;
  const uint8_t packet_flags_;
};

// Spreads a flow hash over all 32 bits, so that the shard choice (its high bits) does not depend on
// the bits by which the NIC chose the queue.
inline uint32_t remix(uint32_t h) {
  h ^= h >> 16;
  h *= 0x85ebca6b;
  h ^= h >> 13;
  h *= 0xc2b2ae35;
  return h ^ h >> 16;
}

}  // namespace penstock

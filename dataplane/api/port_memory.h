#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "dataplane/api/plan.h"

namespace penstock {

// How much packet memory the ports of a Plan take: the data plane sizes its pools by it, and the
// compiler the `-m` of EAL and the memory budget. Arithmetic, not a guess: a pool never runs dry
// while every bound below holds.

inline constexpr uint32_t kRxBurst = 32;         // frames a pass of a receive loop takes
inline constexpr uint32_t kTxDescriptors = 512;  // a queue; only the responder sends
inline constexpr uint32_t kMbufCache = 256;  // per pool and lcore; DPDK keeps up to 1.5 times that

// net_af_xdp (22.11): frames it leaves with the kernel per queue, whatever the descriptors, and the
// bytes of a buffer with everything that belongs to it: a page, see packet_pool.h.
inline constexpr uint32_t kAfXdpFillFrames = 2048;
inline constexpr uint32_t kAfXdpFrameBytes = 4096;

// Bytes of a buffer beside the frame: headroom, rte_mbuf, pool header.
inline constexpr uint32_t kMbufOverhead = 128 + 128 + 64;

inline bool is_af_xdp(const PortPlan& port) { return port.interface.size != 0; }

// Descriptors of a receive queue's ring to the forwarder; 0: nothing is forwarded.
inline uint32_t forward_ring_slots(const Plan& plan) {
  return plan.forward.target_count == 0 ? 0 : std::bit_ceil(plan.forward.queue);
}

// Buffers one receive queue of `port` needs. A packet may be with its shard and the forwarder at
// once, but nothing makes the two rings hold the same packets.
inline uint32_t mbufs_per_queue(const Plan& plan, const PortPlan& port) {
  const uint32_t with_nic =
      std::max<uint32_t>(port.descriptors, is_af_xdp(port) ? kAfXdpFillFrames : 0) + kTxDescriptors;
  const uint32_t in_rings =
      plan.wiring == Wiring::kPipeline ? plan.limits.ring_slots * plan.shard_count : 0;
  return with_nic + in_rings + forward_ring_slots(plan) + plan.limits.fragments + 2 * kRxBurst +
         kMbufCache * 3 / 2;
}

// Buffers of one receive queue for datagrams joined from fragments.
inline uint32_t datagram_buffers(const Plan& plan) {
  return std::max<uint32_t>(2 * kRxBurst, plan.limits.fragments / 4);
}

// Bytes of data in such a buffer, headroom included: the longest datagram that is not too long,
// behind the longest headers, and the padding that parsers may read. DPDK counts them in 16 bits.
inline uint32_t datagram_room(const Plan& plan) {
  constexpr uint32_t kHeaders = 14 + 2 * 4 + 60 + 8;
  constexpr uint32_t kPadding = 64;
  return std::min<uint32_t>(128 + kHeaders + plan.dogstatsd.buffer_size + kPadding, 65535);
}

// Bytes that joining the fragments of one receive queue takes, beside the fragments.
inline uint64_t joining_bytes(const Plan& plan) {
  constexpr uint64_t kPage = 4096;
  constexpr uint64_t kTable = uint64_t{4} * 256;  // a fragment, in the table of rte_ip_frag
  const uint64_t buffer = (datagram_room(plan) + kMbufOverhead + kPage - 1) / kPage * kPage;
  return datagram_buffers(plan) * buffer + plan.limits.fragments * kTable;
}

// Bytes a frame of `port` may have in one buffer: Ethernet, two VLAN tags, the MTU and the padding
// that parsers may read. A multiple of 1 KiB where NICs want it.
inline uint32_t mbuf_frame_bytes(const PortPlan& port) {
  if (is_af_xdp(port)) return kAfXdpFrameBytes - kMbufOverhead;
  constexpr uint32_t kHeaders = 14 + 2 * 4 + 4;
  constexpr uint32_t kPadding = 64;
  const uint32_t needed = port.mtu + kHeaders + kPadding;
  return std::max<uint32_t>(2048, (needed + 1023) / 1024 * 1024);
}

// Bytes one buffer takes at most. Without hugepages DPDK starts each on a page of its own.
inline uint32_t mbuf_bytes(const PortPlan& port) {
  return std::max<uint32_t>(4096, mbuf_frame_bytes(port) + kMbufOverhead);
}

// The `-m` of EAL, in MiB: every pool with its caches and ring, and EAL itself. Without hugepages
// only what is used of it becomes resident.
inline uint32_t eal_memory_mib(const Plan& plan) {
  constexpr uint64_t kMiB = 1 << 20;
  constexpr uint64_t kEal = 16 * kMiB;
  constexpr uint64_t kPool = 3 * kMiB;  // struct, a cache for each of 128 lcores, ring, rx queue
  uint64_t bytes = kEal;
  for (uint16_t i = 0; i < plan.rx_count; ++i) {
    const PortPlan& port = plan.ports[plan.rx[i].port];
    bytes += 2 * kPool + uint64_t{mbufs_per_queue(plan, port)} * mbuf_bytes(port);
    bytes += joining_bytes(plan);
  }
  return static_cast<uint32_t>((bytes + kMiB - 1) / kMiB);
}

}  // namespace penstock

#pragma once

#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tests/unit/parsers/packet_builder.h"

namespace penstock::testing {

// The far end of a net_ring port, in this process: what `send` puts on the wire the port receives,
// and what it transmits `sent` takes off. EAL must be running. The port's device string is
// "net_ring_<name>". Queues are apart, as by some hash of a NIC's.
class Wire {
 public:
  static constexpr unsigned kSlots = 1024;

  explicit Wire(const std::string& name, unsigned queues = 1) {
    for (unsigned q = 0; q < queues; ++q) {
      in_.push_back(ring(name + "_in" + std::to_string(q)));
      out_.push_back(ring(name + "_out" + std::to_string(q)));
    }
    pool_ = rte_pktmbuf_pool_create((name + "_wire").c_str(), 2 * kSlots, 0, 0, 2176, 0);
    if (pool_ == nullptr) std::abort();
    if (rte_eth_from_rings(name.c_str(), in_.data(), queues, out_.data(), queues, 0) < 0) {
      std::abort();
    }
  }
  // The port is gone by now.
  ~Wire() {
    for (rte_ring* ring : in_) rte_ring_free(ring);
    for (rte_ring* ring : out_) rte_ring_free(ring);
    rte_mempool_free(pool_);
  }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  // `flags` are offload flags of the mbuf, as a NIC would set them.
  void send(const Bytes& frame, uint64_t flags = 0, uint32_t rss = 0, unsigned queue = 0) {
    rte_mbuf* m = rte_pktmbuf_alloc(pool_);
    if (m == nullptr) std::abort();
    std::memcpy(rte_pktmbuf_append(m, static_cast<uint16_t>(frame.size())), frame.data(),
                frame.size());
    m->ol_flags = flags;
    m->hash.rss = rss;
    enqueue(m, queue);
  }
  // A frame in two buffers.
  void send_chained(const Bytes& first, const Bytes& second) {
    rte_mbuf* head = rte_pktmbuf_alloc(pool_);
    rte_mbuf* tail = rte_pktmbuf_alloc(pool_);
    std::memcpy(rte_pktmbuf_append(head, static_cast<uint16_t>(first.size())), first.data(),
                first.size());
    std::memcpy(rte_pktmbuf_append(tail, static_cast<uint16_t>(second.size())), second.data(),
                second.size());
    rte_pktmbuf_chain(head, tail);
    enqueue(head);
  }

  // The frames the port has transmitted since the last call.
  std::vector<Bytes> sent(unsigned queue = 0) {
    std::vector<Bytes> frames;
    rte_mbuf* m;
    while (rte_ring_dequeue(out_[queue], reinterpret_cast<void**>(&m)) == 0) {
      const auto* at = rte_pktmbuf_mtod(m, const uint8_t*);
      frames.emplace_back(at, at + m->data_len);
      rte_pktmbuf_free(m);
    }
    return frames;
  }
  [[nodiscard]] unsigned waiting() const {
    unsigned frames = 0;
    for (const rte_ring* ring : in_) frames += rte_ring_count(ring);
    return frames;
  }
  // Buffers of the wire's pool that nobody gave back.
  [[nodiscard]] unsigned buffers_out() const { return rte_mempool_in_use_count(pool_); }

 private:
  static rte_ring* ring(const std::string& name) {
    rte_ring* made = rte_ring_create(name.c_str(), kSlots, 0, RING_F_SP_ENQ | RING_F_SC_DEQ);
    if (made == nullptr) std::abort();
    return made;
  }
  void enqueue(rte_mbuf* m, unsigned queue = 0) {
    if (rte_ring_enqueue(in_[queue], m) != 0) std::abort();
  }
  std::vector<rte_ring*> in_;  // by queue
  std::vector<rte_ring*> out_;
  rte_mempool* pool_;
};

}  // namespace penstock::testing

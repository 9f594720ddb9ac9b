#pragma once

#include <rte_ip_frag.h>
#include <rte_mbuf.h>

#include <cstdint>
#include <memory>
#include <string_view>

#include "dataplane/base/status.h"
#include "dataplane/nic/tally.h"

namespace penstock {

// Joins the IP fragments of one receive queue to datagrams, with rte_ip_frag. Every fragment given
// to it is in exactly one counter at any time: fragments_waiting until its fate is known, then
// fragments_joined, malformed_fragment, fragments_full or truncated; and one fragment of each
// joined datagram goes on as that datagram, to be counted by the caller. Belongs to the receive
// loop of its queue, between creation and destruction by the keeper.
class Reassembly {
 public:
  // How long the others may take. The pieces of a datagram leave their sender back to back, so a
  // second is many times what any path adds to that; RFC 791 and RFC 8200 would have us wait for up
  // to a minute, and hold that much more of a flood.
  static constexpr uint64_t kLifetimeMs = 1000;
  // The same once `limits.fragments` are waiting: what is as old as this makes room.
  static constexpr uint64_t kLifetimeFullMs = 50;
  // rte_ip_frag keeps that many of a datagram: 8 KiB at an MTU of 1100.
  static constexpr unsigned kPiecesMax = RTE_LIBRTE_IP_FRAG_MAX_FRAG;

  // For at most `fragments` waiting ones; datagrams are joined in `buffers` buffers of `room`
  // bytes, headroom and padding included (port_memory.h). `name` is unique in the process.
  // UNAVAILABLE: no memory on the NUMA node `socket`.
  static absl::StatusOr<std::unique_ptr<Reassembly>> create(std::string_view name,
                                                            uint32_t fragments, uint32_t buffers,
                                                            uint16_t room, int socket);
  // Nothing waits any more, and every joined datagram is freed.
  ~Reassembly();
  Reassembly(const Reassembly&) = delete;
  Reassembly& operator=(const Reassembly&) = delete;

  // Takes over `fragment`, as FrameGate admits them: of a UDP datagram, in one segment, `l2_len`
  // and `l3_len` set. If it is the last that was missing, returns the datagram as one frame in one
  // buffer, which the caller frees; its IP header needs no further check. Otherwise null.
  // `now_ms` is of a clock that never goes back.
  rte_mbuf* add(rte_mbuf& fragment, uint64_t now_ms, Tally& tally);

  // Gives up what has waited for too long. Call it every now and then while some are waiting.
  void expire(uint64_t now_ms, Tally& tally);
  // Gives up everything: nothing more will come.
  void give_up(Tally& tally);

  [[nodiscard]] uint32_t waiting() const { return waiting_; }
  // Whether a datagram was joined here.
  [[nodiscard]] bool owns(const rte_mbuf& datagram) const { return datagram.pool == pool_; }

 private:
  Reassembly() = default;
  bool make_room(uint64_t now_ms, Tally& tally);
  rte_mbuf* join(rte_mbuf& fragment, uint64_t now_ms);
  rte_mbuf* copy(rte_mbuf& chain, Tally& tally);
  void remove_older_than(uint64_t born_ms, int32_t& counter, Tally& tally);
  uint32_t bury(int32_t& counter, Tally& tally);
  void move_waiting(int32_t by, Tally& tally);

  rte_ip_frag_tbl* table_ = nullptr;
  rte_mempool* pool_ = nullptr;  // of joined datagrams
  uint32_t limit_ = 0;
  uint32_t waiting_ = 0;  // fragments in the table
  uint16_t room_ = 0;     // bytes of a frame in a buffer of `pool_`
  rte_ip_frag_death_row dead_{};
};

}  // namespace penstock

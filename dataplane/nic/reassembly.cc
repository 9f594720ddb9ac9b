#include "dataplane/nic/reassembly.h"

#include <rte_errno.h>
#include <rte_ip.h>
#include <rte_mempool.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <limits>
#include <string>

#include "dataplane/api/port_memory.h"
#include "dataplane/base/strings.h"
#include "dataplane/core/packet.h"

namespace penstock {
namespace {

constexpr uint32_t kBucketEntries = 8;

}  // namespace

absl::StatusOr<std::unique_ptr<Reassembly>> Reassembly::create(std::string_view name,
                                                               uint32_t fragments, uint32_t buffers,
                                                               uint16_t room, int socket) {
  std::unique_ptr<Reassembly> r(new Reassembly);
  r->limit_ = fragments;
  r->room_ = static_cast<uint16_t>(room - RTE_PKTMBUF_HEADROOM - kPacketPadding);
  // Twice as many places as can be taken, so that few keys find their buckets full.
  const uint32_t buckets = std::bit_ceil(std::max<uint32_t>(1, fragments / kBucketEntries));
  r->table_ = rte_ip_frag_table_create(buckets, kBucketEntries, fragments, kLifetimeMs, socket);
  r->pool_ = rte_pktmbuf_pool_create(std::string(name).c_str(), buffers, 0, 0, room, socket);
  if (r->table_ == nullptr || r->pool_ == nullptr) {
    return absl::UnavailableError(
        cat("no memory to join fragments (", rte_strerror(rte_errno),
            "); reserve more hugepages (sysctl vm.nr_hugepages), or lower "
            "penstock.limits.fragments or dogstatsd_buffer_size"));
  }
  return r;
}

Reassembly::~Reassembly() {
  if (table_ != nullptr) rte_ip_frag_table_destroy(table_);
  rte_mempool_free(pool_);
}

rte_mbuf* Reassembly::add(rte_mbuf& fragment, uint64_t now_ms, Tally& tally) {
  if (waiting_ >= limit_ && !make_room(now_ms, tally)) {
    ++tally.fragments_full;
    rte_pktmbuf_free(&fragment);
    return nullptr;
  }
  move_waiting(1, tally);
  rte_mbuf* chain = join(fragment, now_ms);
  bury(tally.malformed_fragment, tally);
  if (chain == nullptr) return nullptr;
  move_waiting(-int32_t{chain->nb_segs}, tally);
  tally.fragments_joined += chain->nb_segs - 1;
  rte_mbuf* datagram = copy(*chain, tally);
  rte_pktmbuf_free(chain);
  return datagram;
}

rte_mbuf* Reassembly::join(rte_mbuf& fragment, uint64_t now_ms) {
  auto* l3 = rte_pktmbuf_mtod_offset(&fragment, uint8_t*, fragment.l2_len);
  if (*l3 >> 4 == 4) {
    return rte_ipv4_frag_reassemble_packet(table_, &dead_, &fragment, now_ms,
                                           reinterpret_cast<rte_ipv4_hdr*>(l3));
  }
  return rte_ipv6_frag_reassemble_packet(
      table_, &dead_, &fragment, now_ms, reinterpret_cast<rte_ipv6_hdr*>(l3),
      reinterpret_cast<rte_ipv6_fragment_ext*>(l3 + sizeof(rte_ipv6_hdr)));
}

// The chain in one buffer; or null, and the fragment that completed it is counted.
rte_mbuf* Reassembly::copy(rte_mbuf& chain, Tally& tally) {
  if (chain.pkt_len > room_) {  // longer than dogstatsd_buffer_size
    ++tally.truncated;
    return nullptr;
  }
  rte_mbuf* datagram = rte_pktmbuf_alloc(pool_);
  if (datagram == nullptr) {
    ++tally.fragments_full;
    return nullptr;
  }
  char* to = rte_pktmbuf_append(datagram, static_cast<uint16_t>(chain.pkt_len));
  for (const rte_mbuf* piece = &chain; piece != nullptr; piece = piece->next) {
    std::memcpy(to, rte_pktmbuf_mtod(piece, const char*), piece->data_len);
    to += piece->data_len;
  }
  // The gate checked the header of each fragment; that of the whole has no checksum.
  datagram->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD;
  return datagram;
}

void Reassembly::expire(uint64_t now_ms, Tally& tally) {
  remove_older_than(now_ms - std::min(now_ms, kLifetimeMs), tally.malformed_fragment, tally);
}

void Reassembly::give_up(Tally& tally) {
  remove_older_than(std::numeric_limits<uint64_t>::max() - kLifetimeMs, tally.malformed_fragment,
                    tally);
  assert(waiting_ == 0);
}

bool Reassembly::make_room(uint64_t now_ms, Tally& tally) {
  remove_older_than(now_ms - std::min(now_ms, kLifetimeFullMs), tally.fragments_full, tally);
  return waiting_ < limit_;
}

// The library stops when its list of what to free is full.
void Reassembly::remove_older_than(uint64_t born_ms, int32_t& counter, Tally& tally) {
  do {
    rte_ip_frag_table_del_expired_entries(table_, &dead_, born_ms + kLifetimeMs);
  } while (bury(counter, tally) != 0);
}

// Frees and counts what the library gave up, and says how much. A broken datagram may come as a
// chain of several.
uint32_t Reassembly::bury(int32_t& counter, Tally& tally) {
  uint32_t fragments = 0;
  for (uint32_t i = 0; i < dead_.cnt; ++i) fragments += dead_.row[i]->nb_segs;
  if (fragments == 0) return 0;
  rte_ip_frag_free_death_row(&dead_, 0);
  counter += static_cast<int32_t>(fragments);
  move_waiting(-static_cast<int32_t>(fragments), tally);
  return fragments;
}

void Reassembly::move_waiting(int32_t by, Tally& tally) {
  waiting_ += static_cast<uint32_t>(by);
  tally.fragments_waiting += by;
}

}  // namespace penstock

#include "dataplane/nic/packet_pool.h"

#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_mempool.h>
#include <rte_memzone.h>

#include <cassert>

#include "dataplane/api/port_memory.h"

namespace penstock {
namespace {

uint16_t data_room(const PortPlan& port) {
  return static_cast<uint16_t>(RTE_PKTMBUF_HEADROOM + mbuf_frame_bytes(port));
}

// Fills the pool with the pages of a memzone, which goes with it.
bool populate(rte_mempool* pool, const std::string& name, uint32_t count, int socket) {
  const size_t bytes = size_t{count} * kAfXdpFrameBytes;
  const rte_memzone* zone =
      rte_memzone_reserve_aligned(name.c_str(), bytes, socket, 0, kAfXdpFrameBytes);
  if (zone == nullptr) return false;
  const auto free_zone = [](rte_mempool_memhdr*, void* opaque) {
    rte_memzone_free(static_cast<const rte_memzone*>(opaque));
  };
  void* opaque = const_cast<rte_memzone*>(zone);
  const int n = rte_mempool_populate_virt(pool, static_cast<char*>(zone->addr), bytes,
                                          kAfXdpFrameBytes, free_zone, opaque);
  if (n <= 0) {
    rte_memzone_free(zone);
    rte_errno = -n;
    return false;
  }
  assert(static_cast<uint32_t>(n) == count);
  return true;
}

rte_mempool* make_paged_pool(const std::string& name, uint32_t count, const PortPlan& port,
                             int socket) {
  const uint32_t element = sizeof(rte_mbuf) + data_room(port);
  rte_mempool* pool =
      rte_mempool_create_empty(name.c_str(), count, element, kMbufCache,
                               sizeof(rte_pktmbuf_pool_private), socket, RTE_MEMPOOL_F_NO_SPREAD);
  if (pool == nullptr) return nullptr;
  assert(pool->header_size + pool->elt_size + pool->trailer_size == kAfXdpFrameBytes);
  rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), nullptr);
  rte_pktmbuf_pool_private priv{};
  priv.mbuf_data_room_size = data_room(port);
  rte_pktmbuf_pool_init(pool, &priv);
  if (!populate(pool, name, count, socket)) {
    rte_mempool_free(pool);
    return nullptr;
  }
  rte_mempool_obj_iter(pool, rte_pktmbuf_init, nullptr);
  return pool;
}

}  // namespace

rte_mempool* make_packet_pool(const std::string& name, uint32_t count, const PortPlan& port,
                              int socket) {
  if (is_af_xdp(port)) return make_paged_pool(name, count, port, socket);
  return rte_pktmbuf_pool_create(name.c_str(), count, kMbufCache, 0, data_room(port), socket);
}

}  // namespace penstock

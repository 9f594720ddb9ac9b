#pragma once

#include <cstdint>
#include <string>

#include "dataplane/api/plan.h"

struct rte_mempool;

namespace penstock {

// A new pool of `count` buffers for one receive queue of `port`, on the NUMA node `socket`; null
// and rte_errno if there is no memory. The caller frees it with rte_mempool_free.
//
// net_af_xdp of 22.11 registers `count` times the size of an element with the kernel, from the
// address of the first, but DPDK never lets an element cross a page: with the usual sizes the last
// elements lie outside what the kernel was told, and whatever is received into or sent from them is
// lost. So the elements of its pools are exactly a page, without gaps.
rte_mempool* make_packet_pool(const std::string& name, uint32_t count, const PortPlan& port,
                              int socket);

}  // namespace penstock

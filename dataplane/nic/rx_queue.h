#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "dataplane/api/plan.h"
#include "dataplane/api/stats.h"
#include "dataplane/core/outlet.h"
#include "parsers/packet/reply.h"

struct rte_mempool;

namespace penstock {

class Reassembly;

// What a receive loop has to know of its queue. Set before the loop starts and not changed after.
struct RxQueue {
  uint16_t port_id;  // DPDK's
  uint16_t queue;
  rte_mempool* pool;      // replies come from it; used by this loop's lcore only
  Reassembly* fragments;  // the same
  const PortPlan* port;   // UDP ports and addresses that are ours, responder
  // How often the link came up, for the loop that is to announce our addresses then; null for the
  // others. Written by the keeper.
  const std::atomic<uint32_t>* link_ups;
  packet::Responder us;  // for the responder
  uint32_t buffer_size;  // dogstatsd_buffer_size
  size_t in_nic_max;     // frames the NIC can hold: what a drain takes at most
  SourceStats* stats;    // written by the loop only
  Outlet forward = {};   // the way to the forwarder; null: nothing is forwarded
  // Datagrams joined from fragments that the forwarder may have at a time.
  uint32_t forward_joined_max = 0;
};

}  // namespace penstock

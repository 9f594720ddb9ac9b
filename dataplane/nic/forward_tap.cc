#include "dataplane/nic/forward_tap.h"

#include "dataplane/nic/mbuf_bin.h"

namespace penstock {

void ForwardTap::push(std::span<const Packet> packets, Tally& tally) {
  reclaim();
  const size_t fit = to_.ring->push(packets);
  for (const Packet& p : packets.first(fit)) rte_mbuf_refcnt_update(mbuf_of(p.owner), 1);
  tally.forward_full += static_cast<uint32_t>(packets.size() - fit);
  if (fit != 0) to_.sleeper->wake();
}

void ForwardTap::reclaim() {
  MbufBin bin;
  to_.ring->reclaim([&](uint64_t owner) { bin.add(owner); });
}

}  // namespace penstock

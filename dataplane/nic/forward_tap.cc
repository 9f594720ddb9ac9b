#include "dataplane/nic/forward_tap.h"

#include <algorithm>
#include <array>

#include "dataplane/api/port_memory.h"
#include "dataplane/nic/mbuf_bin.h"
#include "dataplane/nic/reassembly.h"

namespace penstock {

bool ForwardTap::is_joined(uint64_t owner) const { return queue_.fragments->owns(*mbuf_of(owner)); }

void ForwardTap::push(std::span<const Packet> packets, Tally& tally) {
  reclaim();
  std::array<Packet, kRxBurst> taken;
  size_t count = 0;
  for (const Packet& p : packets) {
    // They lie in buffers of their own, of which joining needs the others.
    if (is_joined(p.owner) && joined_ == queue_.forward_joined_max) [[unlikely]]
      continue;
    if (is_joined(p.owner)) ++joined_;
    taken[count++] = p;
  }
  const std::span<const Packet> all(taken.data(), count);
  const size_t fit = queue_.forward.ring->push(all);
  for (const Packet& p : all.first(fit)) rte_mbuf_refcnt_update(mbuf_of(p.owner), 1);
  for (const Packet& p : all.subspan(fit)) joined_ -= is_joined(p.owner) ? 1 : 0;
  tally.forward_full += static_cast<int32_t>(packets.size() - fit);
  if (fit != 0) queue_.forward.sleeper->wake();
}

void ForwardTap::reclaim() {
  MbufBin bin;
  queue_.forward.ring->reclaim([&](uint64_t owner) {
    joined_ -= is_joined(owner) ? 1 : 0;
    bin.add(owner);
  });
}

}  // namespace penstock

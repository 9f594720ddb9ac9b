#include "dataplane/nic/rx_sink.h"

#include <algorithm>
#include <array>
#include <thread>

#include "dataplane/core/emptiest.h"
#include "dataplane/nic/mbuf_bin.h"

namespace penstock {
void InlineSink::dispatch(std::span<const Packet> packets, Now now, Tally& tally) {
  for (const Packet& p : packets) tally.received_bytes += p.len;
  tally.dispatched += static_cast<int32_t>(packets.size());
  worker_.process(packets, now);
  MbufBin bin;
  for (const Packet& p : packets) bin.add(p.owner);
}

void InlineSink::sleep(std::chrono::microseconds limit) {
  Sleeper& sleeper = worker_.sleeper();
  sleeper.prepare();
  if (worker_.has_work()) {
    sleeper.cancel();
  } else {
    sleeper.wait(limit);
  }
}

PipelineSink::PipelineSink(std::span<const Target> targets, bool spread) : spread_(spread) {
  for (const Target& t : targets) gathers_.emplace_back().target = t;
}

void PipelineSink::reclaim(PacketRing& ring) {
  MbufBin bin;
  ring.reclaim([&](uint64_t owner) { bin.add(owner); });
}

size_t PipelineSink::poll(Now /*now*/) {
  for (Gather& g : gathers_) reclaim(*g.target.ring);
  return 0;
}

void PipelineSink::dispatch(std::span<const Packet> packets, Now /*now*/, Tally& tally) {
  if (spread_) {
    turn_ = emptiest(gathers_, turn_, [](const Gather& g) { return g.target.ring->in_flight(); });
    return push(gathers_[turn_].target, packets, tally);
  }
  for (const Packet& p : packets) {
    Gather& g = gathers_[uint64_t{p.flow} * gathers_.size() >> 32];
    g.packets[g.count++] = p;
  }
  for (Gather& g : gathers_) {
    if (g.count == 0) continue;
    push(g.target, {g.packets.data(), g.count}, tally);
    g.count = 0;
  }
}

void PipelineSink::push(const Target& target, std::span<const Packet> packets, Tally& tally) {
  reclaim(*target.ring);
  const size_t fit = target.ring->push(packets);
  if (fit != 0) target.worker->sleeper().wake();
  for (const Packet& p : packets.first(fit)) tally.received_bytes += p.len;
  tally.dispatched += static_cast<int32_t>(fit);
  tally.ring_full += static_cast<int32_t>(packets.size() - fit);
  MbufBin bin;
  for (const Packet& p : packets.subspan(fit)) bin.add(p.owner);
}

void PipelineSink::sleep(std::chrono::microseconds limit) { std::this_thread::sleep_for(limit); }

bool PipelineSink::settling() {
  size_t out = 0;
  for (Gather& g : gathers_) {
    reclaim(*g.target.ring);
    out += g.target.ring->in_flight();
  }
  return out != 0;
}

}  // namespace penstock

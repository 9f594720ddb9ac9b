#include "dataplane/nic/rx_loop.h"

#include <rte_cpuflags.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_pause.h>
#include <rte_power_intrinsics.h>
#include <rte_prefetch.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "dataplane/core/clock.h"
#include "dataplane/nic/reassembly.h"

namespace penstock {
namespace {

// Frames whose headers are on their way to the cache while one is inspected.
constexpr size_t kPrefetchAhead = 4;

// The clock of Reassembly. The packets' own may be set back.
uint64_t steady_ms() { return rte_get_tsc_cycles() / (rte_get_tsc_hz() / 1000); }

void prefetch_header(const rte_mbuf* frame) { rte_prefetch0(rte_pktmbuf_mtod(frame, const void*)); }

}  // namespace

template <class Sink>
RxLoop<Sink>::RxLoop(const RxQueue& queue, IdleMode idle, Sink sink)
    : queue_(queue), idle_(idle), sink_(std::move(sink)), gate_(queue) {
  if (queue.port->responder) replies_.emplace(queue);
  if (queue.forward.ring != nullptr) forward_.emplace(queue);
}

template <class Sink>
void RxLoop<Sink>::run(const RxStop& stop) {
  rte_cpu_intrinsics cpu{};
  rte_cpu_get_intrinsics_support(&cpu);
  IdleLadder ladder(idle_, cpu.power_pause != 0);
  while (!stop.stop_receiving.load(std::memory_order_acquire)) {
    if (pass() != 0) {
      ladder.reset();
      continue;
    }
    rest(ladder.next());
  }
  drain();
  stop.drained.fetch_add(1, std::memory_order_release);
  sink_.finish(stop.stop_shards, idle_);
}

template <class Sink>
void RxLoop<Sink>::rest(IdleLadder::Wait wait) {
  switch (wait.rung) {
    case IdleLadder::Rung::kPause:
      return rte_pause();
    case IdleLadder::Rung::kHalt:
      rte_power_pause(rte_get_tsc_cycles() +
                      rte_get_tsc_hz() / 1'000'000 * IdleLadder::kHalt.count());
      return;
    case IdleLadder::Rung::kSleep:
      return sink_.sleep(wait.sleep);
  }
}

template <class Sink>
size_t RxLoop<Sink>::pass() {
  const Now now = read_clock();
  if (forward_) forward_->reclaim();
  if (queue_.fragments->waiting() != 0) [[unlikely]]
    expire_fragments();
  if (replies_ && replies_->announcement_due(now.unix_ms)) [[unlikely]]
    announce(now.unix_ms);
  return sink_.poll(now) + receive(now);
}

template <class Sink>
void RxLoop<Sink>::expire_fragments() {
  Tally tally;
  queue_.fragments->expire(steady_ms(), tally);
  tally.add_to(*queue_.stats);
}

template <class Sink>
size_t RxLoop<Sink>::receive(Now now) {
  std::array<rte_mbuf*, kRxBurst> frames;
  const uint16_t n = rte_eth_rx_burst(queue_.port_id, queue_.queue, frames.data(), frames.size());
  if (n != 0) burst(std::span(frames).first(n), now);
  return n;
}

template <class Sink>
void RxLoop<Sink>::announce(int64_t unix_ms) {
  Tally tally;
  replies_->announce(unix_ms, tally);
  tally.add_to(*queue_.stats);
}

// The gate's verdict on `frame`, which becomes the datagram that it completes as a fragment, or
// null: then it waits for others, or is refused and freed.
template <class Sink>
FrameGate::Fate RxLoop<Sink>::inspect(rte_mbuf*& frame, uint32_t arrival, Packet& packet,
                                      Tally& tally) {
  const FrameGate::Fate fate = gate_.inspect(*frame, arrival, packet, tally);
  if (fate != FrameGate::Fate::kFragment) [[likely]]
    return fate;
  frame = queue_.fragments->add(*frame, steady_ms(), tally);
  if (frame == nullptr) return fate;
  const FrameGate::Fate whole = gate_.judge(*frame, arrival, packet, tally);
  assert(whole != FrameGate::Fate::kFragment);
  return whole;
}

template <class Sink>
void RxLoop<Sink>::burst(std::span<rte_mbuf* const> frames, Now now) {
  std::array<Packet, kRxBurst> packets;
  std::array<rte_mbuf*, kRxBurst> refused;
  size_t packet_count = 0;
  unsigned refused_count = 0;
  Tally tally;
  arrival_.set(read_ticks());
  for (size_t i = 0; i < std::min(kPrefetchAhead, frames.size()); ++i) prefetch_header(frames[i]);
  for (size_t i = 0; i < frames.size(); ++i) {
    if (i + kPrefetchAhead < frames.size()) prefetch_header(frames[i + kPrefetchAhead]);
    rte_mbuf* frame = frames[i];
    const FrameGate::Fate fate = inspect(frame, arrival_.next(), packets[packet_count], tally);
    if (fate == FrameGate::Fate::kDispatch) {
      ++packet_count;
      continue;
    }
    if (frame == nullptr) continue;
    if (fate == FrameGate::Fate::kAnswer && replies_) {
      replies_->answer({rte_pktmbuf_mtod(frame, const uint8_t*), frame->data_len}, now.unix_ms,
                       tally);
    }
    refused[refused_count++] = frame;
  }
  rte_pktmbuf_free_bulk(refused.data(), refused_count);
  const auto taken = std::span<const Packet>(packets).first(packet_count);
  if (forward_ && !taken.empty()) forward_->push(taken, tally);
  if (!taken.empty()) sink_.dispatch(taken, now, tally);
  tally.add_to(*queue_.stats);
}

// Takes what the NIC held when receiving stopped. A look that finds nothing counts only when no
// buffer is out: a driver without buffers has nothing to show. Bounded, as a port may never run
// dry.
template <class Sink>
void RxLoop<Sink>::drain() {
  size_t taken = 0;
  for (bool dry = false; !dry;) {
    while (sink_.settling()) rte_pause();
    const size_t n = taken < queue_.in_nic_max ? receive(read_clock()) : 0;
    taken += n;
    dry = n == 0;
  }
  Tally tally;
  queue_.fragments->give_up(tally);
  tally.add_to(*queue_.stats);
}

template class RxLoop<InlineSink>;
template class RxLoop<PipelineSink>;

}  // namespace penstock

#include "dataplane/nic/rx_loop.h"

#include <rte_ethdev.h>
#include <rte_pause.h>
#include <rte_prefetch.h>

#include <algorithm>
#include <utility>

#include "dataplane/core/clock.h"
#include "dataplane/nic/idle_ladder.h"

namespace penstock {
namespace {

// Frames whose headers are on their way to the cache while one is inspected.
constexpr size_t kPrefetchAhead = 4;

void prefetch_header(const rte_mbuf* frame) { rte_prefetch0(rte_pktmbuf_mtod(frame, const void*)); }

}  // namespace

template <class Sink>
RxLoop<Sink>::RxLoop(const RxQueue& queue, IdleMode idle, Sink sink)
    : queue_(queue), idle_(idle), sink_(std::move(sink)), gate_(queue) {
  if (queue.port->responder) replies_.emplace(queue);
  if (queue.forward.ring != nullptr) forward_.emplace(queue.forward);
}

template <class Sink>
void RxLoop<Sink>::run(const RxStop& stop) {
  IdleLadder ladder(idle_);
  while (!stop.stop_receiving.load(std::memory_order_acquire)) {
    if (pass() != 0) {
      ladder.reset();
      continue;
    }
    if (const auto limit = ladder.next(); limit.count() != 0) {
      sink_.sleep(limit);
    } else {
      rte_pause();
    }
  }
  drain();
  stop.drained.fetch_add(1, std::memory_order_release);
  sink_.finish(stop.stop_shards, idle_);
}

template <class Sink>
size_t RxLoop<Sink>::pass() {
  const Now now = read_clock();
  if (forward_) forward_->reclaim();
  return sink_.poll(now) + receive(now);
}

template <class Sink>
size_t RxLoop<Sink>::receive(Now now) {
  std::array<rte_mbuf*, kRxBurst> frames;
  const uint16_t n = rte_eth_rx_burst(queue_.port_id, queue_.queue, frames.data(), frames.size());
  if (n != 0) burst(std::span(frames).first(n), now);
  return n;
}

template <class Sink>
void RxLoop<Sink>::burst(std::span<rte_mbuf* const> frames, Now now) {
  std::array<Packet, kRxBurst> packets;
  std::array<rte_mbuf*, kRxBurst> refused;
  size_t packet_count = 0;
  unsigned refused_count = 0;
  Tally tally;
  const auto time_ms = static_cast<uint32_t>(now.unix_ms);
  for (size_t i = 0; i < std::min(kPrefetchAhead, frames.size()); ++i) prefetch_header(frames[i]);
  for (size_t i = 0; i < frames.size(); ++i) {
    if (i + kPrefetchAhead < frames.size()) prefetch_header(frames[i + kPrefetchAhead]);
    rte_mbuf* const frame = frames[i];
    const FrameGate::Fate fate = gate_.inspect(*frame, time_ms, packets[packet_count], tally);
    if (fate == FrameGate::Fate::kDispatch) {
      ++packet_count;
      continue;
    }
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
}

template class RxLoop<InlineSink>;
template class RxLoop<PipelineSink>;

}  // namespace penstock

#pragma once

#include <rte_mbuf.h>

#include <array>
#include <atomic>
#include <optional>
#include <span>

#include "dataplane/api/port_memory.h"
#include "dataplane/core/arrival.h"
#include "dataplane/core/packet.h"
#include "dataplane/nic/forward_tap.h"
#include "dataplane/nic/frame_gate.h"
#include "dataplane/nic/idle_ladder.h"
#include "dataplane/nic/reply_sender.h"
#include "dataplane/nic/rx_queue.h"
#include "dataplane/nic/rx_sink.h"

namespace penstock {

// How the keeper and the receive loops stop. `stop_receiving` and `stop_shards` are written by the
// keeper; each loop adds itself to `drained` once the NIC's packets are with their shards.
struct RxStop {
  const std::atomic<bool>& stop_receiving;
  const std::atomic<bool>& stop_shards;
  std::atomic<size_t>& drained;
};

// One receive queue on its lcore. `Sink` is InlineSink or PipelineSink.
template <class Sink>
class RxLoop {
 public:
  RxLoop(const RxQueue& queue, IdleMode idle, Sink sink);

  // The lcore's thread, until stopped: receives, drains the NIC, and in the inline wiring goes on
  // as the shard's thread.
  void run(const RxStop& stop);

  // One pass: other work, then at most kRxBurst frames. Returns packets and frames handled.
  size_t pass();

 private:
  size_t receive(Now now);
  void rest(IdleLadder::Wait wait);
  FrameGate::Fate inspect(rte_mbuf*& frame, uint32_t arrival, Packet& packet, Tally& tally);
  void expire_fragments();
  void announce(int64_t unix_ms);
  void burst(std::span<rte_mbuf* const> frames, Now now);
  void drain();

  RxQueue queue_;
  IdleMode idle_;
  Sink sink_;
  FrameGate gate_;
  ArrivalClock arrival_;
  std::optional<ReplySender> replies_;
  std::optional<ForwardTap> forward_;
};

extern template class RxLoop<InlineSink>;
extern template class RxLoop<PipelineSink>;

}  // namespace penstock

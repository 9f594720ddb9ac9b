#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/api/port_memory.h"
#include "dataplane/core/packet.h"
#include "dataplane/core/worker.h"
#include "dataplane/nic/tally.h"

namespace penstock {

// The two wirings of a receive loop: where its packets go. Both have the same functions, so that
// the loop is compiled for each and has no branch for it. The loop's thread only.

// Run to completion: the loop is the shard's thread.
class InlineSink {
 public:
  explicit InlineSink(ShardWorker& worker) : worker_(worker) {}

  // Work that did not come from the NIC: the io thread's rings and the epoch. Returns packets
  // handled, and one more while a generation is being cleaned: a large one takes thousands of
  // passes, and the next interval must not wait for it.
  size_t poll(Now now) {
    const size_t handled = worker_.poll(now);
    return handled + (worker_.cleaning() ? 1 : 0);
  }
  // Processes the packets and frees their mbufs.
  void dispatch(std::span<const Packet> packets, Now now, Tally& tally);
  // Sleeps at most `limit`; a producer for this shard or the keeper ends it.
  void sleep(std::chrono::microseconds limit);
  // True while packets are still out with a shard.
  bool settling() { return false; }
  // The rest of the thread's life once the NIC is drained: still the shard's.
  void finish(const std::atomic<bool>& stop_shards, IdleMode idle) {
    worker_.run(stop_shards, idle);
  }

 private:
  ShardWorker& worker_;
};

// Receive cores feed shard cores through rings. A full ring drops the newest packet.
class PipelineSink {
 public:
  // One shard and this loop's ring to it.
  struct Target {
    ShardWorker* worker;
    PacketRing* ring;
  };
  // `spread`: each burst goes whole to the shard that has the least to do.
  PipelineSink(std::span<const Target> targets, bool spread);

  // Frees what the shards are done with. That is no work worth staying awake for: returns 0.
  size_t poll(Now now);
  // Hands each packet to the shard its flow hash names, or all to one, and wakes it.
  void dispatch(std::span<const Packet> packets, Now now, Tally& tally);
  void sleep(std::chrono::microseconds limit);
  bool settling();
  void finish(const std::atomic<bool>& /*stop_shards*/, IdleMode /*idle*/) {}

 private:
  // Packets of one burst for one shard.
  struct Gather {
    Target target;
    uint32_t count = 0;
    std::array<Packet, kRxBurst> packets;
  };
  void push(const Target& target, std::span<const Packet> packets, Tally& tally);
  static void reclaim(PacketRing& ring);

  std::vector<Gather> gathers_;  // by shard
  const bool spread_;
  size_t turn_ = 0;  // spread: of shards with equally little to do, the next after the last
};

}  // namespace penstock

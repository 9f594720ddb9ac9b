#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "dataplane/core/ring.h"
#include "dataplane/core/shard.h"
#include "dataplane/core/sleeper.h"

namespace penstock {

// A shard with the rings that feed it and its way to sleep. In the pipeline wiring it runs on a
// thread of its own (`run`); inline, the receive loop calls `poll` once per pass and hands its own
// bursts to `process` directly.
class ShardWorker {
 public:
  // kShared: a thread that feeds it runs on its CPU, so that looking for packets keeps them from
  // coming.
  enum class Cpu : uint8_t { kOwn, kShared };

  // `senders` as in Shard.
  ShardWorker(const Plan& plan, uint16_t index, ShardStats& stats, std::unique_ptr<Sleeper> sleeper,
              const Senders* senders = nullptr);

  // Wiring time only: a new ring from one producer thread to this shard.
  PacketRing& add_ring(uint32_t slots);

  Shard& shard() { return shard_; }
  Sleeper& sleeper() { return *sleeper_; }

  // The shard's thread. Aggregates a burst, and counts how long its packets took.
  void process(std::span<const Packet> packets, Now now);

  // The shard's thread. One pass: up to a burst from each ring, then `poll_epoch`. Returns packets
  // handled.
  size_t poll(Now now);

  // The shard's thread. True if any ring has packets: the look before sleeping.
  [[nodiscard]] bool has_work() const;

  // The shard's thread. True if the last `poll` left cleaning to do: do not sleep.
  [[nodiscard]] bool cleaning() const { return cleaning_; }

  // Pipeline: loops until `stop` is set *and* every ring is empty; call `sleeper().wake()` after
  // setting it. Sleeps as `idle` allows: adaptive looks a little longer, then sleeps in the
  // Sleeper, on a shared CPU at once; busy never sleeps.
  void run(const std::atomic<bool>& stop, IdleMode idle, Cpu cpu = Cpu::kOwn);

 private:
  void sleep(const std::atomic<bool>& stop);
  void attend_epoch(Now now);

  ShardTimes& times_;
  Shard shard_;
  std::unique_ptr<Sleeper> sleeper_;
  std::vector<std::unique_ptr<PacketRing>> rings_;
  bool cleaning_ = false;
};

}  // namespace penstock

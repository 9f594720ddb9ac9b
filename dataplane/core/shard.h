#pragma once

#include <memory>
#include <span>

#include "dataplane/api/plan.h"
#include "dataplane/api/stats.h"
#include "dataplane/core/packet.h"

namespace penstock {

class Senders;
struct ShardState;

// One shard: owns its memo, contexts and accumulators outright. `process` is the one seam of the
// data plane: pipeline, run-to-completion, benchmarks, simulator, replay and fuzzers all call it.
//
// `process` and `poll_epoch` belong to one thread at a time: the shard's, and after it has been
// joined the keeper's (Sealer::seal_rest).
class Shard {
 public:
  // Everything is allocated here, as the Plan's limits say (memory becomes resident as it is
  // used). `plan` and `stats` outlive the shard. Dies when the address space for it is refused.
  // `senders`, where there is one, knows the origins of the packets and outlives the shard.
  Shard(const Plan& plan, uint16_t index, ShardStats& stats, const Senders* senders = nullptr);
  ~Shard();
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  // The shard's thread only. Splits, parses and aggregates every packet. No allocation, lock,
  // system call, log or exception (RE2 may allocate for a distinct line that mapper profiles see
  // for the first time). Keeps no pointer into a packet after it returns. A burst is at
  // most a few hundred packets.
  void process(std::span<const Packet> packets, Now now);

  // The shard's thread only, at every pass of its loop, also when idle: flips the generation when
  // the keeper asked for it, and cleans and expires a few contexts per call afterwards. Returns
  // true if there is cleaning left to do (do not sleep).
  bool poll_epoch(Now now);

  // The shard's thread only: true if `poll_epoch` has something to do. The look before sleeping;
  // the keeper wakes the shard after `Sealer::begin` and after `Sealer::seal`.
  [[nodiscard]] bool epoch_work() const;

 private:
  friend class Sealer;
  std::unique_ptr<ShardState> state_;
};

}  // namespace penstock

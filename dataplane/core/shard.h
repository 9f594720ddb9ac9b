#pragma once

#include <span>

#include "dataplane/api/plan.h"
#include "dataplane/api/stats.h"
#include "dataplane/core/packet.h"

namespace penstock {

// One shard: owns its memo, contexts and accumulators outright. `process` is the one seam of the
// data plane: pipeline, run-to-completion, benchmarks, simulator, replay and fuzzers all call it.
class Shard {
 public:
  // Everything is allocated here, as the Plan's limits say. `plan` and `stats` outlive the shard.
  Shard(const Plan& plan, uint16_t index, ShardStats& stats);

  // The shard's thread only. Splits, parses and aggregates every packet. No allocation, lock,
  // system call, log or exception. Keeps no pointer into a packet after it returns. A burst is at
  // most a few hundred packets.
  void process(std::span<const Packet> packets, Now now);

  // The shard's thread only, at every pass of its loop, also when idle: flips the generation when
  // the keeper asked for it, and cleans and expires a few contexts per call afterwards. Returns
  // true if there is cleaning left to do (do not sleep long).
  bool poll_epoch(Now now);
};

}  // namespace penstock

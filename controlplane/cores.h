#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "controlplane/compile.h"

namespace penstock {

// Which thread runs where. `rx` in the order of the ports and their queues.
struct CoreLayout {
  uint16_t control = 0;
  uint16_t io = 0;
  Wiring wiring = Wiring::kPipeline;
  std::vector<uint16_t> rx;
  std::vector<uint16_t> shards;  // inline: the same cores as rx
};

// Assigns cores, or says what is impossible and what to change.
//   no port            pipeline: the io thread feeds shard threads, at most four unless asked for
//   1 or 2 data cores  inline: each receive queue runs its own shard; a core left over is the io
//                      thread's
//   more               pipeline: one core for each receive queue, the rest are shards
absl::StatusOr<CoreLayout> lay_out_cores(const Config& config, const MachineFacts& facts,
                                         std::vector<std::string>& notes);

}  // namespace penstock

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

// Assigns cores, or says what is impossible and what to change (INVALID_ARGUMENT). The rules, for
// people, are in docs/configuration.md:
//   control   penstock.cores.control, or the first usable cpu that data does not name
//   wiring    inline with ports and at most two data cores, or no more than receive queues;
//             otherwise pipeline
//   rx        one data core for each queue, on the NUMA node of its port where one is free
//   io        a core of its own where two are left for shards, and where there are kernel sockets;
//             otherwise control's. Inline: the first data core left over
//   shards    the rest, at most kShardsPerFeeder for each queue and the io thread
// Where penstock.cores.data is given, its order is kept (queues, then shards), all of it is used,
// and io is control's unless penstock.cores.io says otherwise.
absl::StatusOr<CoreLayout> lay_out_cores(const Config& config, const MachineFacts& facts,
                                         std::vector<std::string>& notes);

// A receive queue hands over 10 M packets a second, the io thread 1 M; a shard takes 10 M lines a
// second, and packets that come that fast have few lines. More shards than this wait for them.
inline constexpr size_t kShardsPerFeeder = 4;

}  // namespace penstock

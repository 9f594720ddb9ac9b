#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/api/stats.h"

namespace penstock {

// What became of the packets offered to one forward target:
//   offered = sent + queue_full + errors + in_flight + lost_in_crash
// Offered is counted by the sources, the rest by the forwarder, so that the sum proves something.
struct ForwardTally {
  std::string name;
  uint64_t offered = 0;
  uint64_t sent = 0;
  uint64_t queue_full = 0;  // with what found the ring from a port's queue full
  uint64_t errors = 0;
  uint64_t in_flight = 0;  // of a running data plane
  uint64_t lost_in_crash = 0;
  uint64_t datagrams = 0;
  uint64_t bytes = 0;
  int last_errno = 0;  // of the running data plane; 0: no error yet
};

// The targets of data planes that ended, settled, and of the running one, summed by name.
std::vector<ForwardTally> forward_tallies(const std::vector<StatsBlockValues>& departed,
                                          const std::vector<StatsBlockValues>& live);

// Makes the target blocks of a data plane that ended stand for themselves: what was offered and
// what was lost is written into them, as the next one may have other targets.
void settle_forward(std::vector<StatsBlockValues>& blocks);

}  // namespace penstock

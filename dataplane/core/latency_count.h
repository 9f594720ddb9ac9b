#pragma once

#include <cstdint>
#include <span>

#include "dataplane/api/stats.h"
#include "dataplane/core/packet.h"

namespace penstock {

// Counts a burst that was aggregated at `now` (in ticks): all its packets took as long as its
// first, which came first, so that they cost one increment. Arrivals may be a little ahead of the
// clock (arrival.h): then it took no time.
inline void count_latency(std::span<const Packet> burst, uint32_t now, ShardTimes& times) {
  const auto since = static_cast<int32_t>(now - burst.front().arrival);
  const uint32_t ticks = since < 0 ? 0 : static_cast<uint32_t>(since);
  times.latency[latency::bucket_of(ticks)].add(burst.size());
  times.latency_sum_ns.add(burst.size() * ticks * latency::kTickNs);
}

}  // namespace penstock

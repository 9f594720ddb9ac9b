#pragma once

#include <chrono>

#include "dataplane/api/latency.h"
#include "dataplane/core/packet.h"

namespace penstock {

// The wall clock, for whoever handles a burst: once a pass, never once a line.
inline Now read_clock() {
  using std::chrono::duration_cast;
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  return {duration_cast<std::chrono::milliseconds>(since_epoch).count()};
}

// A clock that is never set, the same in every thread, in units of 32 ns: 31 packets a microsecond
// can each have their own, and it wraps after 137 s, several intervals. Once a burst, as that is
// 20 ns.
inline uint32_t read_ticks() {
  const auto since_boot = std::chrono::steady_clock::now().time_since_epoch();
  const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(since_boot).count();
  return static_cast<uint32_t>(static_cast<uint64_t>(ns) / latency::kTickNs);
}

}  // namespace penstock

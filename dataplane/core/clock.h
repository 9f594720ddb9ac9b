#pragma once

#include <chrono>

#include "dataplane/core/packet.h"

namespace penstock {

// The wall clock, for whoever handles a burst: once a pass, never once a line.
inline Now read_clock() {
  using std::chrono::duration_cast;
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  return {duration_cast<std::chrono::milliseconds>(since_epoch).count()};
}

}  // namespace penstock

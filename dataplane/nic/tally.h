#pragma once

#include <cstdint>

#include "dataplane/api/stats.h"

namespace penstock {

// What a burst did to the counters of its source, kept in registers and on the stack, and added to
// the shared block once a burst. One field for each SourceStats counter.
struct Tally {
#define PENSTOCK_FIELD(name) uint32_t name = 0;
  PENSTOCK_SOURCE_COUNTERS(PENSTOCK_FIELD)
#undef PENSTOCK_FIELD

  void add_to(SourceStats& stats) const {
    // NOLINTNEXTLINE(bugprone-macro-parentheses): a member's name cannot be in parentheses
#define PENSTOCK_ADD(name) \
  if ((name) != 0) stats.name.add(name);
    PENSTOCK_SOURCE_COUNTERS(PENSTOCK_ADD)
#undef PENSTOCK_ADD
  }
};

}  // namespace penstock

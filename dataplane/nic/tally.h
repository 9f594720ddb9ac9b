#pragma once

#include <cstdint>

#include "dataplane/api/stats.h"

namespace penstock {

// What a burst did to the counters of its source, kept in registers and on the stack, and added to
// the shared block once a burst. One field for each SourceStats counter; signed, as one of them is
// a level that also falls.
struct Tally {
#define PENSTOCK_FIELD(name) int32_t name = 0;
  PENSTOCK_SOURCE_COUNTERS(PENSTOCK_FIELD)
#undef PENSTOCK_FIELD

  void add_to(SourceStats& stats) const {
    // NOLINTNEXTLINE(bugprone-macro-parentheses): a member's name cannot be in parentheses
#define PENSTOCK_ADD(name) \
  if ((name) != 0) stats.name.add(static_cast<uint64_t>(int64_t{name}));
    PENSTOCK_SOURCE_COUNTERS(PENSTOCK_ADD)
#undef PENSTOCK_ADD
  }
};

}  // namespace penstock

#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "dataplane/api/plan.h"
#include "dataplane/api/segment.h"
#include "dataplane/base/exact_sum.h"
#include "dataplane/core/carry.h"
#include "dataplane/core/lazy_array.h"
#include "dataplane/core/sample_store.h"
#include "dataplane/core/set_members.h"

namespace penstock {

// What a context gathered in one generation.
struct Slot {
  // When a gauge's value came, to find the newest of several shards.
  struct Gauge {
    double value;      // the last finite one; NaN while there is none
    int32_t at_ms;     // from Generation::base_ms
    uint32_t arrival;  // Packet::arrival
  };
  union {
    ExactSum sum;  // counter
    Gauge gauge;
    uint64_t samples;  // histogram, distribution: index in Generation::samples + 1; 0: none
  };
  // Of the context's id: grows each time it is freed, in the slots of both generations, when the
  // shard has both. Kept here because it is looked at with every sample.
  uint32_t incarnation;
  uint32_t seen;  // 0: nothing came; else when the last sample did, kSeenBase + ms from base_ms

  static constexpr uint32_t kSeenBase = 1u << 31;
  [[nodiscard]] bool touched() const { return seen != 0; }
  void see(int32_t offset_ms) { seen = kSeenBase + static_cast<uint32_t>(offset_ms); }
  void clear() { *this = {.sum = {}, .incarnation = incarnation, .seen = 0}; }
};
static_assert(sizeof(Slot) == 24);

// Fetches ahead a slot, of which one in four lies across two cache lines.
inline void prefetch(const Slot& slot) {
  __builtin_prefetch(&slot, 1);
  __builtin_prefetch(&slot.seen, 1);
}

// One of a shard's two sets of accumulators: dense arrays by context id, each with a list of what
// was touched, so that sealing and cleaning cost what was active.
struct Generation {
  static constexpr int64_t kNoBase = INT64_MIN;  // nothing came yet

  explicit Generation(const LimitsPlan& limits, uint32_t contexts)
      : slots(contexts),
        touched(contexts),
        samples(contexts),
        sets(limits.set_members),
        carry(limits.carry_bytes) {}

  [[nodiscard]] int32_t offset_of(int64_t unix_ms) const {
    constexpr int64_t kMax = std::numeric_limits<int32_t>::max();
    return static_cast<int32_t>(std::clamp<int64_t>(unix_ms - base_ms, -kMax, kMax));
  }
  [[nodiscard]] int64_t seen_ms(uint32_t id) const {
    return base_ms + slots[id].seen - int64_t{Slot::kSeenBase};
  }

  LazyArray<Slot> slots;
  LazyArray<uint32_t> touched;
  LazyArray<Samples> samples;
  SetMembers sets;
  CarryBuffer carry;
  uint32_t touched_count = 0;
  uint32_t samples_count = 0;
  uint32_t contexts_high = 0;  // ContextTable::high() when it was sealed
  int64_t base_ms = kNoBase;   // Unix; when it was opened
  uint64_t sample_count = 0;   // aggregated + overflow + timestamped
};

}  // namespace penstock

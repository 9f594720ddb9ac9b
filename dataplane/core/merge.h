#pragma once

#include <cstdint>
#include <span>

#include "dataplane/api/plan.h"
#include "dataplane/api/segment.h"
#include "dataplane/core/late_sketches.h"

namespace penstock {

struct Generation;
struct ShardState;

// A generation the keeper may read, and what it needs to know of its shard at that time.
struct Sealed {
  const ShardState* shard;
  const Generation* generation;
  uint32_t epoch;  // in which it was sealed; contexts born later have nothing to do with it
};

// Merges the sealed generations by canonical key and kind and writes a row for each
// context with samples, and a zero for each counter without that was seen less than
// counter_expiry_s before `bucket_start` (Unix s). The distributions of `late` are of this bucket,
// too. A shard may be there with both of its generations. Keeper's thread, holding every one of
// them (EpochCell), or while their shards have no thread. Returns the bins that sketch_bins had no
// room for (sketch::normalize).
uint64_t merge_generations(std::span<const Sealed> sealed, int64_t bucket_start, const Plan& plan,
                           const LateSketches::Bucket& late, segment::Writer& writer);

}  // namespace penstock

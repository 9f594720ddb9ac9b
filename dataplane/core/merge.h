#pragma once

#include <cstdint>
#include <span>

#include "dataplane/api/plan.h"
#include "dataplane/api/segment.h"
#include "dataplane/core/late_sketches.h"

namespace penstock {

struct ShardState;

// Merges the sealed generations of `shards` by canonical key and kind and writes a row for each
// context with samples, and a zero for each counter without that was seen less than
// counter_expiry_s before `bucket_start` (Unix s). The distributions of `late` are of this bucket,
// too. Keeper's thread, holding every one of the generations (EpochCell). Returns the bins that
// sketch_bins had no room for (sketch::normalize).
uint64_t merge_generations(std::span<ShardState* const> shards, int64_t bucket_start,
                           const Plan& plan, const LateSketches::Bucket& late,
                           segment::Writer& writer);

}  // namespace penstock

#pragma once

#include <cstdint>
#include <memory>

#include "dataplane/api/plan.h"

namespace penstock {

// A Plan with `shards` pipeline shards, small limits and no source, to be completed by the test and
// sealed by `finish_plan`.
inline std::unique_ptr<Plan> small_plan(uint16_t shards) {
  auto plan = make_plan();
  plan->shard_count = shards;
  for (uint16_t i = 0; i < shards; ++i) plan->shards[i].rx = -1;
  plan->interval_s = 10;
  plan->dogstatsd.buffer_size = 1024;
  plan->dogstatsd.context_expiry_s = 20;
  plan->dogstatsd.counter_expiry_s = 300;
  plan->limits = {.contexts = 256,
                  .context_bytes = 1 << 16,
                  .memo_bytes = 1 << 16,
                  .sample_bytes = 1 << 16,
                  .set_members = 64,
                  .carry_bytes = 1 << 16,
                  .ring_slots = 64,
                  .fragments = 64,
                  .origins = 64,
                  .segments_held = 4,
                  .segment_bytes_held = 1 << 20};
  return plan;
}

}  // namespace penstock

#pragma once

#include <atomic>
#include <cstdint>

namespace penstock {

// How keeper and shard hand a generation over without stopping. Epochs count from 1; epoch
// `at + 1` is the one being filled, epoch `at` the last one sealed. Its data belongs to
//   the shard   while it fills it, and again once drained >= at (to clean it),
//   the keeper  from at >= epoch (acquire) until it stores drained = epoch (release).
// The shard seals epoch `want` only when the generation it turns to has been drained and cleaned,
// so at - 1 <= drained <= at <= want <= at + 1.
struct EpochCell {
  alignas(64) std::atomic<uint32_t> want{0};  // keeper writes, shard reads
  std::atomic<uint32_t> drained{0};           // keeper writes, shard reads
  // End of the bucket that epoch `drained` went to, Unix ms. Keeper writes, before `drained`; shard
  // reads.
  std::atomic<int64_t> bucket_end_ms{0};
  alignas(64) std::atomic<uint32_t> at{0};  // shard writes, keeper reads
};

}  // namespace penstock

#pragma once

#include <bit>
#include <cstdint>

#include "dataplane/api/plan.h"

namespace penstock {

// What the tables of a shard, and the keeper while it seals, take at their bounds, for the memory
// budget. The data plane asserts that these are the sizes it uses. Bytes.

// A context besides its strings: table entry and free id; in each generation the slot, the place in
// the touched list, and the sums of a histogram or distribution.
inline constexpr uint64_t kContextEntryBytes = 32 + 4;
inline constexpr uint64_t kContextSlotBytes = 24 + 4;
inline constexpr uint64_t kContextSamplesBytes = 80;
inline constexpr uint64_t kContextBytes =
    kContextEntryBytes + 2 * (kContextSlotBytes + kContextSamplesBytes);
inline constexpr uint64_t kContextCellBytes = 8;  // of the index
// The arena of keys: its slabs, from context_bytes of 256 KiB on, and what is kept beside each.
inline constexpr uint64_t kKeySlabBytes = 1024;
inline constexpr uint64_t kKeySlabEntryBytes = 16;
inline constexpr uint64_t kCopyBytes = 12;  // where a histogram is copied to
inline constexpr uint64_t kSetMemberBytes = 16;
inline constexpr uint64_t kSetCellBytes = 4;
// What does not depend on limits: scratch of the parser, the enricher and the sample store.
inline constexpr uint64_t kShardFixedBytes = uint64_t{4} << 20;

inline constexpr uint32_t kOverflowContextsMax = 5;

// Contexts of a shard and the cells of the index that finds them, at most half of them in use.
inline uint64_t contexts_of(const LimitsPlan& limits) {
  return uint64_t{limits.contexts} + kOverflowContextsMax;
}
inline uint64_t context_cells_of(const LimitsPlan& limits) {
  return std::bit_ceil(contexts_of(limits) * 2);
}

// Strings of the contexts of a shard. The smaller slabs of a smaller arena are in kShardFixedBytes.
inline uint64_t context_bytes_of(const LimitsPlan& limits) {
  return limits.context_bytes + limits.context_bytes / kKeySlabBytes * kKeySlabEntryBytes;
}

// Members of sets of one generation, with their index.
inline uint64_t set_bytes_of(const LimitsPlan& limits) {
  return limits.set_members * kSetMemberBytes +
         std::bit_ceil(uint64_t{limits.set_members} * 2 + 1) * kSetCellBytes;
}

// Origin detection: a container that packets came from, with the index of its name; a process whose
// container is remembered.
inline constexpr uint64_t kSenderBytes = 274 + 160;
inline constexpr uint64_t kProcessBytes = 16;

// A context's row in a Segment that is being written, without strings and samples: packed columns,
// tag set and index.
inline constexpr uint64_t kRowBytes = 112;
// What joining several shards takes besides, for each context of each.
inline constexpr uint64_t kJoinBytes = 16 + 32;

}  // namespace penstock

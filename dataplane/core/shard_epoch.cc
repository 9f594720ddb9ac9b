#include <algorithm>
#include <cassert>

#include "dataplane/core/shard_state.h"

namespace penstock {
namespace {

// Work of one poll, one or two microseconds; as often as many bytes came since the one before, so
// that a shard whose passes are long is clean before the next flip as well. Bytes: of lines, each
// may have thousands of values.
constexpr uint32_t kSlotsPerPoll = 128;
constexpr uint32_t kAhead = 8;  // slots are fetched before they are looked at
constexpr uint32_t kMembersPerPoll = 512;
constexpr uint32_t kIdsPerPoll = 512;
constexpr uint64_t kBytesOfPoll = 16'384;  // some 10 us of lines with five tags
constexpr uint64_t kPollsAtOnce = 512;

}  // namespace

bool ShardState::epoch_work() const {
  if (cleaned_epoch != sealed_epoch)
    return cell.drained.load(std::memory_order_acquire) == sealed_epoch;
  return cell.want.load(std::memory_order_acquire) != sealed_epoch;
}

bool ShardState::poll_epoch(Now at) {
  if (!epoch_work()) [[likely]]
    return false;
  now = at;
  if (cleaned_epoch == sealed_epoch) {
    flip();
    return false;
  }
  clean();
  return cleaned_epoch != sealed_epoch || epoch_work();
}

void ShardState::flip() {
  assert(cleaned_epoch == sealed_epoch && phase == Phase::kIdle);
  open().contexts_high = contexts.high();
  ++sealed_epoch;
  open().base_ms = now.unix_ms;
  stats.flips.add(1);
  cell.at.store(sealed_epoch, std::memory_order_release);
}

// One step of giving back what the drained generation held, and then of looking for contexts that
// have not been seen for too long.
void ShardState::clean() {
  const uint64_t bytes_now = stats.bytes.get();
  if (phase == Phase::kIdle) clean_bytes = bytes_now;
  const auto polls =
      static_cast<uint32_t>(std::min(1 + (bytes_now - clean_bytes) / kBytesOfPoll, kPollsAtOnce));
  clean_bytes = bytes_now;
  switch (phase) {
    case Phase::kIdle:
      phase = Phase::kSlots;
      clean_cursor = 0;
      // Not later than the buckets are: those that are still to come may need a context for a zero.
      clean_ms = std::min(now.unix_ms, cell.bucket_end_ms.load(std::memory_order_relaxed));
      [[fallthrough]];
    case Phase::kSlots:
      if (clean_slots(polls * kSlotsPerPoll)) phase = Phase::kSets;
      return;
    case Phase::kSets:
      if (!sealed().sets.clear(polls * kMembersPerPoll)) return;
      sealed().carry.clear();
      phase = Phase::kExpire;
      clean_cursor = ContextTable::kOverflowContexts;
      return;
    case Phase::kExpire:
      if (!expire(polls * kIdsPerPoll)) return;
      phase = Phase::kIdle;
      cleaned_epoch = sealed_epoch;
      return;
  }
}

bool ShardState::clean_slots(uint32_t slots) {
  Generation& generation = sealed();
  const uint32_t end = std::min(clean_cursor + slots, generation.touched_count);
  for (; clean_cursor < end; ++clean_cursor) {
    const uint32_t ahead = generation.touched[std::min(clean_cursor + kAhead, end - 1)];
    prefetch(generation.slots[ahead]);
    __builtin_prefetch(&contexts.at(ahead), 1);
    const uint32_t id = generation.touched[clean_cursor];
    Slot& slot = generation.slots[id];
    contexts.set_last_seen(id, generation.seen_ms(id));
    const segment::Kind kind = contexts.at(id).kind;
    const bool has_samples =
        kind == segment::Kind::kHistogram || kind == segment::Kind::kDistribution;
    if (has_samples && slot.samples != 0) store.release(generation.samples[slot.samples - 1]);
    slot.clear();
  }
  if (clean_cursor != generation.touched_count) return false;
  generation.touched_count = 0;
  generation.samples_count = 0;
  generation.sample_count = 0;
  return true;
}

// Spec 8.2. A context touched in the open generation is alive, whatever its last drained sample.
bool ShardState::expire(uint32_t ids) {
  const int64_t ttl_ms = int64_t{plan.dogstatsd.context_expiry_s} * 1000;
  const int64_t counter_ms = int64_t{plan.dogstatsd.counter_expiry_s} * 1000;
  const uint32_t end = std::min(clean_cursor + ids, contexts.high());
  uint64_t expired = 0;
  for (; clean_cursor < end; ++clean_cursor) {
    const uint32_t id = clean_cursor;
    if (contexts.born(id) == ContextTable::kFree || open().slots[id].touched()) continue;
    const ContextTable::Context& c = contexts.at(id);
    const int64_t ttl = ttl_ms + (c.kind == segment::Kind::kCounter ? counter_ms : 0);
    if (c.last_seen_ms + ttl >= clean_ms) continue;
    contexts.remove(id);
    for (Generation& generation : generations) ++generation.slots[id].incarnation;
    ++expired;
  }
  if (expired != 0) {
    stats.contexts_expired.add(expired);
    stats.contexts.set(contexts.live());
  }
  return clean_cursor >= contexts.high();
}

}  // namespace penstock

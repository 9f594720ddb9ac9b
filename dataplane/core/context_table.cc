#include "dataplane/core/context_table.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <string>

#include "dataplane/core/context_key.h"
#include "dataplane/core/hash.h"

namespace penstock {
namespace {

// Room for the overflow contexts besides that for others: their keys are as long as the host and
// this. In a small arena each may come to have a slab of its own, or a run of slabs; to a large one
// that is nothing.
constexpr size_t kOverflowKeyRest = 64;
uint64_t overflow_bytes(size_t host_size) {
  const uint64_t smallest = uint64_t{1} << KeyArena::kSlabBitsMin;
  return ContextTable::kOverflowContexts *
         std::max(smallest, std::bit_ceil(uint64_t{host_size} + kOverflowKeyRest));
}

}  // namespace

ContextTable::ContextTable(uint32_t contexts, uint64_t key_bytes, uint64_t seed,
                           std::string_view host)
    : seed_(seed),
      slots_(std::bit_ceil((uint64_t{contexts} + kOverflowContexts) * 2)),
      mask_(static_cast<uint32_t>(slots_.size() - 1)),
      contexts_(size_t{contexts} + kOverflowContexts),
      free_ids_(size_t{contexts} + kOverflowContexts),
      arena_(key_bytes + overflow_bytes(host.size())) {
  for (uint32_t kind = 0; kind < kOverflowContexts; ++kind) {
    const auto k = static_cast<segment::Kind>(kind);
    const std::string tag = "kind:" + std::string(kind_name(k));
    const std::string_view tags[] = {tag};
    std::string key(host.size() + 128, '\0');
    key.resize(encode_key("penstock.overflow", host, tags, key.data()));
    find_or_create(key, k, 0);
  }
  live_ = 0;
}

ContextTable::Found ContextTable::find_or_create(std::string_view key, segment::Kind kind,
                                                 uint32_t epoch) {
  const auto hash = static_cast<uint32_t>(hash_bytes(key, seed_));
  bool clash = false;
  uint32_t i = hash & mask_;
  for (; slots_[i].id != 0; i = (i + 1) & mask_) {
    if (slots_[i].hash != hash) continue;
    const uint32_t id = slots_[i].id - 1;
    if (this->key(id) != key) continue;
    if (contexts_[id].kind == kind) return {id, false, false};
    clash = true;
  }
  const uint32_t id = create(key, kind, epoch, hash);
  if (id == kFree) return {static_cast<uint32_t>(kind), false, false};
  slots_[i] = {hash, id + 1};
  return {id, true, clash};
}

// kFree: a limit is reached.
uint32_t ContextTable::create(std::string_view key, segment::Kind kind, uint32_t epoch,
                              uint32_t hash) {
  if (free_count_ == 0 && high_ == contexts_.size()) {
    ++turned_away_by_count_;
    return kFree;
  }
  uint64_t offset = 0;
  if (!arena_.allocate(key, offset)) {
    ++turned_away_by_bytes_;
    return kFree;
  }
  const uint32_t id = take_id();
  Context& c = contexts_[id];
  c.last_seen_ms = kNever;
  c.key_offset = offset;
  c.key_size = static_cast<uint32_t>(key.size());
  c.hash = hash;
  c.kind = kind;
  set_born(id, epoch);
  ++live_;
  return id;
}

uint32_t ContextTable::take_id() {
  if (free_count_ != 0) return free_ids_[--free_count_];
  return high_++;
}

void ContextTable::remove(uint32_t id) {
  assert(!is_overflow(id) && born(id) != kFree);
  const Context& c = contexts_[id];
  uint32_t i = c.hash & mask_;
  while (slots_[i].id != id + 1) i = (i + 1) & mask_;
  // Close the gap: move back every later entry of the run that may lie there.
  for (uint32_t j = (i + 1) & mask_; slots_[j].id != 0; j = (j + 1) & mask_) {
    const uint32_t home = slots_[j].hash & mask_;
    if (((j - home) & mask_) < ((j - i) & mask_)) continue;
    slots_[i] = slots_[j];
    i = j;
  }
  slots_[i] = {};
  arena_.free(c.key_offset);
  set_born(id, kFree);
  free_ids_[free_count_++] = id;
  --live_;
  ++room_stamp_;
}

std::string_view kind_name(segment::Kind kind) {
  switch (kind) {
    case segment::Kind::kCounter:
      return "counter";
    case segment::Kind::kGauge:
      return "gauge";
    case segment::Kind::kSet:
      return "set";
    case segment::Kind::kHistogram:
      return "histogram";
    case segment::Kind::kDistribution:
      return "distribution";
  }
  return "";
}

}  // namespace penstock

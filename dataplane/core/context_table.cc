#include "dataplane/core/context_table.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <string>

#include "dataplane/core/context_key.h"
#include "dataplane/core/hash.h"

namespace penstock {

uint8_t KeyArena::class_of(size_t bytes) {
  if (bytes <= 16) return 0;
  // Rounds up to m * 2^e with m in 4..7.
  const size_t n = bytes - 1;
  const auto exponent = static_cast<size_t>(std::bit_width(n)) - 3;
  const size_t mantissa = (n >> exponent) + 1;  // 5..8
  return static_cast<uint8_t>((exponent - 2) * 4 + mantissa - 4);
}

size_t KeyArena::class_bytes(uint8_t size_class) {
  return (size_t{size_class} % 4 + 4) << (size_class / 4 + 2);
}

bool KeyArena::allocate(std::string_view key, Place& out) {
  const uint8_t size_class = class_of(key.size());
  uint64_t& head = free_[size_class];
  const size_t bytes = class_bytes(size_class);
  if (head != 0) {
    out = {head - 1, size_class};
    std::memcpy(&head, bytes_.data() + out.offset, sizeof head);
  } else if (bytes_.size() - used_ >= bytes) {
    out = {used_, size_class};
    used_ += bytes;
  } else {
    return false;
  }
  std::memcpy(bytes_.data() + out.offset, key.data(), key.size());
  return true;
}

void KeyArena::free(const Place& place) {
  std::memcpy(bytes_.data() + place.offset, &free_[place.size_class], sizeof(uint64_t));
  free_[place.size_class] = place.offset + 1;
}

ContextTable::ContextTable(uint32_t contexts, uint64_t key_bytes, uint64_t seed,
                           std::string_view host)
    : seed_(seed),
      slots_(std::bit_ceil((uint64_t{contexts} + kOverflowContexts) * 2)),
      mask_(static_cast<uint32_t>(slots_.size() - 1)),
      contexts_(size_t{contexts} + kOverflowContexts),
      free_ids_(size_t{contexts} + kOverflowContexts),
      arena_(key_bytes + host.size() * size_t{kOverflowContexts} + 1024) {
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
  KeyArena::Place place;
  if (!arena_.allocate(key, place)) {
    ++turned_away_by_bytes_;
    return kFree;
  }
  const uint32_t id = take_id();
  Context& c = contexts_[id];
  c.last_seen_ms = kNever;
  c.key_offset = place.offset;
  c.key_size = static_cast<uint32_t>(key.size());
  c.hash = hash;
  c.kind = kind;
  c.size_class = place.size_class;
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
  arena_.free({c.key_offset, c.size_class});
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

#include "dataplane/core/line_memo.h"

#include <algorithm>

namespace penstock {
namespace {

size_t bucket_count(uint64_t bytes, size_t bucket_bytes) {
  return std::bit_floor(std::max<uint64_t>(bytes / 8 / bucket_bytes, 1));
}

}  // namespace

LineMemo::LineMemo(uint64_t bytes, uint64_t seed)
    : seed_(seed),
      buckets_(bucket_count(bytes, sizeof(Bucket))),
      log_(std::max<uint64_t>(bytes - std::min(bytes, buckets_.size() * sizeof(Bucket)), 4096) /
           kUnit * kUnit) {}

size_t LineMemo::entry_bytes(size_t key_bytes) {
  return (sizeof(Entry) + key_bytes + kUnit - 1) / kUnit * kUnit;
}

LineMemo::Entry* LineMemo::find(uint64_t hash, uint32_t origin, std::string_view name,
                                std::string_view suffix) {
  const Bucket& bucket = buckets_[bucket_of(hash)];
  for (uint32_t i = 0; i < kSlots; ++i) {
    if (bucket.tags[i] != tag_of(hash) || bucket.units[i] == 0) continue;
    Entry* e = entry_at(bucket.units[i]);
    if (matches(*e, origin, name, suffix)) return e;
  }
  return nullptr;
}

uint32_t LineMemo::insert(uint64_t hash, uint32_t origin, std::string_view name,
                          std::string_view suffix, const LineTarget& target) {
  const size_t bytes = entry_bytes(name.size() + suffix.size());
  if (bytes > log_.size() / 8) return 0;
  uint32_t evicted = make_room(bytes);

  const auto unit = static_cast<uint32_t>(head_ / kUnit + 1);
  Entry* e = entry_at(unit);
  e->target = target;
  e->bucket = static_cast<uint32_t>(bucket_of(hash));
  e->origin = origin;
  e->name_size = static_cast<uint16_t>(name.size());
  e->suffix_size = static_cast<uint16_t>(suffix.size());
  char* key = reinterpret_cast<char*>(e + 1);
  std::memcpy(key, name.data(), name.size());
  std::memcpy(key + name.size(), suffix.data(), suffix.size());
  head_ += bytes;

  Bucket& bucket = buckets_[e->bucket];
  bool replaced = false;
  const uint32_t slot = claim_slot(bucket, replaced);
  bucket.tags[slot] = tag_of(hash);
  bucket.units[slot] = unit;
  return evicted + (replaced ? 1 : 0);
}

// Takes out of the index what the next `bytes` at head_ would overwrite, going back to the start of
// the log where they do not fit before its end.
uint32_t LineMemo::make_room(size_t bytes) {
  uint32_t evicted = 0;
  const auto drop_until = [&](size_t limit) {
    while (tail_ < end_ && tail_ < limit) {
      const Entry* e = reinterpret_cast<const Entry*>(log_.data() + tail_);
      const size_t size = entry_bytes(size_t{e->name_size} + e->suffix_size);
      evicted += drop(tail_) ? 1 : 0;
      tail_ += size;
    }
  };
  if (head_ + bytes > log_.size()) {
    drop_until(end_);
    end_ = head_;
    head_ = 0;
    tail_ = 0;
  }
  drop_until(head_ + bytes);
  return evicted;
}

// False if the index no longer points there: a full bucket gave its slot away before.
bool LineMemo::drop(size_t offset) {
  const Entry* e = reinterpret_cast<const Entry*>(log_.data() + offset);
  const auto unit = static_cast<uint32_t>(offset / kUnit + 1);
  Bucket& bucket = buckets_[e->bucket];
  for (uint32_t i = 0; i < kSlots; ++i) {
    if (bucket.units[i] != unit) continue;
    bucket.units[i] = 0;
    return true;
  }
  return false;
}

// A free slot of the bucket, or that of its oldest entry.
uint32_t LineMemo::claim_slot(Bucket& bucket, bool& evicted) {
  const auto head = static_cast<uint32_t>(head_ / kUnit + 1);
  uint32_t oldest = 0;
  uint32_t oldest_age = 0;
  for (uint32_t i = 0; i < kSlots; ++i) {
    if (bucket.units[i] == 0) return i;
    const auto laps = static_cast<uint32_t>(log_.size() / kUnit);
    const uint32_t age = (head + laps - bucket.units[i]) % laps;
    if (age >= oldest_age) {
      oldest = i;
      oldest_age = age;
    }
  }
  evicted = true;
  return oldest;
}

}  // namespace penstock

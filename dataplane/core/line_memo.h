#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "dataplane/core/hash.h"
#include "dataplane/core/lazy_array.h"

namespace penstock {

// What a known line means: everything about it but its values.
struct LineTarget {
  uint32_t id;  // context
  // Of the id; a stale one makes the entry a miss. Of an overflow context: room_stamp(). Of a
  // filtered line: that of no slot.
  uint32_t incarnation;
  double inverse_rate;  // 1 / rate; 1 where the rate is bad or absent
  uint8_t kind;         // segment::Kind
  uint8_t bad_rate;     // 1: the rate as sent was bad
  uint8_t filtered;     // 1: its samples are left out (spec 7.6); there is no context
};

// The line memo: (origin, name, suffix) as the client sent them -> LineTarget, compared in full on
// every hit. Log-structured: keys lie in a cyclic byte log in the order they came; when the log
// wraps, the entries about to be overwritten are taken out of the index, so eviction is exact,
// oldest first, and O(1) per insertion. The index is buckets of one cache line. One thread.
class LineMemo {
 public:
  struct Entry {
    LineTarget target;
    uint32_t bucket;
    uint32_t origin;
    uint16_t name_size;
    uint16_t suffix_size;
    // The key's bytes, name then suffix, follow.
    [[nodiscard]] const char* key() const { return reinterpret_cast<const char*>(this + 1); }
  };

  // `bytes` are shared by log and index, 7 to 1 or so.
  LineMemo(uint64_t bytes, uint64_t seed);

  // Of two hashes that do not wait for each other.
  [[nodiscard]] uint64_t hash(uint32_t origin, std::string_view name,
                              std::string_view suffix) const {
    return hash_bytes(name, seed_ + origin) ^ std::rotl(hash_bytes(suffix, ~seed_), 32);
  }

  void prefetch(uint64_t hash) const { __builtin_prefetch(&buckets_[bucket_of(hash)]); }

  // The first entry whose tag fits, unseen so far, or null.
  [[nodiscard]] Entry* candidate(uint64_t hash) {
    const Bucket& bucket = buckets_[bucket_of(hash)];
    const uint32_t tag = tag_of(hash);
    for (uint32_t i = 0; i < kSlots; ++i) {
      if (bucket.tags[i] == tag && bucket.units[i] != 0) return entry_at(bucket.units[i]);
    }
    return nullptr;
  }

  [[nodiscard]] static bool matches(const Entry& e, uint32_t origin, std::string_view name,
                                    std::string_view suffix) {
    return e.name_size == name.size() && e.suffix_size == suffix.size() && e.origin == origin &&
           std::memcmp(e.key(), name.data(), name.size()) == 0 &&
           std::memcmp(e.key() + name.size(), suffix.data(), suffix.size()) == 0;
  }

  // The entry of exactly this line, or null.
  [[nodiscard]] Entry* find(uint64_t hash, uint32_t origin, std::string_view name,
                            std::string_view suffix);

  // Adds a line that `find` does not know. Lines longer than an eighth of the log are not kept.
  // Returns the number of entries evicted to make room.
  uint32_t insert(uint64_t hash, uint32_t origin, std::string_view name, std::string_view suffix,
                  const LineTarget& target);

 private:
  static constexpr uint32_t kSlots = 8;
  static constexpr size_t kUnit = 16;  // of log offsets, so that 32 bits reach 64 GiB
  struct Bucket {
    std::array<uint32_t, kSlots> tags;
    std::array<uint32_t, kSlots> units;  // log offset / kUnit + 1; 0: free
  };
  static_assert(sizeof(Bucket) == 64);

  [[nodiscard]] size_t bucket_of(uint64_t hash) const { return hash & (buckets_.size() - 1); }
  static uint32_t tag_of(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }
  [[nodiscard]] Entry* entry_at(uint32_t unit) {
    return reinterpret_cast<Entry*>(log_.data() + (size_t{unit} - 1) * kUnit);
  }
  static size_t entry_bytes(size_t key_bytes);
  uint32_t make_room(size_t bytes);
  bool drop(size_t offset);
  uint32_t claim_slot(Bucket& bucket, bool& evicted);

  const uint64_t seed_;
  LazyArray<Bucket> buckets_;
  LazyArray<char> log_;
  size_t head_ = 0;  // next write
  size_t tail_ = 0;  // oldest entry of the lap before, where one remains (tail_ < end_)
  size_t end_ = 0;   // where that lap ended
};

}  // namespace penstock

#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "dataplane/api/segment.h"
#include "dataplane/core/key_arena.h"
#include "dataplane/core/lazy_array.h"

namespace penstock {

// The contexts of one shard: canonical key and kind -> dense, stable id. Bounded by count and by
// key bytes (KeyArena says when a key is refused). The first kKinds ids are the overflow contexts,
// one a kind, into which samples of contexts beyond a limit are folded; they never expire.
//
// The shard's thread writes. The keeper reads, unsynchronised, contexts that were born in an epoch
// it holds: those are freed only after it let the epoch go (EpochCell).
class ContextTable {
 public:
  static constexpr uint32_t kOverflowContexts = segment::kKinds;

  struct Context {
    int64_t last_seen_ms;  // of the last drained generation; kNever
    uint64_t key_offset;
    uint32_t key_size;
    uint32_t hash;
    uint32_t born;  // epoch; kFree while the id is free. Accessed through atomic_ref
    segment::Kind kind;
  };
  static_assert(sizeof(Context) == 32);  // two a cache line
  static constexpr uint32_t kFree = UINT32_MAX;
  static constexpr int64_t kNever = INT64_MIN;

  ContextTable(uint32_t contexts, uint64_t key_bytes, uint64_t seed, std::string_view host);

  struct Found {
    uint32_t id;
    bool created;
    bool clash;  // created beside one of another kind
  };
  // The context, created if it is new. Where a limit is reached: the overflow context of the kind.
  Found find_or_create(std::string_view key, segment::Kind kind, uint32_t epoch);

  // Frees an id that is live and no overflow context. The caller makes what is remembered of it
  // stale (Slot::incarnation).
  void remove(uint32_t id);

  [[nodiscard]] const Context& at(uint32_t id) const { return contexts_[id]; }
  [[nodiscard]] std::string_view key(uint32_t id) const {
    return {arena_.at(contexts_[id].key_offset), contexts_[id].key_size};
  }
  void set_last_seen(uint32_t id, int64_t unix_ms) { contexts_[id].last_seen_ms = unix_ms; }

  // Epoch in which the context of this id was born, kFree if there is none. Any of the two threads.
  [[nodiscard]] uint32_t born(uint32_t id) const {
    auto& field = const_cast<uint32_t&>(contexts_[id].born);
    return std::atomic_ref<uint32_t>(field).load(std::memory_order_relaxed);
  }

  // Ids ever used are [0, high()).
  [[nodiscard]] uint32_t high() const { return high_; }
  // Live contexts, the overflow contexts not counted.
  [[nodiscard]] uint32_t live() const { return live_; }
  // Changes when there may be room again for contexts that were turned away. From 1.
  [[nodiscard]] uint32_t room_stamp() const { return room_stamp_; }
  // How often a new context was turned away, by the limit that was reached.
  [[nodiscard]] uint64_t turned_away_by_count() const { return turned_away_by_count_; }
  [[nodiscard]] uint64_t turned_away_by_bytes() const { return turned_away_by_bytes_; }
  [[nodiscard]] static bool is_overflow(uint32_t id) { return id < kOverflowContexts; }

 private:
  struct Slot {
    uint32_t hash;
    uint32_t id;  // + 1; 0: empty
  };
  uint32_t take_id();
  uint32_t create(std::string_view key, segment::Kind kind, uint32_t epoch, uint32_t hash);
  void set_born(uint32_t id, uint32_t epoch) {
    std::atomic_ref<uint32_t>(contexts_[id].born).store(epoch, std::memory_order_relaxed);
  }

  const uint64_t seed_;
  LazyArray<Slot> slots_;
  const uint32_t mask_;
  LazyArray<Context> contexts_;
  LazyArray<uint32_t> free_ids_;
  uint32_t free_count_ = 0;
  uint32_t high_ = 0;
  uint32_t live_ = 0;
  uint32_t room_stamp_ = 1;
  uint64_t turned_away_by_count_ = 0;
  uint64_t turned_away_by_bytes_ = 0;
  KeyArena arena_;
};

// "counter", "gauge", "set", "histogram", "distribution".
std::string_view kind_name(segment::Kind kind);

}  // namespace penstock

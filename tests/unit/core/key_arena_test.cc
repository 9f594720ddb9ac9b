// What KeyArena promises: bytes of live keys stay, and when it may refuse one.
#include "dataplane/core/key_arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace penstock {
namespace {

// Allocates until one is refused.
std::vector<uint64_t> fill(KeyArena& arena, size_t size) {
  std::vector<uint64_t> offsets;
  for (uint64_t offset = 0; arena.allocate(std::string(size, 'k'), offset);)
    offsets.push_back(offset);
  return offsets;
}

void free_all(KeyArena& arena, const std::vector<uint64_t>& offsets) {
  for (const uint64_t offset : offsets) arena.free(offset);
}

constexpr uint64_t kSizesOfArenas[] = {8192, 64 << 10, 300 << 10, (1 << 20) + 5000};

TEST(KeyArena, TakesKeysOfOneLengthUntilItIsFull) {
  for (const uint64_t bytes : kSizesOfArenas) {
    for (const size_t size : {0, 1, 16, 17, 31, 33, 80, 150, 230, 512, 513, 1000, 4096, 5000}) {
      KeyArena arena(bytes);
      const uint64_t slab = arena.slab_bytes();
      EXPECT_GE(arena.slabs() * slab, bytes);
      const size_t fits = size <= slab ? arena.slabs() * (slab / std::max<size_t>(size, 16))
                                       : arena.slabs() / std::bit_ceil((size + slab - 1) / slab);
      EXPECT_EQ(fill(arena, size).size(), fits) << size << " of " << bytes;
    }
  }
}

TEST(KeyArena, IsAsGoodAsNewForKeysOfAnyLengthOnceAllAreFreed) {
  std::mt19937 random(1);
  const size_t sizes[] = {40, 60, 1, 100, 511, 513, 4097, 20'000};
  for (const uint64_t bytes : kSizesOfArenas) {
    KeyArena used(bytes);
    for (const size_t before : sizes) {
      for (const size_t after : sizes) {
        auto offsets = fill(used, before);
        std::ranges::shuffle(offsets, random);
        free_all(used, offsets);
        KeyArena fresh(bytes);
        const auto again = fill(used, after);
        ASSERT_EQ(again.size(), fill(fresh, after).size()) << before << " -> " << after;
        free_all(used, again);
      }
    }
  }
}

// The arena beside a std::map that knows what it must hold.
class Churn {
 public:
  Churn(uint64_t arena_bytes, uint32_t seed) : arena_(arena_bytes), random_(seed) {}

  uint32_t random(size_t below) { return static_cast<uint32_t>(random_() % below); }
  [[nodiscard]] const KeyArena& arena() const { return arena_; }
  [[nodiscard]] size_t live() const { return order_.size(); }

  bool add(size_t size) {
    std::string key = std::to_string(++added_);
    key.resize(size, static_cast<char>('a' + added_ % 26));
    uint64_t offset = 0;
    if (!arena_.allocate(key, offset)) return false;
    const auto [it, is_new] = live_.emplace(offset, std::move(key));
    EXPECT_TRUE(is_new);
    if (it != live_.begin()) {
      EXPECT_LE(std::prev(it)->first + std::prev(it)->second.size(), offset);
    }
    if (std::next(it) != live_.end()) {
      EXPECT_LE(offset + size, std::next(it)->first);
    }
    EXPECT_LE(offset + size, arena_.slabs() * arena_.slab_bytes());
    order_.push_back(offset);
    return true;
  }

  // Frees one of them, checked, and returns its size.
  size_t drop() {
    const size_t at = random(order_.size());
    const auto it = live_.find(order_[at]);
    const size_t size = it->second.size();
    EXPECT_EQ(std::string_view(arena_.at(it->first), size), it->second);
    arena_.free(it->first);
    live_.erase(it);
    order_[at] = order_.back();
    order_.pop_back();
    return size;
  }

  void check_contents() const {
    for (const auto& [offset, key] : live_)
      ASSERT_EQ(std::string_view(arena_.at(offset), key.size()), key);
  }

  // Slabs in which a live key begins.
  [[nodiscard]] size_t slabs_in_use() const {
    std::set<uint64_t> slabs;
    for (const auto& [offset, key] : live_) slabs.insert(offset / arena_.slab_bytes());
    return slabs.size();
  }

 private:
  KeyArena arena_;
  std::mt19937 random_;
  std::map<uint64_t, std::string> live_;  // by offset
  std::vector<uint64_t> order_;           // their offsets, in any order
  uint32_t added_ = 0;
};

// In phases, each of keys of other lengths, of which a tenth lives on into the next, so that slabs
// change their class beside others that cannot.
void churn(uint64_t arena_bytes, bool long_keys) {
  Churn churn(arena_bytes, 7);
  const uint64_t slab = churn.arena().slab_bytes();
  const auto goal = static_cast<int>(std::min<uint64_t>(arena_bytes / 16, 25'000));
  uint64_t refused = 0;
  for (int phase = 0; phase < 8; ++phase) {
    const size_t longest = size_t{30} << churn.random(5);
    for (int i = 0; i < goal; ++i) {
      if (churn.live() != 0 && churn.random(100) < 30) churn.drop();
      const bool is_long = long_keys && churn.random(50) == 0;
      const size_t size = is_long ? slab + 1 + churn.random(3 * slab) : 10 + churn.random(longest);
      if (churn.add(size) || is_long || size > slab) continue;
      ++refused;
      // No slab is empty, and any block that is long enough would have served.
      if (!long_keys && refused % 256 == 1) {
        ASSERT_EQ(churn.slabs_in_use(), churn.arena().slabs());
      }
      if (churn.drop() >= size) {
        ASSERT_TRUE(churn.add(size)) << size;
      }
    }
    churn.check_contents();
    for (const size_t rest = churn.live() / 10; churn.live() > rest;) churn.drop();
  }
  EXPECT_GT(refused, 100u) << "it was never full";
}

TEST(KeyArena, KeepsLiveKeysAndRefusesOnlyWhenNoSlabIsEmpty) {
  for (const uint64_t bytes : kSizesOfArenas) churn(bytes, false);
}

TEST(KeyArena, KeepsLiveKeysBesideRunsOfSlabs) {
  for (const uint64_t bytes : kSizesOfArenas) churn(bytes, true);
}

}  // namespace
}  // namespace penstock

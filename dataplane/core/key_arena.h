#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/core/lazy_array.h"

namespace penstock {

// Bytes of keys, bounded: slabs of one size, each cut into equal blocks, as many as hold the key
// for which it is cut. It stays cut like that only while one of its blocks is used, so that what
// keys of one length gave back serves those of any other. A key that is longer than a slab takes a
// run of whole ones.
//
// A key that fits into a slab is refused only while every slab holds a live key and no slab has a
// free block that is long enough. A longer key is refused only while there is no free run of as
// many slabs, rounded up to a power of two and aligned to it. An arena without live keys is as good
// as a new one, whatever was in it.
//
// Offsets are bytes, and valid until freed. One thread allocates and frees; another may read live
// keys: they never move, and nothing is written to their bytes.
class KeyArena {
 public:
  // Rounded up to whole slabs.
  explicit KeyArena(uint64_t bytes);

  // False: refused.
  bool allocate(std::string_view key, uint64_t& offset);
  void free(uint64_t offset);
  [[nodiscard]] const char* at(uint64_t offset) const { return bytes_.data() + offset; }
  [[nodiscard]] uint64_t slab_bytes() const { return uint64_t{1} << slab_bits_; }
  [[nodiscard]] uint32_t slabs() const { return static_cast<uint32_t>(slabs_.size()); }

  // Short, since a few keys that live on keep a slab as it is cut; shorter still in a small arena,
  // so that there are enough of them for keys of all lengths.
  static constexpr int kSlabBitsMin = 9;
  static constexpr int kSlabBitsMax = 10;

  // What is kept beside a slab, since its own bytes are all for keys.
  struct Slab {
    uint32_t next;        // in its list; of the first of a run in use: slabs of the run
    uint32_t prev;        // in its list
    uint16_t free_block;  // newest block that was freed, bytes from the slab's start; kNoBlock
    uint16_t carved;      // blocks, from the front, that have been in use since the slab was empty
    uint16_t used;        // blocks
    uint8_t blocks;       // that it is cut into; 0: the first of a run
    uint8_t free_order;   // + 1, of the free run it is the first of; 0: of none
  };
  static_assert(sizeof(Slab) == 16);

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint16_t kNoBlock = UINT16_MAX;
  static constexpr uint64_t kBlockBytesMin = 16;
  static constexpr size_t kBlocksMax = (size_t{1} << kSlabBitsMax) / kBlockBytesMin;
  static constexpr size_t kOrders = 32;

  // That a slab for such keys is cut into; 0: the key is longer than a slab.
  [[nodiscard]] size_t blocks_for(size_t key_size) const {
    return slab_bytes() / std::max(key_size, kBlockBytesMin);
  }
  [[nodiscard]] uint32_t slabs_for(uint64_t bytes) const {
    return static_cast<uint32_t>((bytes + slab_bytes() - 1) >> slab_bits_);
  }
  static bool is_full(const Slab& slab) {
    return slab.free_block == kNoBlock && slab.carved == slab.blocks;
  }
  void link(uint32_t& head, uint32_t slab);
  void unlink(uint32_t& head, uint32_t slab);
  uint32_t slab_with_room(size_t blocks);
  uint64_t take_block(uint32_t from);
  uint32_t take_run(uint32_t count);
  void give_back(uint32_t first, uint32_t count);
  void free_run(uint32_t first, uint8_t order);

  const int slab_bits_;
  LazyArray<char> bytes_;
  LazyArray<Slab> slabs_;
  // Lists of slabs. Those with used and free blocks, by how many they are cut into; the first of
  // runs of 2^i free ones, aligned to as many.
  std::array<uint32_t, kBlocksMax + 1> with_room_;
  std::array<uint32_t, kOrders> free_runs_;
};

}  // namespace penstock

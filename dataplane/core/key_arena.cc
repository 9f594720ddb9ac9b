#include "dataplane/core/key_arena.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace penstock {
namespace {

// 256 slabs at least, if the bounds of their size allow it.
int slab_bits_of(uint64_t bytes) {
  return std::clamp(static_cast<int>(std::bit_width(bytes / 256)) - 1, KeyArena::kSlabBitsMin,
                    KeyArena::kSlabBitsMax);
}

}  // namespace

KeyArena::KeyArena(uint64_t bytes)
    : slab_bits_(slab_bits_of(bytes)),
      bytes_(uint64_t{slabs_for(bytes)} << slab_bits_),
      slabs_(slabs_for(bytes)) {
  with_room_.fill(kNone);
  free_runs_.fill(kNone);
  give_back(0, slabs());
}

bool KeyArena::allocate(std::string_view key, uint64_t& offset) {
  if (const size_t blocks = blocks_for(key.size()); blocks != 0) {
    const uint32_t from = slab_with_room(blocks);
    if (from == kNone) return false;
    offset = take_block(from);
  } else {
    const uint32_t count = slabs_for(key.size());
    const uint32_t first = take_run(count);
    if (first == kNone) return false;
    slabs_[first].blocks = 0;
    slabs_[first].next = count;
    offset = uint64_t{first} << slab_bits_;
  }
  std::memcpy(bytes_.data() + offset, key.data(), key.size());
  return true;
}

void KeyArena::free(uint64_t offset) {
  const auto at = static_cast<uint32_t>(offset >> slab_bits_);
  Slab& slab = slabs_[at];
  if (slab.blocks == 0) return give_back(at, slab.next);
  const bool was_full = is_full(slab);
  if (--slab.used == 0) {
    if (!was_full) unlink(with_room_[slab.blocks], at);
    return give_back(at, 1);
  }
  std::memcpy(bytes_.data() + offset, &slab.free_block, sizeof slab.free_block);
  slab.free_block = static_cast<uint16_t>(offset & (slab_bytes() - 1));
  if (was_full) link(with_room_[slab.blocks], at);
}

// One that is cut into so many blocks; else an empty one, cut now; else, before a key is refused,
// the one with the shortest of longer blocks. kNone: none of them.
uint32_t KeyArena::slab_with_room(size_t blocks) {
  if (with_room_[blocks] != kNone) return with_room_[blocks];
  const uint32_t empty = take_run(1);
  if (empty == kNone) {
    while (blocks != 0 && with_room_[blocks] == kNone) --blocks;
    return blocks == 0 ? kNone : with_room_[blocks];
  }
  slabs_[empty].free_block = kNoBlock;
  slabs_[empty].carved = 0;
  slabs_[empty].used = 0;
  slabs_[empty].blocks = static_cast<uint8_t>(blocks);
  link(with_room_[blocks], empty);
  return empty;
}

// Its offset in the arena.
uint64_t KeyArena::take_block(uint32_t from) {
  Slab& slab = slabs_[from];
  uint64_t offset = uint64_t{from} << slab_bits_;
  if (slab.free_block != kNoBlock) {
    offset += slab.free_block;
    std::memcpy(&slab.free_block, bytes_.data() + offset, sizeof slab.free_block);
  } else {
    offset += slab.carved++ * (slab_bytes() / slab.blocks);
  }
  ++slab.used;
  if (is_full(slab)) unlink(with_room_[slab.blocks], from);
  return offset;
}

// Of the shortest free run that is long enough, the front: long runs last, and memory that was
// never touched is touched last. kNone: there is none.
uint32_t KeyArena::take_run(uint32_t count) {
  const auto order = static_cast<size_t>(std::bit_width(count - 1));
  size_t found = order;
  while (found < kOrders && free_runs_[found] == kNone) ++found;
  if (found >= kOrders) return kNone;
  const uint32_t first = free_runs_[found];
  unlink(free_runs_[found], first);
  slabs_[first].free_order = 0;
  give_back(first + count, (uint32_t{1} << found) - count);
  return first;
}

// Frees these slabs, in runs as long as their place allows.
void KeyArena::give_back(uint32_t first, uint32_t count) {
  while (count != 0) {
    const int order =
        std::min(std::countr_zero(first), static_cast<int>(std::bit_width(count)) - 1);
    free_run(first, static_cast<uint8_t>(order));
    first += uint32_t{1} << order;
    count -= uint32_t{1} << order;
  }
}

// Joins the run with its neighbour of the same length as long as that is free, as a buddy allocator
// does.
void KeyArena::free_run(uint32_t first, uint8_t order) {
  for (;; ++order) {
    const uint32_t buddy = first ^ (uint32_t{1} << order);
    if (buddy >= slabs() || slabs_[buddy].free_order != order + 1) break;
    unlink(free_runs_[order], buddy);
    slabs_[buddy].free_order = 0;
    first = std::min(first, buddy);
  }
  slabs_[first].free_order = static_cast<uint8_t>(order + 1);
  link(free_runs_[order], first);
}

void KeyArena::link(uint32_t& head, uint32_t slab) {
  slabs_[slab].prev = kNone;
  slabs_[slab].next = head;
  if (head != kNone) slabs_[head].prev = slab;
  head = slab;
}

void KeyArena::unlink(uint32_t& head, uint32_t slab) {
  const Slab& s = slabs_[slab];
  (s.prev == kNone ? head : slabs_[s.prev].next) = s.next;
  if (s.next != kNone) slabs_[s.next].prev = s.prev;
}

}  // namespace penstock

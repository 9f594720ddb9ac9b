#include "dataplane/core/ring.h"

#include <bit>
#include <cassert>
#include <cstring>
#include <new>

namespace penstock {
namespace {

// Slots of distance at each end of the array, so that the first and the last share no pair of
// cache lines with somebody else's memory.
constexpr size_t kPadSlots = 4;

}  // namespace

PacketRing::PacketRing(uint32_t slots, uint32_t first)
    : mask_(slots - 1),
      producer_{.head = first, .reclaim = first, .tail_seen = first},
      head_(first),
      consumer_{.tail = first, .head_seen = first},
      tail_(first) {
  assert(std::has_single_bit(slots));
  const size_t bytes = (slots + 2 * kPadSlots) * sizeof(Packet);
  void* memory = ::operator new (bytes, std::align_val_t{kApart});
  std::memset(memory, 0, bytes);
  slots_ = static_cast<Packet*>(memory) + kPadSlots;
}

PacketRing::~PacketRing() { ::operator delete (slots_ - kPadSlots, std::align_val_t{kApart}); }

size_t PacketRing::push(std::span<const Packet> packets) {
  Producer& p = producer_;
  const size_t room = slots() - (p.head - p.reclaim);
  const size_t n = std::min(packets.size(), room);
  if (n == 0) return 0;
  const uint32_t at = p.head & mask_;
  const size_t before_wrap = std::min<size_t>(n, slots() - at);
  std::memcpy(slots_ + at, packets.data(), before_wrap * sizeof(Packet));
  std::memcpy(slots_, packets.data() + before_wrap, (n - before_wrap) * sizeof(Packet));
  p.head += static_cast<uint32_t>(n);
  head_.store(p.head, std::memory_order_release);
  return n;
}

std::span<const Packet> PacketRing::peek(size_t max, size_t skip) {
  Consumer& c = consumer_;
  const uint32_t from = c.tail + static_cast<uint32_t>(skip);
  if (c.head_seen == from) c.head_seen = head_.load(std::memory_order_acquire);
  const uint32_t at = from & mask_;
  const size_t n = std::min<size_t>({c.head_seen - from, slots() - at, max});
  return {slots_ + at, n};
}

void PacketRing::finish(size_t n) {
  Consumer& c = consumer_;
  assert(n <= c.head_seen - c.tail);
  c.tail += static_cast<uint32_t>(n);
  tail_.store(c.tail, std::memory_order_release);
}

}  // namespace penstock

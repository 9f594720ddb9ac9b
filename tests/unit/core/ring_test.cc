#include "dataplane/core/ring.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace penstock {
namespace {

Packet packet(uint64_t owner, uint32_t flow = 0) {
  Packet p{};
  p.owner = owner;
  p.flow = flow;
  return p;
}

std::vector<Packet> packets(uint64_t first, size_t count) {
  std::vector<Packet> out;
  for (size_t i = 0; i < count; ++i) out.push_back(packet(first + i));
  return out;
}

std::vector<uint64_t> owners(std::span<const Packet> burst) {
  std::vector<uint64_t> out;
  for (const Packet& p : burst) out.push_back(p.owner);
  return out;
}

using Owners = std::vector<uint64_t>;

Owners reclaim(PacketRing& ring, size_t max = SIZE_MAX) {
  Owners freed;
  ring.reclaim([&](uint64_t owner) { freed.push_back(owner); }, max);
  return freed;
}

TEST(PacketRing, StartsEmpty) {
  PacketRing ring(8);
  EXPECT_TRUE(ring.empty());
  EXPECT_EQ(ring.slots(), 8u);
  EXPECT_EQ(ring.in_flight(), 0u);
  EXPECT_TRUE(ring.peek(8).empty());
  EXPECT_EQ(reclaim(ring), Owners{});
  EXPECT_EQ(ring.push({}), 0u);
}

TEST(PacketRing, OwnersComeHomeOnlyAfterFinish) {
  PacketRing ring(8);
  ASSERT_EQ(ring.push(packets(1, 3)), 3u);
  EXPECT_FALSE(ring.empty());
  EXPECT_EQ(owners(ring.peek(8)), (Owners{1, 2, 3}));
  EXPECT_EQ(reclaim(ring), Owners{}) << "peeked is not finished";
  ring.finish(2);
  EXPECT_EQ(reclaim(ring), (Owners{1, 2}));
  EXPECT_EQ(ring.in_flight(), 1u);
  EXPECT_EQ(owners(ring.peek(8)), Owners{3});
  ring.finish(1);
  EXPECT_TRUE(ring.empty());
  EXPECT_EQ(reclaim(ring), Owners{3});
  EXPECT_EQ(ring.in_flight(), 0u);
}

TEST(PacketRing, RoomCountsFromReclaim) {
  PacketRing ring(4);
  EXPECT_EQ(ring.push(packets(1, 6)), 4u) << "takes what fits";
  EXPECT_EQ(ring.push(packets(9, 1)), 0u);
  ring.finish(ring.peek(4).size());
  EXPECT_EQ(ring.push(packets(9, 1)), 0u) << "finished, but its owners are not freed yet";
  EXPECT_EQ(reclaim(ring, 3), (Owners{1, 2, 3}));
  EXPECT_EQ(ring.push(packets(5, 4)), 3u);
  EXPECT_EQ(ring.in_flight(), 4u);
}

TEST(PacketRing, PeekStopsAtTheWrapAndAtMax) {
  PacketRing ring(4);
  ring.push(packets(1, 3));
  ring.finish(ring.peek(4).size());
  reclaim(ring);
  ASSERT_EQ(ring.push(packets(4, 4)), 4u);
  EXPECT_EQ(owners(ring.peek(4)), Owners{4}) << "contiguous up to the end of the array";
  ring.finish(1);
  EXPECT_EQ(owners(ring.peek(2)), (Owners{5, 6}));
  ring.finish(2);
  EXPECT_EQ(owners(ring.peek(2)), Owners{7});
  ring.finish(1);
  EXPECT_EQ(reclaim(ring), (Owners{4, 5, 6, 7}));
}

TEST(PacketRing, OwnerZeroIsReclaimedButNotFreed) {
  PacketRing ring(4);
  const std::vector<Packet> two_of_one_buffer = {packet(0), packet(7)};
  ring.push(two_of_one_buffer);
  ring.finish(ring.peek(4).size());
  EXPECT_EQ(ring.reclaim([](uint64_t owner) { EXPECT_EQ(owner, 7u); }), 2u);
  EXPECT_EQ(ring.in_flight(), 0u);
}

// Two threads, bursts of every size: each packet arrives once, in order, and each buffer is
// reused only after the consumer finished with it. The buffers' contents are plain memory, so that
// ThreadSanitizer sees a missing edge.
TEST(PacketRing, TwoThreadsKeepOrderAndBuffers) {
  constexpr uint32_t kPackets = 200'000;
  constexpr size_t kBuffers = 48;
  PacketRing ring(64);
  std::vector<uint32_t> buffers(kBuffers);

  std::thread consumer([&] {
    uint32_t expected = 0;
    while (expected < kPackets) {
      const auto burst = ring.peek(1 + expected % 17);
      for (const Packet& p : burst) {
        ASSERT_EQ(p.flow, expected);
        ASSERT_EQ(buffers[p.owner - 1], expected) << "buffer overwritten while in use";
        ++expected;
      }
      if (burst.empty()) {
        std::this_thread::yield();
      } else {
        ring.finish(burst.size());
      }
    }
  });

  std::vector<uint64_t> free_owners;
  for (size_t i = 0; i < kBuffers; ++i) free_owners.push_back(i + 1);
  uint32_t sent = 0;
  std::vector<Packet> burst;
  while (sent < kPackets) {
    burst.clear();
    while (burst.size() < 1 + sent % 13 && !free_owners.empty() && sent < kPackets) {
      const uint64_t owner = free_owners.back();
      free_owners.pop_back();
      buffers[owner - 1] = sent;
      burst.push_back(packet(owner, sent++));
    }
    ASSERT_EQ(ring.push(burst), burst.size()) << "more slots than buffers: never full";
    ring.reclaim([&](uint64_t owner) { free_owners.push_back(owner); });
    if (free_owners.empty()) std::this_thread::yield();
  }
  consumer.join();
  ring.reclaim([&](uint64_t owner) { free_owners.push_back(owner); });
  EXPECT_EQ(free_owners.size(), kBuffers);
  EXPECT_EQ(ring.in_flight(), 0u);
}

// The counters run freely over 2^32; packets before, at and after the wrap are like any others.
TEST(PacketRing, CountersWrap) {
  for (const uint32_t slots : {1u, 8u, 64u}) {
    PacketRing ring(slots, UINT32_MAX - 500);
    EXPECT_TRUE(ring.empty());
    uint64_t next = 1, seen = 1, freed = 1;
    for (uint32_t lap = 0; lap < 1'000; ++lap) {
      const size_t pushed = ring.push(packets(next, 1 + lap % slots));
      ASSERT_EQ(pushed, 1 + lap % slots);
      next += pushed;
      ASSERT_EQ(ring.in_flight(), pushed);
      for (auto burst = ring.peek(slots); !burst.empty(); burst = ring.peek(slots)) {
        for (const Packet& p : burst) ASSERT_EQ(p.owner, seen++);
        ring.finish(burst.size());
      }
      ring.reclaim([&](uint64_t owner) { ASSERT_EQ(owner, freed++); });
    }
    EXPECT_EQ(next, freed);
  }
}

}  // namespace
}  // namespace penstock

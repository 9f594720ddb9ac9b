// The memory budget's arithmetic against what a shard maps.
#include "dataplane/api/shard_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "tests/support/shard_harness.h"

namespace penstock {
namespace {

// Address space of this process, bytes.
uint64_t mapped() {
  uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

uint64_t budget(const Plan& plan) {
  const LimitsPlan& l = plan.limits;
  uint64_t bytes = contexts_of(l) * kContextBytes + context_cells_of(l) * kContextCellBytes;
  bytes += context_bytes_of(l) + l.memo_bytes + l.sample_bytes + 2 * set_bytes_of(l);
  bytes += 2 * l.carry_bytes + kShardFixedBytes;
  if (plan.dogstatsd.copy_histograms != 0) bytes += contexts_of(l) * kCopyBytes;
  return bytes;
}

struct Case {
  uint32_t contexts;
  uint64_t context_bytes, memo_bytes, sample_bytes;
  uint32_t set_members;
  uint64_t carry_bytes;
  uint8_t copies;
};

TEST(ShardMemory, IsWhatTheBudgetSays) {
  constexpr uint64_t kMiB = 1 << 20;
  const Case cases[] = {
      {16, kMiB, kMiB, kMiB, 16, kMiB, 0},
      {250'000, 64 * kMiB, 32 * kMiB, 32 * kMiB, 65'536, 4 * kMiB, 0},
      {262'139, kMiB, kMiB, kMiB, 16, kMiB, 1},  // at and beyond a step of the index
      {262'140, kMiB, kMiB, kMiB, 16, kMiB, 1},
      {16, 4096 * kMiB, kMiB, kMiB, 16, kMiB, 0},
      {1'000'000, 300 * kMiB, 7 * kMiB, 100 * kMiB, 1'000'000, 50 * kMiB, 1},
  };
  for (const Case& c : cases) {
    auto plan = test_plan();
    plan->limits.contexts = c.contexts;
    plan->limits.context_bytes = c.context_bytes;
    plan->limits.memo_bytes = c.memo_bytes;
    plan->limits.sample_bytes = c.sample_bytes;
    plan->limits.set_members = c.set_members;
    plan->limits.carry_bytes = c.carry_bytes;
    plan->dogstatsd.copy_histograms = c.copies;
    ShardStats stats;
    const uint64_t before = mapped();
    const Shard shard(*plan, 0, stats);
    const uint64_t taken = mapped() - before;
    EXPECT_LE(taken, budget(*plan)) << c.contexts;
    EXPECT_GE(taken + kShardFixedBytes, budget(*plan)) << c.contexts;
  }
}

// Of a context of a counter or gauge, besides its strings; with what it shares of the memo's index
// and the entry of its line (40 and 8 bytes, rounded up to 16).
TEST(ShardMemory, OfACounterIsWithinItsBudget) {
  const uint64_t cells = 32;  // at most: the index is a power of two, at most half full
  const uint64_t memo = 40 + 15 + 2 * 8;
  EXPECT_LE(kContextEntryBytes + 2 * kContextSlotBytes + cells + memo, 220u);
}

}  // namespace
}  // namespace penstock

// The shard allocates nothing while it works: every operator new of this binary is counted.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/support/mapper_plan.h"
#include "tests/support/shard_harness.h"

namespace {
std::atomic<uint64_t> allocations{0};

void* counted(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  void* p = std::malloc(size);
  if (p == nullptr) std::abort();
  return p;
}
}  // namespace

void* operator new(size_t size) { return counted(size); }
void* operator new[](size_t size) { return counted(size); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return counted(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return counted(size); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
void operator delete[](void* p, size_t) noexcept { std::free(p); }

namespace penstock {
namespace {

TEST(Allocation, NoneInProcessAndPollEpoch) {
  auto plan = test_plan();
  plan->limits.contexts = 500;  // new contexts, then a full table, then expiry
  plan->limits.memo_bytes = 1 << 16;
  plan->limits.sample_bytes = 1 << 16;
  plan->dogstatsd.context_expiry_s = 0;
  plan->dogstatsd.client_origin = 1;
  add_profile(*plan, "m", {{"m*", "mapped.$1", {{"n", "$1"}}}});  // one pass is enough for RE2
  Bench bench(std::move(plan));
  for (int round = 0; round < 20; ++round) {
    std::string text = "_e{1,1}:t|x|#a\n_sc|a|0\nx\nt:1:2|c|T5|#b,a\n";
    for (int i = 0; i < 400; ++i) {
      absl::StrAppend(&text, "m", round * 100 + i, ":", i, ":2|", i % 2 == 0 ? "h" : "d",
                      "|#z,y,host:x|c:ci-1|card:high\ns:", i, "|s\nc", i, ":1|c\n");
    }
    const TestPacket packet(text);
    bench.now.unix_ms += 5000;
    bench.sealer->begin();
    const uint64_t before = allocations.load();
    bench.shards[0]->process({&packet.packet(), 1}, bench.now);
    bench.settle();
    bench.shards[0]->process({&packet.packet(), 1}, bench.now);
    EXPECT_EQ(allocations.load(), before);
    bench.sealer->seal(kBucket + round * 10);
    const uint64_t cleaning = allocations.load();
    bench.settle();
    EXPECT_EQ(allocations.load(), cleaning);
  }
  EXPECT_GT(bench.stats[0]->overflow.get(), 0u);
  EXPECT_GT(bench.stats[0]->contexts_expired.get(), 0u);
  EXPECT_GT(bench.stats[0]->memo_evicted.get(), 0u);
  EXPECT_GT(bench.stats[0]->memo_hits.get(), 0u);
}

// RE2 may allocate for a pattern that needs more than one pass over the name: once per distinct
// line.
TEST(Allocation, NoneForALineThatTheMemoKnows) {
  auto plan = test_plan();
  add_airflow_profile(*plan);
  Bench bench(std::move(plan));
  std::string text;
  for (int i = 0; i < 400; ++i) {
    absl::StrAppend(&text, "airflow.dag.d", i, ".t.duration:", i, "|ms\nairflow.x", i,
                    "_job_end:1|c|#a:b\nairflow.none", i, ":1|g\n");
  }
  const TestPacket packet(text);
  bench.shards[0]->process({&packet.packet(), 1}, bench.now);
  const uint64_t before = allocations.load();
  bench.shards[0]->process({&packet.packet(), 1}, bench.now);
  EXPECT_EQ(allocations.load(), before);
  EXPECT_EQ(bench.stats[0]->memo_hits.get(), 1200u);
}

}  // namespace
}  // namespace penstock

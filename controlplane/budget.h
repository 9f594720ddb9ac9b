#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/config.h"
#include "dataplane/api/plan.h"
#include "dataplane/base/status.h"

namespace penstock {

// The memory budget: what both processes use at most, with every bound reached. Most of it becomes
// resident only when it is used.

// Whose memory a line is about.
enum class Owner : uint8_t { kDataPlane, kShard, kControlPlane };

struct BudgetLine {
  Owner owner = Owner::kDataPlane;
  std::string what;
  std::string_view key;  // the key to lower; empty: there is none
  uint64_t count = 0;
  uint64_t each = 0;    // bytes
  uint64_t copies = 1;  // shards, for the lines of a shard
  [[nodiscard]] uint64_t bytes() const { return count * each * copies; }
};

using Budget = std::vector<BudgetLine>;

// `eal_bytes`: what DPDK gets; 0 without ports.
Budget make_budget(const Config& config, const Plan& plan, uint64_t eal_bytes);
uint64_t sum_of(const Budget& budget);

// INVALID_ARGUMENT if the sum is over `limit` (bytes; 0: none); names the key to lower.
absl::Status check_memory(const Budget& budget, uint64_t limit);

// For people, a line each with count, bytes each and their product, and the sums.
std::string describe(const Budget& budget);

}  // namespace penstock

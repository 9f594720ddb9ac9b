#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/api/plan.h"
#include "dataplane/api/segment.h"
#include "dataplane/api/stats.h"
#include "dataplane/core/sealer.h"
#include "dataplane/core/shard.h"

namespace penstock {

inline constexpr int64_t kBucket = 1'700'000'000;

// A Plan with limits no test reaches unless it lowers them.
std::unique_ptr<Plan> test_plan();

// One packet's bytes with the padding a shard may read.
class TestPacket {
 public:
  explicit TestPacket(std::string_view text);
  [[nodiscard]] const Packet& packet() const { return packet_; }
  Packet& packet() { return packet_; }

 private:
  std::vector<uint8_t> bytes_;
  Packet packet_{};
};

// A context as text: "name[host]#tag,tag".
std::string text_of(const segment::Context& c);

// An average on its way to nine digits of text, off any tie, so that the last bits, which depend on
// the order of additions, do not show.
double nudged(double average);

// Rows of a Segment as sorted lines of text, one a row, for comparing and for reading.
std::vector<std::string> rows_of(std::span<const std::byte> segment);

// Fails the test where an identity of the ledger does not hold; `drained`: nothing is open.
void expect_ledger(const std::vector<std::unique_ptr<ShardStats>>& shards,
                   const KeeperStats& keeper, bool drained);

// Shards, their stats and a sealer on one thread, with a clock set by hand.
class Bench {
 public:
  explicit Bench(std::unique_ptr<Plan> plan = test_plan(), uint16_t shards = 1);

  void send(std::string_view text, size_t shard = 0, uint32_t arrival = 0);
  // Asks for the flip, lets every shard flip, seals, and lets every shard clean up.
  std::vector<std::byte> seal_bytes(int64_t bucket_start = kBucket);
  std::vector<std::string> seal(int64_t bucket_start = kBucket) {
    return to_rows(seal_bytes(bucket_start));
  }
  void settle();
  static std::vector<std::string> to_rows(std::span<const std::byte> segment);

  [[nodiscard]] uint64_t sum(Counter ShardStats::*counter) const;
  void check_ledger(bool drained) const { expect_ledger(stats, keeper, drained); }

  Now now{kBucket * 1000 + 5000};
  std::unique_ptr<Plan> plan;
  std::vector<std::unique_ptr<ShardStats>> stats;
  std::vector<std::unique_ptr<Shard>> shards;
  std::vector<Shard*> pointers;
  KeeperStats keeper;
  std::unique_ptr<Sealer> sealer;
};

}  // namespace penstock

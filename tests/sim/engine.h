#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/exporters/points.h"
#include "dataplane/core/ring.h"
#include "dataplane/core/sealer.h"
#include "dataplane/core/shard.h"
#include "tests/support/shard_harness.h"
#include "tools/replay/canonical.h"

namespace penstock {

// The data plane's own rings, shards and sealer, moved by hand on one thread, and its JSON lines.
class Engine {
 public:
  // `ring_slots` 0: inline, packets go to a shard at once.
  Engine(std::unique_ptr<Plan> plan, uint16_t shards, uint32_t ring_slots,
         HistogramConfig histograms);

  [[nodiscard]] size_t shards() const { return shards_.size(); }
  [[nodiscard]] bool inline_wiring() const { return rings_.empty(); }

  // The receiver's side of a ring: frees what the shard is done with, then pushes. False: full.
  bool push(size_t shard, std::string_view bytes, Packet header);
  // Inline: one burst straight to the shard.
  void process(size_t shard, std::span<const std::string> packets, std::span<Packet> headers,
               Now now);
  // A shard's pass: at most `burst` packets of its ring, then the epoch. Returns how many packets.
  size_t poll(size_t shard, size_t burst, Now now);
  [[nodiscard]] bool has_packets(size_t shard) const { return !rings_[shard]->empty(); }
  // How often the shard has sealed a generation.
  [[nodiscard]] uint64_t flips(size_t shard) const { return stats_[shard]->flips.get(); }

  Sealer& sealer() { return *sealer_; }
  // The lines of a Segment, in canonical order; none of an empty one.
  std::vector<std::string> lines(std::span<const std::byte> segment);
  // All Segments of late distributions for buckets before `before`.
  std::vector<std::string> late_lines(int64_t before);

  // The identities of the ledger, and that every packet that went in came out.
  void check_ledger(bool drained) const;

 private:
  struct Buffer {
    std::unique_ptr<TestPacket> packet;
    uint64_t owner;
  };
  void reclaim(size_t shard);

  std::unique_ptr<Plan> plan_;
  HistogramConfig histograms_;
  std::vector<std::unique_ptr<ShardStats>> stats_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<Shard*> pointers_;
  KeeperStats keeper_;
  std::unique_ptr<Sealer> sealer_;
  std::vector<std::unique_ptr<PacketRing>> rings_;
  std::vector<std::deque<Buffer>> in_rings_;  // by ring, in order
  replay::CanonicalLines canonical_;
  uint64_t owners_ = 0;
  uint64_t packets_ = 0;  // that a shard has, or will have from its ring
  uint64_t rows_ = 0;
};

}  // namespace penstock

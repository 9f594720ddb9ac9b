#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/api/plan.h"
#include "dataplane/api/stats.h"
#include "dataplane/core/packet.h"
#include "dataplane/core/shard.h"

namespace penstock {

// The keeper's side of the epochs: asks the shards to flip, merges what they sealed and makes it
// one Segment. No clock, no thread and no socket of its own; one thread, the keeper's.
//
//   begin(), wake the shards, wait a little for ready(), seal(bucket), wake the shards
//
// A shard that has not flipped when `seal` is called is counted late and skipped; what it seals
// afterwards joins the next Segment. Nothing is lost or counted twice.
//
// Writes of KeeperStats: segments_sealed, points_sealed, samples_sealed, late_shards,
// copies_unkept, bins_folded, seal_us_last, seal_us_max.
class Sealer {
 public:
  // `plan`, `shards`, `stats` and `senders` (the shards') outlive the sealer. `instance` goes into
  // every Segment.
  Sealer(const Plan& plan, std::span<Shard* const> shards, KeeperStats& stats, uint64_t instance,
         const Senders* senders = nullptr);
  ~Sealer();

  // Asks every shard to flip (those still holding an earlier, late generation excepted).
  void begin();

  // True once every shard has a sealed generation to give.
  [[nodiscard]] bool ready() const;

  // Merges every sealed generation into the Segment of the bucket that starts at `bucket_start`
  // (Unix s, a multiple of the Plan's interval), lets the shards clean up, and returns the
  // Segment's bytes. Empty if there was no row: then no sequence number is used up.
  std::vector<std::byte> seal(int64_t bucket_start);

  // The Segments of buckets that start before `before` (Unix s) and got distributions after they
  // were sealed (ruling 5; only copies of timestamped histogram samples do), the earliest first.
  // Call after `seal`, with its bucket. Mostly none. They stand for no samples. At most `at_most`,
  // those nearest to that bucket; the others wait.
  std::vector<std::vector<std::byte>> seal_late(int64_t before, size_t at_most = SIZE_MAX);

  // At a stop, after the shards' threads have ended: the Segment of the open bucket, with all that
  // is left. Cleans nothing up; only `seal_late` of all buckets and `give_up_late` may follow.
  std::vector<std::byte> seal_rest(int64_t bucket_start, Now now);
  // Start of the earliest bucket that waits, for its turn or a place.
  [[nodiscard]] std::optional<int64_t> first_late() const;
  // What waits for its bucket, or for a place, goes to copies_unkept.
  void give_up_late();

  // Of the last `seal` or `seal_rest`: sequence number of the newest Segment (0: none yet), its
  // rows, and the samples behind them.
  [[nodiscard]] uint64_t sequence() const;
  [[nodiscard]] uint64_t rows() const;
  [[nodiscard]] uint64_t samples() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace penstock

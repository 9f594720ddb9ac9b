#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/api/stats.h"

namespace penstock {

// Decides from readings of the wall clock when a bucket closes. Buckets start at multiples of the
// interval. No bucket is closed twice and none is skipped in normal running:
//   - late by a few buckets (a stall, a small jump): they close one after the other;
//   - more than kCatchUpMax buckets ahead: the open one closes, those between are skipped;
//   - back by less than kStepBackMax buckets: the open bucket stays open until time passes its end;
//   - back by more: the open bucket closes at once and time goes on from the new reading, because
//     a corrected clock must not silence a server for hours. Bucket starts may then repeat.
// Writes KeeperStats::clock_steps (each move backwards, each jump over a whole bucket) and
// open_bucket. One thread, the keeper's.
class BucketClock {
 public:
  static constexpr int64_t kCatchUpMax = 64;
  static constexpr int64_t kStepBackMax = 360;

  BucketClock(uint32_t interval_s, int64_t unix_ms, KeeperStats& stats);

  // The start (Unix s) of the bucket that closes now, if one does: seal it. Call again with the
  // same reading until there is none.
  std::optional<int64_t> poll(int64_t unix_ms);

  // Start of the bucket now filling, Unix s.
  [[nodiscard]] int64_t open_bucket() const { return open_s_; }

  // Milliseconds from `unix_ms` until the open bucket closes; 0 if it is due.
  [[nodiscard]] int64_t until_close_ms(int64_t unix_ms) const;

 private:
  [[nodiscard]] int64_t bucket_of(int64_t unix_ms) const;
  void open(int64_t start_s);

  const int64_t interval_s_;
  KeeperStats& stats_;
  int64_t open_s_ = 0;
  int64_t last_ms_;
};

}  // namespace penstock

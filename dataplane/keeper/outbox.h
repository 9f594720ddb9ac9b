#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>

#include "dataplane/api/plan.h"
#include "dataplane/api/stats.h"
#include "dataplane/base/fd.h"
#include "dataplane/base/status.h"

namespace penstock {

// A sealed Segment that penstockd has not acknowledged yet.
struct HeldSegment {
  uint64_t sequence;
  int64_t bucket_start;  // Unix s
  uint64_t points;
  uint64_t samples;
  size_t bytes;
  Fd memfd;  // sealed
};

// The Segments held for penstockd, which may be away: bounded by `segments_held` and
// `segment_bytes_held`. At the bound the oldest is given up, and counted. Keeper thread only.
class Outbox {
 public:
  Outbox(const LimitsPlan& limits, KeeperStats& stats) : limits_(limits), stats_(stats) {}

  // Takes a Segment's bytes into a sealed memfd. An error means there was no memory for it: it is
  // given up and counted.
  absl::Status add(HeldSegment segment, std::span<const std::byte> bytes);

  // The same of a Segment that must not push out another: where it would, it is given up itself,
  // and an error says so.
  absl::Status add_beside(HeldSegment segment, std::span<const std::byte> bytes);

  // penstockd has it: forgets it. Unknown sequences (given up meanwhile) are ignored.
  void acknowledge(uint64_t sequence);

  // Places for Segments that can wait, beside one that cannot: half of them all, less those taken;
  // none while more than half of the bytes are taken.
  [[nodiscard]] size_t spare() const {
    const size_t half = limits_.segments_held / 2;
    return bytes_ > limits_.segment_bytes_held / 2 ? 0 : half - std::min(half, held_.size());
  }

  // Oldest first.
  [[nodiscard]] const std::deque<HeldSegment>& held() const { return held_; }

 private:
  void give_up(const HeldSegment& segment);

  const LimitsPlan& limits_;
  KeeperStats& stats_;
  std::deque<HeldSegment> held_;
  size_t bytes_ = 0;
};

}  // namespace penstock

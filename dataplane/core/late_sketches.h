#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/api/segment.h"
#include "dataplane/core/sample_store.h"

namespace penstock {

// Distributions of buckets other than the open one: what copies of timestamped histogram samples
// become (spec 8.5, 8.8). They wait here until their bucket is sealed; what belongs to a bucket
// that has been sealed already goes out with the next one (ruling 5). Bounded in what it takes of
// the heap: at the bound, what is nearest in time to the bucket that is sealed stays, so that
// clients with a wrong clock or unit do not take the room of the others. One thread, the keeper's.
class LateSketches {
 public:
  struct Sketch {
    uint64_t values = 0;  // added
    SampleTotals totals;
    std::vector<segment::Bin> bins;
    size_t normal = 0;  // bins at the front that are sorted and unique
  };
  // By canonical key. A tree: clients choose the keys, and cannot make it slow; its size is the sum
  // of its nodes.
  using Bucket = std::map<std::string, Sketch, std::less<>>;

  explicit LateSketches(uint64_t bytes, uint32_t sketch_bins = sketch::kBinsMax)
      : limit_(bytes), sketch_bins_(sketch_bins) {}

  // What is near is so to this bucket, from now on.
  void sealing(int64_t bucket_start) { sealing_ = bucket_start; }

  // False: the limit is reached and the value was not kept. Else contexts of buckets that are
  // further away may have made room for it.
  bool add(int64_t bucket_start, std::string_view key, double value, uint32_t weight,
           double scaled);

  // Start of the earliest bucket, if there is one.
  [[nodiscard]] std::optional<int64_t> first() const {
    return buckets_.empty() ? std::nullopt : std::optional(buckets_.begin()->first);
  }
  // Starts of the nearest buckets, at most `at_most`, of those that start before `before`: the
  // earliest first.
  [[nodiscard]] std::vector<int64_t> nearest(int64_t before, size_t at_most) const;
  // Takes a bucket out; empty if there is none. Bins are sorted and unique.
  Bucket take(int64_t bucket_start);
  // Empties it.
  void give_up();
  // Values that were kept and then given up, since the last call.
  uint64_t take_given_up() { return std::exchange(given_up_, 0); }
  // Bins that sketch_bins had no room for, since the start.
  [[nodiscard]] uint64_t bins_folded() const { return bins_folded_; }

 private:
  [[nodiscard]] uint64_t distance(int64_t bucket_start) const;
  bool make_room(uint64_t bytes, int64_t bucket_start);
  bool grow(int64_t bucket_start, Sketch& sketch);
  void tidy(Sketch& sketch);

  const uint64_t limit_;
  const uint32_t sketch_bins_;
  uint64_t bins_folded_ = 0;
  int64_t sealing_ = 0;
  uint64_t given_up_ = 0;
  uint64_t used_ = 0;  // at least what is on the heap
  std::map<int64_t, Bucket> buckets_;
};

}  // namespace penstock

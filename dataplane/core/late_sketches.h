#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/api/segment.h"
#include "dataplane/core/sample_store.h"

namespace penstock {

// Distributions of buckets other than the open one: what copies of timestamped histogram samples
// become (spec 8.5, 8.8). They wait here until their bucket is sealed; what belongs to a bucket
// that has been sealed already goes out with the next one (ruling 5). Bounded in what it takes of
// the heap. One thread, the keeper's.
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

  // False: the limit is reached and the value was not kept.
  bool add(int64_t bucket_start, std::string_view key, double value, uint32_t weight,
           double scaled);

  // Start of the earliest bucket, if there is one.
  [[nodiscard]] std::optional<int64_t> first() const;
  // Takes a bucket out; empty if there is none. Bins are sorted and unique.
  Bucket take(int64_t bucket_start);
  // Empties it, and returns how many values were in it.
  uint64_t give_up();
  // Bins that sketch_bins had no room for, since the start.
  [[nodiscard]] uint64_t bins_folded() const { return bins_folded_; }

 private:
  [[nodiscard]] bool has_room(uint64_t bytes) const { return bytes <= limit_ - used_; }
  bool grow(Sketch& sketch);
  void tidy(Sketch& sketch);

  const uint64_t limit_;
  const uint32_t sketch_bins_;
  uint64_t bins_folded_ = 0;
  uint64_t used_ = 0;  // at least what is on the heap
  std::map<int64_t, Bucket> buckets_;
};

}  // namespace penstock

#include "dataplane/core/late_sketches.h"

#include <utility>

#include "dataplane/api/sketch.h"

namespace penstock {
namespace {

// What a context costs besides its key and bins, hash node and map overhead included.
constexpr uint64_t kContextBytes = sizeof(LateSketches::Sketch) + 128;
constexpr size_t kUntidyMin = 256;

}  // namespace

bool LateSketches::add(int64_t bucket_start, std::string_view key, double value, uint32_t weight,
                       double scaled) {
  if (used_ + kContextBytes + key.size() + sizeof(segment::Bin) > limit_) return false;
  const auto [it, added] = buckets_[bucket_start].try_emplace(std::string(key));
  if (added) used_ += kContextBytes + key.size();
  Sketch& sketch = it->second;
  sketch.totals.add(value, weight, scaled);
  sketch.bins.push_back({sketch::key_of(value), weight});
  used_ += sizeof(segment::Bin);
  if (sketch.bins.size() >= 2 * sketch.normal + kUntidyMin) tidy(sketch);
  return true;
}

std::optional<int64_t> LateSketches::first() const {
  return buckets_.empty() ? std::nullopt : std::optional(buckets_.begin()->first);
}

LateSketches::Bucket LateSketches::take(int64_t bucket_start) {
  const auto node = buckets_.extract(bucket_start);
  if (node.empty()) return {};
  Bucket bucket = std::move(node.mapped());
  for (auto& [key, sketch] : bucket) {
    tidy(sketch);
    used_ -= kContextBytes + key.size() + sketch.bins.size() * sizeof(segment::Bin);
  }
  return bucket;
}

void LateSketches::tidy(Sketch& sketch) {
  const size_t before = sketch.bins.size();
  sketch.normal = sketch::normalize(sketch.bins, sketch_bins_, bins_folded_);
  sketch.bins.resize(sketch.normal);
  used_ -= (before - sketch.normal) * sizeof(segment::Bin);
}

}  // namespace penstock

#include "dataplane/core/late_sketches.h"

#include <utility>

#include "dataplane/api/sketch.h"

namespace penstock {
namespace {

// What the allocator takes for `bytes`, at most: its own word, and a multiple of 16.
constexpr uint64_t heap(uint64_t bytes) { return (bytes + 31) / 16 * 16; }

constexpr uint64_t kTreeNode = 4 * sizeof(void*);
constexpr uint64_t kBucketBytes =
    heap(kTreeNode + sizeof(std::pair<const int64_t, LateSketches::Bucket>));
constexpr size_t kBinsFirst = 2;

constexpr uint64_t bin_bytes(size_t bins) { return heap(bins * sizeof(segment::Bin)); }

// Of a new context, its first bins included.
uint64_t context_bytes(std::string_view key) {
  return heap(kTreeNode + sizeof(LateSketches::Bucket::value_type)) + heap(key.size() + 1) +
         bin_bytes(kBinsFirst);
}

}  // namespace

bool LateSketches::add(int64_t bucket_start, std::string_view key, double value, uint32_t weight,
                       double scaled) {
  auto bucket = buckets_.find(bucket_start);
  if (bucket == buckets_.end()) {
    if (!has_room(kBucketBytes + context_bytes(key))) return false;
    bucket = buckets_.try_emplace(bucket_start).first;
    used_ += kBucketBytes;
  }
  auto context = bucket->second.find(key);
  if (context == bucket->second.end()) {
    if (!has_room(context_bytes(key))) return false;
    context = bucket->second.try_emplace(std::string(key)).first;
    context->second.bins.reserve(kBinsFirst);
    used_ += context_bytes(key);
  }
  Sketch& sketch = context->second;
  if (sketch.bins.size() == sketch.bins.capacity() && !grow(sketch)) return false;
  ++sketch.values;
  sketch.totals.add(value, weight, scaled);
  sketch.bins.push_back({sketch::key_of(value), weight});
  return true;
}

std::optional<int64_t> LateSketches::first() const {
  return buckets_.empty() ? std::nullopt : std::optional(buckets_.begin()->first);
}

LateSketches::Bucket LateSketches::take(int64_t bucket_start) {
  const auto node = buckets_.extract(bucket_start);
  if (node.empty()) return {};
  Bucket bucket = std::move(node.mapped());
  used_ -= kBucketBytes;
  for (auto& [key, sketch] : bucket) {
    tidy(sketch);
    used_ -= context_bytes(key) - bin_bytes(kBinsFirst) + bin_bytes(sketch.bins.capacity());
  }
  return bucket;
}

uint64_t LateSketches::give_up() {
  uint64_t values = 0;
  for (const auto& [start, bucket] : buckets_) {
    for (const auto& [key, sketch] : bucket) values += sketch.values;
  }
  buckets_.clear();
  used_ = 0;
  return values;
}

// Makes room for a bin: by sorting, where at least half has come since the last time, else, or if
// that did not give back half, by taking twice as much. So no client can make it sort for each
// value. False: the limit is reached.
bool LateSketches::grow(Sketch& sketch) {
  const size_t before = sketch.bins.capacity();
  if (sketch.normal <= before / 2) tidy(sketch);
  if (sketch.bins.size() <= before / 2) return true;
  // Both are there while the bins move.
  if (!has_room(bin_bytes(2 * before))) return sketch.bins.size() < before;
  sketch.bins.reserve(2 * before);
  used_ += bin_bytes(2 * before) - bin_bytes(before);
  return true;
}

void LateSketches::tidy(Sketch& sketch) {
  sketch.normal = sketch::normalize(sketch.bins, sketch_bins_, bins_folded_);
  sketch.bins.resize(sketch.normal);
}

}  // namespace penstock

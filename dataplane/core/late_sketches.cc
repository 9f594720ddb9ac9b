#include "dataplane/core/late_sketches.h"

#include <algorithm>
#include <iterator>
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
uint64_t context_bytes(const LateSketches::Bucket::value_type& context) {
  return context_bytes(context.first) - bin_bytes(kBinsFirst) +
         bin_bytes(context.second.bins.capacity());
}

}  // namespace

bool LateSketches::add(int64_t bucket_start, std::string_view key, double value, uint32_t weight,
                       double scaled) {
  auto bucket = buckets_.find(bucket_start);
  if (bucket == buckets_.end()) {
    if (!make_room(kBucketBytes + context_bytes(key), bucket_start)) return false;
    bucket = buckets_.try_emplace(bucket_start).first;
    used_ += kBucketBytes;
  }
  auto context = bucket->second.find(key);
  if (context == bucket->second.end()) {
    if (!make_room(context_bytes(key), bucket_start)) return false;
    context = bucket->second.try_emplace(std::string(key)).first;
    context->second.bins.reserve(kBinsFirst);
    used_ += context_bytes(key);
  }
  Sketch& sketch = context->second;
  if (sketch.bins.size() == sketch.bins.capacity() && !grow(bucket_start, sketch)) return false;
  ++sketch.values;
  sketch.totals.add(value, weight, scaled);
  sketch.bins.push_back({sketch::key_of(value), weight});
  return true;
}

uint64_t LateSketches::distance(int64_t bucket_start) const {
  const auto a = static_cast<uint64_t>(bucket_start);
  const auto b = static_cast<uint64_t>(sealing_);
  return bucket_start < sealing_ ? b - a : a - b;
}

// By giving up contexts of buckets that are further away than `bucket_start`, the furthest first.
bool LateSketches::make_room(uint64_t bytes, int64_t bucket_start) {
  while (bytes > limit_ - used_) {
    if (buckets_.empty()) return false;
    const auto last = std::prev(buckets_.end());
    const auto furthest =
        distance(last->first) < distance(buckets_.begin()->first) ? buckets_.begin() : last;
    if (distance(furthest->first) <= distance(bucket_start)) return false;
    const auto context = furthest->second.begin();
    given_up_ += context->second.values;
    used_ -= context_bytes(*context);
    furthest->second.erase(context);
    if (furthest->second.empty()) {
      buckets_.erase(furthest);
      used_ -= kBucketBytes;
    }
  }
  return true;
}

std::vector<int64_t> LateSketches::nearest(int64_t before, size_t at_most) const {
  const auto end = buckets_.lower_bound(before);
  auto left = buckets_.lower_bound(std::min(sealing_, before));
  auto right = left;
  std::vector<int64_t> starts;
  for (; at_most != 0 && (left != buckets_.begin() || right != end); --at_most) {
    const bool earlier =
        right == end ||
        (left != buckets_.begin() && distance(std::prev(left)->first) <= distance(right->first));
    starts.push_back(earlier ? (--left)->first : (right++)->first);
  }
  std::ranges::sort(starts);
  return starts;
}

LateSketches::Bucket LateSketches::take(int64_t bucket_start) {
  const auto node = buckets_.extract(bucket_start);
  if (node.empty()) return {};
  Bucket bucket = std::move(node.mapped());
  used_ -= kBucketBytes;
  for (auto& context : bucket) {
    tidy(context.second);
    used_ -= context_bytes(context);
  }
  return bucket;
}

void LateSketches::give_up() {
  for (const auto& [start, bucket] : buckets_) {
    for (const auto& [key, sketch] : bucket) given_up_ += sketch.values;
  }
  buckets_.clear();
  used_ = 0;
}

// Makes room for a bin: by sorting, where at least half has come since the last time, else, or if
// that did not give back half, by taking twice as much. So no client can make it sort for each
// value. False: the limit is reached.
bool LateSketches::grow(int64_t bucket_start, Sketch& sketch) {
  const size_t before = sketch.bins.capacity();
  if (sketch.normal <= before / 2) tidy(sketch);
  if (sketch.bins.size() <= before / 2) return true;
  // Both are there while the bins move.
  if (!make_room(bin_bytes(2 * before), bucket_start)) return sketch.bins.size() < before;
  sketch.bins.reserve(2 * before);
  used_ += bin_bytes(2 * before) - bin_bytes(before);
  return true;
}

void LateSketches::tidy(Sketch& sketch) {
  sketch.normal = sketch::normalize(sketch.bins, sketch_bins_, bins_folded_);
  sketch.bins.resize(sketch.normal);
}

}  // namespace penstock

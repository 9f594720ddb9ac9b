#include "dataplane/core/sample_store.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace penstock {
namespace {

using sketch::greatest;
using sketch::least;

}  // namespace

void SampleTotals::add(double value, uint32_t weight, double scaled) {
  const bool first = count == 0;
  min = first ? value : least(min, value);
  max = first ? value : greatest(max, value);
  count += weight;
  sum.add(value * scaled);
  const double product = value * weight;
  weighted.add(product);
  if (weight != 1 && std::isfinite(product)) weighted.add(std::fma(value, weight, -product));
}

void SampleTotals::merge(const SampleTotals& other) {
  if (other.count == 0) return;
  const bool first = count == 0;
  min = first ? other.min : least(min, other.min);
  max = first ? other.max : greatest(max, other.max);
  count += other.count;
  sum.add(other.sum);
  weighted.add(other.weighted);
}

segment::Summary SampleTotals::of_histogram() const {
  return {count, sum.value(), min, max, sum.over(count), sum.low};
}

segment::Summary SampleTotals::of_distribution() const {
  segment::Summary s = {count, sum.value(), min, max, weighted.over(count), sum.low};
  if (weighted != sum) s.weighted = weighted;
  return s;
}

SampleStore::SampleStore(uint64_t bytes, uint32_t sketch_bins)
    : blocks_(std::clamp<uint64_t>(bytes / (sizeof(Block) + sizeof(uint32_t)), 1, UINT32_MAX)),
      free_(blocks_.size()),
      sketch_bins_(sketch_bins),
      scratch_(size_t{kValuesMax} + sketch::kBinsMax) {}

bool SampleStore::add(Samples& s, double value, uint32_t weight, double scaled) {
  s.totals.add(value, weight, scaled);
  const uint16_t limit = s.bins == 0 ? kValuesMax : kFoldMax;
  if (s.values >= limit) fold(s);
  if (append(s, value, weight)) return true;
  if (s.values < kFoldMin) return false;
  fold(s);
  return append(s, value, weight);
}

void SampleStore::release(Samples& s) {
  free_chain(s.values_first, (s.values + ValueBlock::kEntries - 1) / ValueBlock::kEntries);
  free_chain(s.bins_first, (s.bins + BinBlock::kEntries - 1) / BinBlock::kEntries);
  s = {};
}

void SampleStore::read_values(const Samples& s, std::vector<segment::WeightedValue>& out) const {
  uint32_t block = s.values_first;
  for (uint32_t i = 0; i < s.values; ++i) {
    const uint32_t at = i % ValueBlock::kEntries;
    if (i != 0 && at == 0) block = blocks_[block].values.next;
    out.push_back({blocks_[block].values.values[at], blocks_[block].values.weights[at]});
  }
}

void SampleStore::read_bins(const Samples& s, std::vector<segment::Bin>& out) const {
  uint32_t block = s.bins_first;
  for (uint32_t i = 0; i < s.bins; ++i) {
    const uint32_t at = i % BinBlock::kEntries;
    if (i != 0 && at == 0) block = blocks_[block].bins.next;
    out.push_back({blocks_[block].bins.keys[at], blocks_[block].bins.counts[at]});
  }
}

// 0: used up.
uint32_t SampleStore::allocate() {
  constexpr uint32_t kAhead = 4;  // chains are fetched before they are used
  uint32_t block = 0;
  if (free_count_ != 0) {
    uint32_t& top = free_[free_count_ - 1];
    block = top;
    top = blocks_[block].next;
    if (top != 0) {
      __builtin_prefetch(&blocks_[top], 1);
    } else if (--free_count_ >= kAhead) {
      __builtin_prefetch(&blocks_[free_[free_count_ - kAhead]], 1);
    }
  } else if (used_ < blocks_.size()) {
    block = used_++;
  } else {
    return 0;
  }
  blocks_[block].next = 0;
  ++in_use_;
  return block;
}

void SampleStore::free_chain(uint32_t first, uint64_t blocks) {
  if (first == 0) return;
  free_[free_count_++] = first;
  in_use_ -= blocks;
}

bool SampleStore::append(Samples& s, double value, uint32_t weight) {
  const uint32_t at = s.values % ValueBlock::kEntries;
  if (at == 0) {
    const uint32_t block = allocate();
    if (block == 0) return false;
    if (s.values == 0) {
      s.values_first = block;
    } else {
      blocks_[s.values_last].next = block;
    }
    s.values_last = block;
  }
  ValueBlock& block = blocks_[s.values_last].values;
  block.values[at] = value;
  block.weights[at] = weight;
  ++s.values;
  return true;
}

// Turns the gathered values into bins. The values' blocks come back first and suffice for the bins,
// which are at most as many: a block holds more bins than values.
void SampleStore::fold(Samples& s) {
  size_t n = 0;
  uint32_t block = s.values_first;
  for (uint32_t i = 0; i < s.values; ++i) {
    const uint32_t at = i % ValueBlock::kEntries;
    if (i != 0 && at == 0) block = blocks_[block].next;
    const ValueBlock& b = blocks_[block].values;
    scratch_[n++] = {sketch::key_of(b.values[at]), b.weights[at]};
  }
  block = s.bins_first;
  for (uint32_t i = 0; i < s.bins; ++i) {
    const uint32_t at = i % BinBlock::kEntries;
    if (i != 0 && at == 0) block = blocks_[block].next;
    scratch_[n++] = {blocks_[block].bins.keys[at], blocks_[block].bins.counts[at]};
  }
  const SampleTotals totals = s.totals;
  release(s);
  s.totals = totals;
  const size_t bins = sketch::normalize({scratch_.data(), n}, sketch_bins_, bins_folded_);
  write_bins(s, {scratch_.data(), bins});
}

void SampleStore::write_bins(Samples& s, std::span<const segment::Bin> bins) {
  for (size_t i = 0; i < bins.size(); ++i) {
    const size_t at = i % BinBlock::kEntries;
    if (at == 0) {
      const uint32_t block = allocate();
      assert(block != 0);
      if (i == 0) {
        s.bins_first = block;
      } else {
        blocks_[s.bins_last].next = block;
      }
      s.bins_last = block;
    }
    blocks_[s.bins_last].bins.keys[at] = bins[i].key;
    blocks_[s.bins_last].bins.counts[at] = bins[i].count;
  }
  s.bins = static_cast<uint16_t>(bins.size());
}

}  // namespace penstock

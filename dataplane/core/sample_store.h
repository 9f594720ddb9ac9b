#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "dataplane/api/segment.h"
#include "dataplane/api/sketch.h"
#include "dataplane/base/exact_sum.h"
#include "dataplane/core/lazy_array.h"

namespace penstock {

// The exact part of a histogram or distribution; all zero: no samples. What comes out depends on
// the samples alone, not on their order or how they were spread over shards.
struct SampleTotals {
  uint64_t count;  // sum of the weights
  double min, max;
  ExactSum sum;       // of value * 1/rate
  ExactSum weighted;  // of value * weight, not rounded

  // Adds `weight` (at least 1) times `value` (finite); `scaled` is the untruncated 1/rate.
  void add(double value, uint32_t weight, double scaled);
  void merge(const SampleTotals& other);

  // With samples only. The average of spec 8.5 is of `sum`, that of 8.6, whose running average this
  // is, of `weighted`.
  [[nodiscard]] segment::Summary of_histogram() const;
  [[nodiscard]] segment::Summary of_distribution() const;
};

// What one histogram or distribution holds in one generation: an exact summary, and its values in
// a chain of blocks until there are kValuesMax of them; then they become bins, and further values
// gather to be added to those.
struct Samples {
  SampleTotals totals;
  uint32_t values_first, values_last;  // blocks; 0: none
  uint32_t bins_first, bins_last;
  uint16_t values;
  uint16_t bins;
};
static_assert(sizeof(Samples) == 80);

// The blocks of all Samples of a shard, both generations: one bounded pool. The shard's thread
// writes; the keeper reads chains of a generation it holds.
class SampleStore {
 public:
  static constexpr uint16_t kValuesMax = segment::kExactSamplesMax;
  static constexpr uint16_t kFoldMax = 1024;  // values gathered beside bins
  static constexpr uint16_t kFoldMin = 32;    // fewer do not give blocks back when folded

  // `sketch_bins`: at most that many of a sketch, its lowest ones becoming one; up to kBinsMax.
  explicit SampleStore(uint64_t bytes, uint32_t sketch_bins = sketch::kBinsMax);

  // Adds `weight` times `value` (finite); `scaled` is the untruncated 1/rate. The totals are always
  // exact. False: the pool is used up and the value itself was not kept.
  bool add(Samples& s, double value, uint32_t weight, double scaled);

  // Fetches ahead where the next value goes.
  void prefetch(const Samples& s) const { __builtin_prefetch(&blocks_[s.values_last], 1); }

  // Gives the blocks back.
  void release(Samples& s);

  // Append what is kept of the samples, values in order of arrival, bins by key.
  void read_values(const Samples& s, std::vector<segment::WeightedValue>& out) const;
  void read_bins(const Samples& s, std::vector<segment::Bin>& out) const;

  [[nodiscard]] uint64_t blocks_in_use() const { return in_use_; }
  // Bins that became one with the lowest bin kept, since the start. The writer's thread.
  [[nodiscard]] uint64_t bins_folded() const { return bins_folded_; }

 private:
  struct ValueBlock {
    static constexpr uint32_t kEntries = 5;
    uint32_t next;
    std::array<uint32_t, kEntries> weights;
    std::array<double, kEntries> values;
  };
  struct BinBlock {
    static constexpr uint32_t kEntries = 6;
    uint32_t next;
    std::array<int16_t, kEntries> keys;
    std::array<uint64_t, kEntries> counts;
  };
  union Block {
    uint32_t next;
    ValueBlock values;
    BinBlock bins;
  };
  static_assert(sizeof(Block) == 64);

  uint32_t allocate();
  void free_chain(uint32_t first, uint64_t blocks);
  void fold(Samples& s);
  void write_bins(Samples& s, std::span<const segment::Bin> bins);
  bool append(Samples& s, double value, uint32_t weight);

  LazyArray<Block> blocks_;
  uint32_t used_ = 1;  // block 0 is "none"
  // A stack of the first blocks of free chains, so that giving a chain back touches none of its
  // blocks, and those that are taken next are known before they are read.
  LazyArray<uint32_t> free_;
  uint32_t free_count_ = 0;
  uint64_t in_use_ = 0;
  const uint32_t sketch_bins_;
  uint64_t bins_folded_ = 0;
  LazyArray<segment::Bin> scratch_;
};

}  // namespace penstock

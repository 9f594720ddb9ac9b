#include "dataplane/core/merge.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

#include "dataplane/api/sketch.h"
#include "dataplane/core/context_key.h"
#include "dataplane/core/hash.h"
#include "dataplane/core/shard_state.h"

namespace penstock {
namespace {

using segment::Kind;

// One context's part in one shard, or what came late of a distribution.
struct Part {
  const ShardState* shard;  // null: `late`
  uint32_t id;
  Kind kind;
  uint64_t hash;  // of the key, the same for every shard
  const LateSketches::Bucket::value_type* late = nullptr;
  [[nodiscard]] std::string_view key() const {
    return shard != nullptr ? shard->contexts.key(id) : std::string_view(late->first);
  }
  [[nodiscard]] const Slot& slot() const { return shard->held().slots[id]; }
};

class Merge {
 public:
  Merge(std::span<ShardState* const> shards, const LateSketches::Bucket& late,
        segment::Writer& writer)
      : shards_(shards), late_(late), writer_(writer) {}

  void collect(int64_t bucket_start_ms, int64_t counter_expiry_ms);
  void write();

 private:
  void add(const ShardState& shard, uint32_t id);
  void collect_zeros(const ShardState& shard, int64_t bucket_start_ms, int64_t counter_expiry_ms);
  void write_row(std::span<const Part> parts);
  void write_counter(const segment::Context& c, std::span<const Part> parts);
  void write_gauge(const segment::Context& c, std::span<const Part> parts);
  void write_set(const segment::Context& c, std::span<const Part> parts);
  void write_samples(const segment::Context& c, std::span<const Part> parts);
  void gather_members(const Part& part);
  [[nodiscard]] static const Samples* samples_of(const Part& part);

  // One shard has no two contexts of one key: nothing to find together.
  [[nodiscard]] bool apart() const { return shards_.size() == 1 && late_.empty(); }

  std::span<ShardState* const> shards_;
  const LateSketches::Bucket& late_;
  segment::Writer& writer_;
  std::vector<Part> parts_;
  std::vector<std::vector<SetMembers::Member>> members_;  // by shard, sorted by context
  KeyReader keys_;
  std::vector<uint64_t> hashes_;
  std::vector<segment::WeightedValue> values_;
  std::vector<segment::Bin> bins_;
};

void Merge::collect(int64_t bucket_start_ms, int64_t counter_expiry_ms) {
  for (const ShardState* shard : shards_) {
    const Generation& generation = shard->held();
    for (uint32_t i = 0; i < generation.touched_count; ++i) add(*shard, generation.touched[i]);
    collect_zeros(*shard, bucket_start_ms, counter_expiry_ms);

    const auto members = generation.sets.members();
    auto& sorted = members_.emplace_back(members.begin(), members.end());
    std::ranges::sort(sorted, {}, [](const auto& m) { return std::tuple(m.context, m.hash); });
  }
  for (const auto& late : late_)
    parts_.push_back({nullptr, 0, Kind::kDistribution, hash_bytes(late.first, 0), &late});
}

void Merge::add(const ShardState& shard, uint32_t id) {
  const ContextTable& contexts = shard.contexts;
  const uint64_t hash = apart() ? 0 : hash_bytes(contexts.key(id), 0);
  parts_.push_back({&shard, id, contexts.at(id).kind, hash});
}

// Rulings, zero fill. Ids above those that were known when the generation was sealed, and ids given
// away since, belong to the shard.
void Merge::collect_zeros(const ShardState& shard, int64_t bucket_start_ms,
                          int64_t counter_expiry_ms) {
  const Generation& generation = shard.held();
  const uint32_t epoch = shard.held_epoch();
  for (uint32_t id = 0; id < generation.contexts_high; ++id) {
    if (generation.slots[id].tag != 0 || shard.contexts.born(id) > epoch) continue;
    const ContextTable::Context& c = shard.contexts.at(id);
    if (c.kind != Kind::kCounter || c.last_seen_ms == ContextTable::kNever) continue;
    if (c.last_seen_ms + counter_expiry_ms > bucket_start_ms) add(shard, id);
  }
}

void Merge::write() {
  if (apart()) {
    std::ranges::stable_sort(parts_, {}, &Part::kind);
    for (const Part& part : parts_) write_row({&part, 1});
    return;
  }
  std::ranges::sort(parts_, [](const Part& a, const Part& b) {
    if (a.kind != b.kind) return a.kind < b.kind;
    return a.hash != b.hash ? a.hash < b.hash : a.key() < b.key();
  });
  for (size_t begin = 0; begin < parts_.size();) {
    size_t end = begin + 1;
    while (end < parts_.size() && parts_[end].kind == parts_[begin].kind &&
           parts_[end].hash == parts_[begin].hash && parts_[end].key() == parts_[begin].key()) {
      ++end;
    }
    write_row(std::span(parts_).subspan(begin, end - begin));
    begin = end;
  }
}

void Merge::write_row(std::span<const Part> parts) {
  const segment::Context context = keys_.read(parts[0].key());
  switch (parts[0].kind) {
    case Kind::kCounter:
      return write_counter(context, parts);
    case Kind::kGauge:
      return write_gauge(context, parts);
    case Kind::kSet:
      return write_set(context, parts);
    case Kind::kHistogram:
    case Kind::kDistribution:
      return write_samples(context, parts);
  }
}

void Merge::write_counter(const segment::Context& c, std::span<const Part> parts) {
  ExactSum sum{};
  for (const Part& part : parts) sum.add(part.slot().sum);
  writer_.counter(c, sum);
}

void Merge::write_gauge(const segment::Context& c, std::span<const Part> parts) {
  const Part* newest = nullptr;
  const auto age = [](const Part& p) {
    const Slot::Gauge& gauge = p.slot().gauge;
    return std::tuple(p.shard->held().base_ms + gauge.at_ms, gauge.arrival, p.shard->index);
  };
  for (const Part& part : parts) {
    if (std::isnan(part.slot().gauge.value)) continue;  // only NaN was sent
    if (newest == nullptr || age(part) > age(*newest)) newest = &part;
  }
  if (newest == nullptr) return;
  const auto [time_ms, arrival, shard] = age(*newest);
  writer_.gauge(c, newest->slot().gauge.value, time_ms, shard);
}

void Merge::write_set(const segment::Context& c, std::span<const Part> parts) {
  hashes_.clear();
  for (const Part& part : parts) gather_members(part);
  if (hashes_.empty()) return;  // none could be kept: better no point than a wrong one
  std::ranges::sort(hashes_);
  hashes_.erase(std::unique(hashes_.begin(), hashes_.end()), hashes_.end());
  writer_.set(c, hashes_);
}

void Merge::gather_members(const Part& part) {
  const auto shard = static_cast<size_t>(std::ranges::find(shards_, part.shard) - shards_.begin());
  const auto& members = members_[shard];
  auto it = std::ranges::lower_bound(members, part.id, {}, &SetMembers::Member::context);
  for (; it != members.end() && it->context == part.id; ++it) hashes_.push_back(it->hash);
}

// Null: only NaN and infinities were sent.
const Samples* Merge::samples_of(const Part& part) {
  const Slot& slot = part.slot();
  return slot.samples == 0 ? nullptr : &part.shard->held().samples[slot.samples - 1];
}

void Merge::write_samples(const segment::Context& c, std::span<const Part> parts) {
  values_.clear();
  bins_.clear();
  SampleTotals totals{};
  for (const Part& part : parts) {
    if (part.shard == nullptr) {
      const LateSketches::Sketch& late = part.late->second;
      totals.merge(late.totals);
      bins_.insert(bins_.end(), late.bins.begin(), late.bins.end());
      continue;
    }
    const Samples* samples = samples_of(part);
    if (samples == nullptr) continue;
    totals.merge(samples->totals);
    part.shard->store.read_values(*samples, values_);
    part.shard->store.read_bins(*samples, bins_);
  }
  if (totals.count == 0) return;
  const bool histogram = parts[0].kind == Kind::kHistogram;
  segment::Summary summary = histogram ? totals.of_histogram() : totals.of_distribution();
  // The limit of one shard holds for all of them, so that the result does not depend on their
  // number.
  if (histogram && bins_.empty() && values_.size() <= SampleStore::kValuesMax) {
    summary.samples = values_.size();
    sketch::normalize(values_);
    return writer_.histogram(c, summary, values_, {});
  }
  for (const auto& v : values_) bins_.push_back({sketch::key_of(v.value), v.weight});
  bins_.resize(sketch::normalize(bins_));
  if (histogram) return writer_.histogram(c, summary, {}, bins_);
  writer_.distribution(c, summary, bins_);
}

}  // namespace

void merge_generations(std::span<ShardState* const> shards, int64_t bucket_start, const Plan& plan,
                       const LateSketches::Bucket& late, segment::Writer& writer) {
  Merge merge(shards, late, writer);
  merge.collect(bucket_start * 1000, int64_t{plan.dogstatsd.counter_expiry_s} * 1000);
  merge.write();
}

}  // namespace penstock

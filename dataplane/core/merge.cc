#include "dataplane/core/merge.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#include "dataplane/api/sketch.h"
#include "dataplane/core/arrival.h"
#include "dataplane/core/context_key.h"
#include "dataplane/core/hash.h"
#include "dataplane/core/shard_state.h"

namespace penstock {
namespace {

using segment::Kind;

// A bucket of late copies may be as far off as a timestamp can say.
constexpr int64_t kLastMs = std::numeric_limits<int64_t>::max();

// One context's part in one generation, or what came late of a distribution.
struct Part {
  const Sealed* of;  // null: `late`
  uint32_t id;
  Kind kind;
  const LateSketches::Bucket::value_type* late = nullptr;
  [[nodiscard]] std::string_view key() const {
    return of != nullptr ? of->shard->contexts.key(id) : std::string_view(late->first);
  }
  [[nodiscard]] const Slot& slot() const { return of->generation->slots[id]; }
};

class Merge {
 public:
  Merge(std::span<const Sealed> sealed, int64_t bucket_start, const Plan& plan,
        const LateSketches::Bucket& late, segment::Writer& writer)
      : sealed_(sealed),
        bucket_start_ms_(std::min(bucket_start, kLastMs / 1000) * 1000),
        counter_expiry_ms_(int64_t{plan.dogstatsd.counter_expiry_s} * 1000),
        sketch_bins_(plan.limits.sketch_bins),
        writer_(writer) {
    for (const auto& entry : late) late_.push_back(&entry);
  }

  void write();
  [[nodiscard]] uint64_t bins_folded() const { return bins_folded_; }

 private:
  // A part while the parts of one context are looked for, 16 bytes each.
  struct Entry {
    uint32_t hash;  // of the key
    uint32_t id;    // in `late_` where source is sealed_.size()
    uint32_t next;  // of the same context, + 1; 0: none
    uint16_t source;
    Kind kind;
    bool first;  // of its context
  };
  struct Cell {
    uint32_t hash;
    uint32_t entry;  // + 1; 0: empty
  };

  template <class Fn>
  void for_each_id(const Sealed& sealed, const Fn& fn) const;
  [[nodiscard]] bool gives_zero(const Sealed& sealed, uint32_t id) const;
  void sort_members();
  void collect();
  void join();
  void join_block(size_t begin, size_t end);
  void join_entry(uint32_t at);
  void write_joined();
  [[nodiscard]] Part part_of(const Entry& entry) const;

  void write_row(std::span<const Part> parts);
  void write_counter(const segment::Context& c, std::span<const Part> parts);
  void write_gauge(const segment::Context& c, std::span<const Part> parts);
  void write_set(const segment::Context& c, std::span<const Part> parts);
  void write_samples(const segment::Context& c, std::span<const Part> parts);
  void gather_members(const Part& part);
  [[nodiscard]] static const Samples* samples_of(const Part& part);

  std::span<const Sealed> sealed_;
  const int64_t bucket_start_ms_, counter_expiry_ms_;
  const size_t sketch_bins_;
  std::vector<const LateSketches::Bucket::value_type*> late_;
  segment::Writer& writer_;
  std::vector<Entry> entries_;
  std::vector<Cell> cells_;  // open addressing, from a key and kind to its first entry
  std::vector<std::vector<SetMembers::Member>> members_;  // as sealed_, sorted by context
  std::vector<Part> row_;
  KeyReader keys_;
  std::vector<uint64_t> hashes_;
  std::vector<segment::WeightedValue> values_;
  std::vector<segment::Bin> bins_;
  uint64_t bins_folded_ = 0;
};

// Ids with samples, and counters that give a zero, ascending: keys and slots lie in about this
// order, so that the memory is read as it comes. What is touched in the held generation the shard
// leaves alone, so that it may be looked at ahead.
template <class Fn>
void Merge::for_each_id(const Sealed& sealed, const Fn& fn) const {
  constexpr uint32_t kAhead = 8;
  const ShardState& shard = *sealed.shard;
  const Generation& generation = *sealed.generation;
  for (uint32_t id = 0; id < generation.contexts_high; ++id) {
    const uint32_t ahead = id + kAhead;
    if (ahead < generation.contexts_high && generation.slots[ahead].touched()) {
      const char* key = shard.contexts.key(ahead).data();
      __builtin_prefetch(key);
      __builtin_prefetch(key + 64);
    }
    if (generation.slots[id].touched() || gives_zero(sealed, id)) fn(id);
  }
}

// Rulings, zero fill; of an id without samples. Ids above those that were known when the generation
// was sealed, and ids given away since, belong to the shard.
bool Merge::gives_zero(const Sealed& sealed, uint32_t id) const {
  if (sealed.shard->contexts.born(id) > sealed.epoch) return false;
  const ContextTable::Context& c = sealed.shard->contexts.at(id);
  if (c.kind != Kind::kCounter || c.last_seen_ms == ContextTable::kNever) return false;
  return c.last_seen_ms + counter_expiry_ms_ > bucket_start_ms_;
}

void Merge::sort_members() {
  for (const Sealed& sealed : sealed_) {
    const auto members = sealed.generation->sets.members();
    auto& sorted = members_.emplace_back(members.begin(), members.end());
    std::ranges::sort(sorted, {}, [](const auto& m) { return std::tuple(m.context, m.hash); });
  }
}

void Merge::write() {
  sort_members();
  if (sealed_.size() == 1 && late_.empty()) {  // no two contexts of one key: nothing to join
    for_each_id(sealed_[0], [&](uint32_t id) {
      const Part part{sealed_.data(), id, sealed_[0].shard->contexts.at(id).kind};
      write_row({&part, 1});
    });
    return;
  }
  collect();
  join();
  write_joined();
}

void Merge::collect() {
  const auto add = [&](uint32_t hash, size_t id, size_t source, Kind kind) {
    entries_.push_back({hash, static_cast<uint32_t>(id), 0, static_cast<uint16_t>(source), kind,
                        /*first=*/true});
  };
  size_t touched = late_.size();
  for (const Sealed& sealed : sealed_) touched += sealed.generation->touched_count;
  entries_.reserve(touched);
  for (size_t source = 0; source < sealed_.size(); ++source) {
    const ContextTable& contexts = sealed_[source].shard->contexts;
    for_each_id(sealed_[source],
                [&](uint32_t id) { add(contexts.at(id).hash, id, source, contexts.at(id).kind); });
  }
  for (size_t i = 0; i < late_.size(); ++i) {
    const auto hash = static_cast<uint32_t>(hash_bytes(late_[i]->first, process_seed()));
    add(hash, i, sealed_.size(), Kind::kDistribution);
  }
}

void Merge::join() {
  constexpr size_t kBlock = 32;
  cells_.resize(std::bit_ceil(entries_.size() * 2 + 1));
  for (size_t begin = 0; begin < entries_.size(); begin += kBlock)
    join_block(begin, std::min(begin + kBlock, entries_.size()));
}

// Each pass fetches ahead what the next one reads.
void Merge::join_block(size_t begin, size_t end) {
  const size_t mask = cells_.size() - 1;
  const auto for_each_candidate = [&](const auto& fn) {
    for (size_t i = begin; i < end; ++i) {
      const Cell& cell = cells_[entries_[i].hash & mask];
      if (cell.entry == 0 || cell.hash != entries_[i].hash) continue;
      const Entry& first = entries_[cell.entry - 1];
      if (first.source < sealed_.size()) fn(sealed_[first.source].shard->contexts, first.id);
    }
  };
  for (size_t i = begin; i < end; ++i) __builtin_prefetch(&cells_[entries_[i].hash & mask], 1);
  for (size_t i = begin; i < end; ++i) {
    const Cell& cell = cells_[entries_[i].hash & mask];
    if (cell.entry != 0) __builtin_prefetch(&entries_[cell.entry - 1], 1);
  }
  for_each_candidate(
      [](const ContextTable& contexts, uint32_t id) { __builtin_prefetch(&contexts.at(id)); });
  for_each_candidate([](const ContextTable& contexts, uint32_t id) {
    const char* key = contexts.key(id).data();
    __builtin_prefetch(key);
    __builtin_prefetch(key + 64);
  });
  for (size_t i = begin; i < end; ++i) join_entry(static_cast<uint32_t>(i));
}

void Merge::join_entry(uint32_t at) {
  Entry& entry = entries_[at];
  const size_t mask = cells_.size() - 1;
  size_t i = entry.hash & mask;
  for (; cells_[i].entry != 0; i = (i + 1) & mask) {
    Entry& first = entries_[cells_[i].entry - 1];
    if (cells_[i].hash != entry.hash || first.kind != entry.kind) continue;
    if (part_of(first).key() != part_of(entry).key()) continue;
    entry.first = false;
    entry.next = first.next;
    first.next = at + 1;
    return;
  }
  cells_[i] = {entry.hash, at + 1};
}

void Merge::write_joined() {
  constexpr size_t kAhead = 8;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (i + kAhead < entries_.size() && entries_[i + kAhead].next != 0) {
      const Part part = part_of(entries_[entries_[i + kAhead].next - 1]);
      if (part.of != nullptr) __builtin_prefetch(&part.slot());
    }
    if (!entries_[i].first) continue;
    row_.clear();
    for (uint32_t at = static_cast<uint32_t>(i) + 1; at != 0; at = entries_[at - 1].next)
      row_.push_back(part_of(entries_[at - 1]));
    write_row(row_);
  }
}

Part Merge::part_of(const Entry& entry) const {
  if (entry.source == sealed_.size()) return {nullptr, 0, entry.kind, late_[entry.id]};
  return {&sealed_[entry.source], entry.id, entry.kind};
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
  const auto handled = [](const Part& p) {
    return std::pair(p.of->generation->base_ms + p.slot().gauge.at_ms, p.of->shard->index);
  };
  const auto newer = [&](const Part& a, const Part& b) {
    const uint32_t of_a = a.slot().gauge.arrival;
    const uint32_t of_b = b.slot().gauge.arrival;
    return of_a == of_b ? handled(a) > handled(b) : came_after(of_a, of_b);
  };
  for (const Part& part : parts) {
    if (std::isnan(part.slot().gauge.value)) continue;  // only NaN was sent
    if (newest == nullptr || newer(part, *newest)) newest = &part;
  }
  if (newest == nullptr) return;
  const auto [time_ms, shard] = handled(*newest);
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
  const auto& members = members_[static_cast<size_t>(part.of - sealed_.data())];
  auto it = std::ranges::lower_bound(members, part.id, {}, &SetMembers::Member::context);
  for (; it != members.end() && it->context == part.id; ++it) hashes_.push_back(it->hash);
}

// Null: only NaN and infinities were sent.
const Samples* Merge::samples_of(const Part& part) {
  const Slot& slot = part.slot();
  return slot.samples == 0 ? nullptr : &part.of->generation->samples[slot.samples - 1];
}

void Merge::write_samples(const segment::Context& c, std::span<const Part> parts) {
  values_.clear();
  bins_.clear();
  SampleTotals totals{};
  for (const Part& part : parts) {
    if (part.of == nullptr) {
      const LateSketches::Sketch& late = part.late->second;
      totals.merge(late.totals);
      bins_.insert(bins_.end(), late.bins.begin(), late.bins.end());
      continue;
    }
    const Samples* samples = samples_of(part);
    if (samples == nullptr) continue;
    totals.merge(samples->totals);
    part.of->shard->store.read_values(*samples, values_);
    part.of->shard->store.read_bins(*samples, bins_);
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
  bins_.resize(sketch::normalize(bins_, sketch_bins_, bins_folded_));
  if (histogram) return writer_.histogram(c, summary, {}, bins_);
  writer_.distribution(c, summary, bins_);
}

}  // namespace

uint64_t merge_generations(std::span<const Sealed> sealed, int64_t bucket_start, const Plan& plan,
                           const LateSketches::Bucket& late, segment::Writer& writer) {
  Merge merge(sealed, bucket_start, plan, late, writer);
  merge.write();
  return merge.bins_folded();
}

}  // namespace penstock

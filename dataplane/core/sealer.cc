#include "dataplane/core/sealer.h"

#include <algorithm>
#include <chrono>

#include "dataplane/core/carry_writer.h"
#include "dataplane/core/late_sketches.h"
#include "dataplane/core/merge.h"
#include "dataplane/core/shard_state.h"

namespace penstock {

struct Sealer::State {
  State(const Plan& plan, std::span<Shard* const> shards, KeeperStats& stats, uint64_t instance,
        const Senders* senders)
      : plan(plan),
        stats(stats),
        instance(instance),
        carry(plan, senders),
        late(plan.limits.carry_bytes, plan.limits.sketch_bins) {
    for (Shard* shard : shards) this->shards.push_back(shard->state_.get());
  }

  // The shard has a sealed generation the keeper has not taken yet.
  [[nodiscard]] static bool holds(const ShardState& shard) {
    return shard.cell.at.load(std::memory_order_acquire) !=
           shard.cell.drained.load(std::memory_order_relaxed);
  }

  // What the keeper holds of a shard.
  static Sealed sealed_of(const ShardState& shard) {
    return {&shard, &shard.held(), shard.held_epoch()};
  }
  // What a shard without a thread has not sealed.
  static Sealed open_of(ShardState& shard) {
    shard.open().contexts_high = shard.contexts.high();
    return {&shard, &shard.open(), shard.sealed_epoch + 1};
  }

  std::vector<std::byte> write(int64_t bucket_start, std::span<const Sealed> sealed);
  std::vector<std::byte> write_late(int64_t bucket_start);
  void merge(int64_t bucket_start, std::span<const Sealed> sealed, segment::Writer& writer);
  std::vector<std::byte> finish(segment::Writer& writer, uint64_t samples);

  const Plan& plan;
  KeeperStats& stats;
  const uint64_t instance;
  std::vector<ShardState*> shards;
  CarryWriter carry;
  LateSketches late;
  uint64_t sequence = 0;
  uint64_t rows = 0;
  uint64_t samples = 0;
  uint64_t bins_folded = 0;  // by merges
};

Sealer::Sealer(const Plan& plan, std::span<Shard* const> shards, KeeperStats& stats,
               uint64_t instance, const Senders* senders)
    : state_(std::make_unique<State>(plan, shards, stats, instance, senders)) {}
Sealer::~Sealer() = default;

void Sealer::begin() {
  for (ShardState* shard : state_->shards) {
    EpochCell& cell = shard->cell;
    const uint32_t drained = cell.drained.load(std::memory_order_relaxed);
    // Asked before and not drained yet: its generation, late, is what it gives this time.
    if (cell.want.load(std::memory_order_relaxed) != drained) continue;
    cell.want.store(drained + 1, std::memory_order_release);
  }
}

bool Sealer::ready() const {
  return std::ranges::all_of(state_->shards, [](const ShardState* s) { return State::holds(*s); });
}

std::vector<std::byte> Sealer::seal(int64_t bucket_start) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<ShardState*> held;
  std::vector<Sealed> sealed;
  for (ShardState* shard : state_->shards) {
    if (State::holds(*shard)) {
      held.push_back(shard);
      sealed.push_back(State::sealed_of(*shard));
    } else {
      state_->stats.late_shards.add(1);
    }
  }
  std::vector<std::byte> bytes = state_->write(bucket_start, sealed);
  for (ShardState* shard : held) {
    EpochCell& cell = shard->cell;
    cell.bucket_end_ms.store((bucket_start + state_->plan.interval_s) * 1000,
                             std::memory_order_relaxed);
    cell.drained.store(cell.at.load(std::memory_order_relaxed), std::memory_order_release);
  }
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now() - start);
  const auto spent = static_cast<uint64_t>(us.count());
  state_->stats.seal_us_last.set(spent);
  state_->stats.seal_us_max.set(std::max(state_->stats.seal_us_max.get(), spent));
  return bytes;
}

std::vector<std::byte> Sealer::seal_rest(int64_t bucket_start, Now now) {
  std::vector<Sealed> rest;
  for (ShardState* shard : state_->shards) {
    while (shard->poll_epoch(now)) {  // cleans up, so that only what is not sealed is left
    }
    // One that was late. Its two generations go into one Segment: of two, either would have a point
    // for the same counter and time.
    if (State::holds(*shard)) rest.push_back(State::sealed_of(*shard));
    rest.push_back(State::open_of(*shard));
  }
  return state_->write(bucket_start, rest);
}

std::vector<std::vector<std::byte>> Sealer::seal_late(int64_t before, size_t at_most) {
  std::vector<std::vector<std::byte>> segments;
  for (const int64_t bucket : state_->late.nearest(before, at_most))
    segments.push_back(state_->write_late(bucket));
  return segments;
}

std::optional<int64_t> Sealer::first_late() const { return state_->late.first(); }

void Sealer::give_up_late() {
  state_->late.give_up();
  state_->stats.copies_unkept.add(state_->late.take_given_up());
}

std::vector<std::byte> Sealer::State::write(int64_t bucket_start, std::span<const Sealed> sealed) {
  segment::Writer writer({instance, sequence + 1, bucket_start, plan.interval_s, 0});
  if (plan.dogstatsd.copy_histograms != 0) {
    late.sealing(bucket_start);
    for (const Sealed& s : sealed) stats.copies_unkept.add(carry.copy(s.generation->carry, late));
    stats.copies_unkept.add(late.take_given_up());
  }
  merge(bucket_start, sealed, writer);
  samples = 0;
  for (const Sealed& s : sealed) {
    samples += s.generation->sample_count;
    carry.write(s.generation->carry, writer);
  }
  stats.samples_sealed.add(samples);
  return finish(writer, samples);
}

void Sealer::State::merge(int64_t bucket_start, std::span<const Sealed> sealed,
                          segment::Writer& writer) {
  const LateSketches::Bucket bucket = late.take(bucket_start);
  bins_folded += merge_generations(sealed, bucket_start, plan, bucket, writer);
  stats.bins_folded.set(bins_folded + late.bins_folded());
}

std::vector<std::byte> Sealer::State::write_late(int64_t bucket_start) {
  segment::Writer writer({instance, sequence + 1, bucket_start, plan.interval_s, 0});
  merge(bucket_start, {}, writer);
  return finish(writer, 0);
}

std::vector<std::byte> Sealer::State::finish(segment::Writer& writer, uint64_t samples) {
  rows = writer.rows();
  if (rows == 0) return {};
  ++sequence;
  stats.segments_sealed.add(1);
  stats.points_sealed.add(rows);
  return writer.finish(samples);
}

uint64_t Sealer::sequence() const { return state_->sequence; }
uint64_t Sealer::rows() const { return state_->rows; }
uint64_t Sealer::samples() const { return state_->samples; }

}  // namespace penstock

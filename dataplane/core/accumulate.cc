#include <algorithm>
#include <cmath>
#include <limits>

#include "dataplane/core/sample_rate.h"
#include "dataplane/core/shard_state.h"

namespace penstock {
namespace {

using dogstatsd::Metric;
using dogstatsd::Reason;
using dogstatsd::Type;
using segment::Kind;

constexpr uint32_t kOverflowIncarnation = 0;     // overflow contexts are never freed
constexpr uint32_t kNoIncarnation = UINT32_MAX;  // of no slot

size_t count_finite(std::span<const double> values) {
  return static_cast<size_t>(
      std::count_if(values.begin(), values.end(), [](double v) { return std::isfinite(v); }));
}

}  // namespace

// False: the entry is out of date and nothing was done.
bool ShardState::take_known(const Line& line) {
  LineTarget target = line.target;
  if (ContextTable::is_overflow(target.id)) [[unlikely]] {
    if (target.incarnation != contexts.room_stamp()) return false;
    target.incarnation = kOverflowIncarnation;
  }
  size_t count = 1;
  if (target.kind != static_cast<uint8_t>(Kind::kSet)) {
    const Reason reason = kernel.parse_values(line.text->value(), scratch.span(), count);
    if (reason != Reason::kOk) [[unlikely]] {
      reject(reason);
      return true;
    }
  }
  if (target.filtered != 0) [[unlikely]] {
    leave_out(count);
  } else {
    Slot* slot = touch(target);
    if (slot == nullptr) [[unlikely]]
      return false;
    accumulate(target, *slot, line, {scratch.data(), count});
  }
  ++burst.lines_ok;
  ++burst.metrics;
  return true;
}

void ShardState::take_new(const Line& line) {
  ++burst.memo_misses;
  Metric metric;
  const Reason reason = kernel.parse_metric(*line.text, options, scratch.span(), metric);
  if (reason != Reason::kOk) return reject(reason);
  ++burst.lines_ok;
  ++burst.metrics;
  if (metric.timestamp != 0) return carry_timestamped(line, metric);
  const LineTarget target = learn(line, metric);
  if (target.filtered != 0) return leave_out(metric.values);
  accumulate(target, *touch(target), line, {scratch.data(), metric.values});
}

// A metric whose name is filtered (spec 7.6): it parsed, and that is all.
void ShardState::leave_out(size_t samples) {
  burst.samples += samples;
  burst.filtered += samples;
}

// Finds or makes the line's context, unless it is filtered, and remembers the line. What it
// remembers of an overflow context is good for as long as no context has been freed: then there may
// be room.
LineTarget ShardState::learn(const Line& line, const Metric& metric) {
  const Kind kind = kind_of(metric.type);
  LineTarget target{};
  target.kind = static_cast<uint8_t>(kind);
  if (senders != nullptr) enricher.from(senders->tag(line.origin));
  const Enriched& enriched =
      enricher.metric(line.text->name(), metric.tags, metric.has_tags, metric.origin);
  if (enriched.filtered != nullptr) {
    target.filtered = 1;
    target.id = ContextTable::kOverflowContexts;  // any but theirs
    target.incarnation = kNoIncarnation;
    remember(line, target);
    return target;
  }
  const auto found = contexts.find_or_create(enricher.key(), kind, sealed_epoch + 1);
  burst.contexts_created += found.created ? 1 : 0;
  burst.type_clashes += found.clash ? 1 : 0;

  target.id = found.id;
  const SampleRate rate = sample_rate(kind, metric.rate);
  target.inverse_rate = rate.inverse;
  target.bad_rate = rate.bad ? 1 : 0;
  const bool overflow = ContextTable::is_overflow(found.id);
  target.incarnation = overflow ? contexts.room_stamp() : open().slots[found.id].incarnation;
  remember(line, target);
  if (overflow) target.incarnation = kOverflowIncarnation;
  return target;
}

void ShardState::remember(const Line& line, const LineTarget& target) {
  const std::string_view name = line.text->name();
  const std::string_view suffix = line.text->suffix();
  if (LineMemo::Entry* known = memo.find(line.hash, line.origin, name, suffix)) {
    known->target = target;
  } else {
    burst.memo_evicted += memo.insert(line.hash, line.origin, name, suffix, target);
  }
}

// Spec 8.8; the sample rate is ignored.
void ShardState::carry_timestamped(const Line& line, const Metric& metric) {
  if (enricher.filters(line.text->name())) return leave_out(metric.values);
  burst.samples += metric.values;
  const size_t finite = count_finite({scratch.data(), metric.values});
  if (metric.type != Type::kCount && metric.type != Type::kGauge) {
    burst.unsupported_timestamped += metric.values;
    // Its copy is a distribution of the bucket of that time.
    const bool histogram = kind_of(metric.type) == Kind::kHistogram;
    if (!histogram || plan.dogstatsd.copy_histograms == 0 || finite == 0) return;
    (carry_metric(line, metric.values) ? burst.copied : burst.copies_unkept) += finite;
    return;
  }
  burst.nan_inf += metric.values - finite;
  if (finite == 0) return;
  if (!carry_metric(line, metric.values)) {
    burst.carry_full += finite;
    return;
  }
  burst.timestamped += finite;
}

// False: there is no room.
bool ShardState::carry_metric(const Line& line, size_t values) {
  const std::string_view text = line.text->text();
  const CarryBuffer::Record record{now.unix_ms, line.origin, static_cast<uint32_t>(text.size()),
                                   dogstatsd::Class::kMetric};
  return open().carry.add(record, text, values);
}

// The context's slot in the open generation; null if the context is no longer the one meant.
Slot* ShardState::touch(const LineTarget& target) {
  Generation& generation = open();
  Slot& slot = generation.slots[target.id];
  if (slot.incarnation != target.incarnation) [[unlikely]]
    return nullptr;
  if (!slot.touched()) [[unlikely]] {
    if (target.kind == static_cast<uint8_t>(Kind::kGauge))
      slot.gauge.value = std::numeric_limits<double>::quiet_NaN();
    generation.touched[generation.touched_count++] = target.id;
  }
  slot.see(now_offset);
  return &slot;
}

// NaN and infinite values are left out (spec 8.3).
void ShardState::accumulate(const LineTarget& target, Slot& slot, const Line& line,
                            std::span<const double> values) {
  size_t finite = 0;
  switch (static_cast<Kind>(target.kind)) {
    case Kind::kCounter:
      for (const double v : values) {
        if (!std::isfinite(v)) continue;
        slot.sum.add(v * target.inverse_rate);
        ++finite;
      }
      break;
    case Kind::kGauge:
      for (const double v : values) {
        if (!std::isfinite(v)) continue;
        slot.gauge = {v, now_offset, line.arrival};
        ++finite;
      }
      break;
    case Kind::kSet:
      finite = 1;
      if (!open().sets.add(target.id, SetMembers::hash_of(line.text->value())))
        ++burst.set_members_unkept;
      break;
    case Kind::kHistogram:
    case Kind::kDistribution:
      finite = count_finite(values);
      if (finite == 0) break;
      add_samples(target, slot, values);
      if (target.kind == static_cast<uint8_t>(Kind::kHistogram) && copies.size() != 0)
        copy_samples(target, values);
      break;
  }
  burst.samples += values.size();
  burst.nan_inf += values.size() - finite;
  burst.bad_rate += target.bad_rate;
  (ContextTable::is_overflow(target.id) ? burst.overflow : burst.aggregated) += finite;
}

void ShardState::add_samples(const LineTarget& target, Slot& slot, std::span<const double> values) {
  Generation& generation = open();
  if (slot.samples == 0) slot.samples = ++generation.samples_count;
  Samples& samples = generation.samples[slot.samples - 1];
  const auto weight = static_cast<uint32_t>(target.inverse_rate);
  for (const double v : values) {
    if (!std::isfinite(v)) continue;
    if (!store.add(samples, v, weight, target.inverse_rate)) ++burst.samples_unkept;
  }
}

}  // namespace penstock

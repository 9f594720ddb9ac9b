#include "dataplane/core/shard.h"

#include <array>

#include "dataplane/api/shard_memory.h"
#include "dataplane/core/context_key.h"
#include "dataplane/core/hash.h"
#include "dataplane/core/shard_state.h"

namespace penstock {
namespace {

using dogstatsd::Class;
using dogstatsd::Reason;

// The memory budget counts with these.
static_assert(kContextEntryBytes == sizeof(ContextTable::Context) + sizeof(uint32_t));
static_assert(kContextSlotBytes == sizeof(Slot) + sizeof(uint32_t));
static_assert(kContextSamplesBytes == sizeof(Samples));
static_assert(kKeySlabBytes == uint64_t{1} << KeyArena::kSlabBitsMax);
static_assert(kKeySlabEntryBytes == sizeof(KeyArena::Slab));
static_assert(kCopyBytes == sizeof(ShardState::Copy));
static_assert(kSetMemberBytes == sizeof(SetMembers::Member));
static_assert(kOverflowContextsMax == ContextTable::kOverflowContexts);

constexpr size_t kValuesMax = (size_t{UINT16_MAX} + 1) / 2;  // numbers in the longest packet

}  // namespace

Shard::Shard(const Plan& plan, uint16_t index, ShardStats& stats, const Senders* senders)
    : state_(std::make_unique<ShardState>(plan, index, stats, senders)) {}
Shard::~Shard() = default;
void Shard::process(std::span<const Packet> packets, Now now) { state_->process(packets, now); }
bool Shard::poll_epoch(Now now) { return state_->poll_epoch(now); }
bool Shard::epoch_work() const { return state_->epoch_work(); }

ShardState::ShardState(const Plan& plan, uint16_t index, ShardStats& stats, const Senders* senders)
    : plan(plan),
      stats(stats),
      kernel(simd::active()),
      options{plan.dogstatsd.timestamps != 0, plan.dogstatsd.client_origin != 0},
      index(index),
      senders(senders),
      scratch(kValuesMax),
      copies(plan.dogstatsd.copy_histograms == 0
                 ? 0
                 : plan.limits.contexts + ContextTable::kOverflowContexts),
      enricher(plan),
      copy_key(copies.size() == 0
                   ? 0
                   : enricher.key_size_max() + plan.dogstatsd.copy_prefix.size + kVarintMax),
      memo(plan.limits.memo_bytes, random_seed()),
      contexts(plan.limits.contexts, plan.limits.context_bytes, process_seed(),
               plan.str(plan.dogstatsd.default_host)),
      store(plan.limits.sample_bytes, plan.limits.sketch_bins),
      generations{Generation(plan.limits, plan.limits.contexts + ContextTable::kOverflowContexts),
                  Generation(plan.limits, plan.limits.contexts + ContextTable::kOverflowContexts)} {
  for (size_t i = 0; i < kBatch; ++i) batch[i].text = &texts[i];
}

void ShardState::process(std::span<const Packet> packets, Now at) {
  if (open().base_ms == Generation::kNoBase) [[unlikely]]
    open().base_ms = at.unix_ms;
  now = at;
  now_offset = open().offset_of(at.unix_ms);
  for (const Packet& packet : packets) split(packet);
  run_batch();
  burst.packets += packets.size();
  publish();
}

// Spec section 4.
void ShardState::split(const Packet& packet) {
  burst.bytes += packet.len;
  const char* const data = reinterpret_cast<const char*>(packet.data);
  for (size_t at = 0; at < packet.len;) {
    dogstatsd::Line* const out = &texts[lines];
    size_t found = kernel.split(data, packet.len, at, out, kBatch - lines);
    if (found != 0 && !out[found - 1].terminated) found = without_bad_end(packet, found);
    take_lines(packet, found);
    if (lines == kBatch) run_batch();
  }
}

// The last line of a packet has no line end: it may have to have one, and it may be empty.
size_t ShardState::without_bad_end(const Packet& packet, size_t found) {
  if ((packet.flags & kPacketEolRequired) != 0) {
    ++burst.lines;
    ++burst.rejected_unterminated;
    return found - 1;
  }
  return texts[lines + found - 1].size == 0 ? found - 1 : found;
}

// The `found` lines after the batch's last: metrics join the batch, closing up where another kind
// of line lies between.
void ShardState::take_lines(const Packet& packet, size_t found) {
  burst.lines += found;
  const size_t end = lines + found;
  for (size_t i = lines; i < end; ++i) {
    const dogstatsd::Line& text = texts[i];
    if (text.what != Class::kMetric || text.reason != Reason::kOk) [[unlikely]] {
      take_other(text, packet);
      continue;
    }
    if (i != lines) [[unlikely]]
      texts[lines] = text;
    Line& line = batch[lines++];
    line.origin = packet.origin;
    line.arrival = packet.arrival;
    line.hash = memo.hash(line.origin, text.name(), text.suffix());
    memo.prefetch(line.hash);
  }
}

void ShardState::take_other(const dogstatsd::Line& line, const Packet& packet) {
  if (line.what != Class::kMetric) return carry_message(line.what, line.text(), packet.origin);
  reject(line.reason);
}

void ShardState::reject(Reason reason) {
  static constexpr std::array<uint64_t ShardBurst::*, dogstatsd::kReasons> kCounters = {
      nullptr,
      &ShardBurst::rejected_no_pipe,
      &ShardBurst::rejected_no_colon,
      &ShardBurst::rejected_empty_name,
      &ShardBurst::rejected_empty_value,
      &ShardBurst::rejected_bad_type,
      &ShardBurst::rejected_no_values,
      &ShardBurst::rejected_bad_value,
      &ShardBurst::rejected_bad_rate,
      &ShardBurst::rejected_bad_timestamp,
      &ShardBurst::rejected_event_no_colon,
      &ShardBurst::rejected_event_too_short,
      &ShardBurst::rejected_event_bad_header,
      &ShardBurst::rejected_event_empty_title,
      &ShardBurst::rejected_sc_format,
      &ShardBurst::rejected_sc_empty_name,
      &ShardBurst::rejected_sc_bad_status,
  };
  ++(burst.*kCounters[static_cast<size_t>(reason)]);
}

void ShardState::carry_message(Class what, std::string_view text, uint32_t origin) {
  Reason reason = Reason::kOk;
  if (what == Class::kEvent) {
    dogstatsd::Event event;
    reason = dogstatsd::parse_event(text, options, event);
  } else {
    dogstatsd::ServiceCheck check;
    reason = dogstatsd::parse_service_check(text, options, check);
  }
  if (reason != Reason::kOk) return reject(reason);
  ++burst.lines_ok;
  ++(what == Class::kEvent ? burst.events : burst.service_checks);
  const CarryBuffer::Record record{now.unix_ms, origin, static_cast<uint32_t>(text.size()), what};
  if (!open().carry.add(record, text)) ++burst.carry_full_events;
}

// What this many contexts gather is in the second cache, and fetching it ahead costs more than it
// gives.
constexpr uint32_t kCachedContexts = 32768;

// Each pass fetches ahead what the next one reads, for all lines of the batch.
void ShardState::run_batch() {
  const std::span<Line> all(batch.data(), lines);
  for (Line& line : all) look_up(line);
  for (Line& line : all) confirm(line);
  if (contexts.high() > kCachedContexts) {
    for (const Line& line : all) fetch_state(line);
    for (const Line& line : all) fetch_block(line);
  }
  for (Line& line : all) {
    if (line.entry != nullptr && take_known(line)) [[likely]] {
      ++burst.memo_hits;
    } else {
      take_new(line);
    }
  }
  lines = 0;
}

void ShardState::look_up(Line& line) {
  line.entry = memo.candidate(line.hash);
  if (line.entry == nullptr) return;
  const char* p = reinterpret_cast<const char*>(line.entry);
  __builtin_prefetch(p);
  __builtin_prefetch(p + 64);
  __builtin_prefetch(p + 128);
}

// Copies the target out: a miss earlier in the batch may overwrite the entry.
void ShardState::confirm(Line& line) {
  if (line.entry == nullptr) return;
  if (!LineMemo::matches(*line.entry, line.origin, line.text->name(), line.text->suffix())) {
    line.entry = nullptr;
    return;
  }
  line.target = line.entry->target;
  prefetch(open().slots[line.target.id]);
}

// What the slot leads to: the samples; the place of a set's member.
void ShardState::fetch_state(const Line& line) {
  if (line.entry == nullptr) return;
  const LineTarget& target = line.target;
  Generation& generation = open();
  const Slot& slot = generation.slots[target.id];
  switch (static_cast<segment::Kind>(target.kind)) {
    case segment::Kind::kSet:
      generation.sets.prefetch(target.id, SetMembers::hash_of(line.text->value()));
      return;
    case segment::Kind::kHistogram:
    case segment::Kind::kDistribution: {
      const bool begun = slot.incarnation == target.incarnation && slot.samples != 0;
      const size_t at = begun ? slot.samples - 1 : generation.samples_count;
      const char* const samples = reinterpret_cast<const char*>(&generation.samples[at]);
      __builtin_prefetch(samples, 1);
      __builtin_prefetch(samples + 64, 1);
      return;
    }
    default:
      return;
  }
}

// The block that a further sample goes to.
void ShardState::fetch_block(const Line& line) {
  using segment::Kind;
  if (line.entry == nullptr) return;
  const LineTarget& target = line.target;
  if (target.kind < static_cast<uint8_t>(Kind::kHistogram)) return;
  Generation& generation = open();
  const Slot& slot = generation.slots[target.id];
  if (slot.incarnation != target.incarnation || slot.samples == 0) return;
  store.prefetch(generation.samples[slot.samples - 1]);
}

void ShardState::publish() {
  open().sample_count += burst.aggregated + burst.overflow + burst.timestamped;
#define PENSTOCK_FIELD(name) \
  if (burst.name != 0) stats.name.add(burst.name);
  PENSTOCK_SHARD_COUNTERS(PENSTOCK_FIELD)
#undef PENSTOCK_FIELD
  stats.contexts.set(contexts.live());
  stats.contexts_full.set(contexts.turned_away_by_count());
  stats.context_bytes_full.set(contexts.turned_away_by_bytes());
  stats.bins_folded.set(store.bins_folded());
  burst = {};
}

}  // namespace penstock

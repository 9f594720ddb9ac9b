#include <algorithm>
#include <array>

#include "controlplane/forward_tally.h"
#include "controlplane/ledger.h"
#include "controlplane/ledger_names.h"

namespace penstock {
namespace {

void set(StatsBlockValues& block, std::string_view name, uint64_t value) {
  for (auto& [counter, old] : block.counters) {
    if (counter == name) old = value;
  }
}

void settle_source(StatsBlockValues& b) {
  set(b, "received", sum_of_names(b, kReceivedParts));
  set(b, "connections_closed", b.get("connections"));  // with the process
}

void settle_shard(StatsBlockValues& b) {
  set(b, "lines_ok", sum_of_names(b, kLinesOkParts));
  set(b, "lines", b.get("lines_ok") + sum_of_prefix(b, "rejected_"));
  set(b, "samples", sum_of_names(b, kSampleParts));
  for (const std::string_view level : {"contexts", "pause_ns_max"}) set(b, level, 0);
}

uint64_t above(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

// Packets that reached no shard. An inline receive loop may have died between its shard's counters
// and its own: those packets were received.
uint64_t settle_packets(std::vector<StatsBlockValues>& blocks) {
  const uint64_t dispatched = sum_of(blocks, StatsBlock::kRxQueue, "dispatched") +
                              sum_of(blocks, StatsBlock::kListener, "dispatched");
  const uint64_t processed = sum_of(blocks, StatsBlock::kShard, "packets");
  const auto source = std::ranges::find_if(blocks, is_source);
  if (source != blocks.end() && processed > dispatched) {
    set(*source, "dispatched", source->get("dispatched") + processed - dispatched);
    settle_source(*source);
  }
  return above(dispatched, processed);
}

}  // namespace

bool is_source(const StatsBlockValues& block) {
  return block.kind == StatsBlock::kRxQueue || block.kind == StatsBlock::kListener;
}

uint64_t times_met(const Bound& bound, const std::vector<StatsBlockValues>& blocks) {
  uint64_t times = 0;
  for (const std::string_view counter : bound.counters) {
    if (counter.empty()) continue;
    for (const StatsBlockValues& block : blocks) times += block.get(counter);
  }
  return times;
}

uint64_t sum_of_names(const StatsBlockValues& block, std::span<const std::string_view> names) {
  uint64_t sum = 0;
  for (const std::string_view name : names) sum += block.get(name);
  return sum;
}

uint64_t sum_of_prefix(const StatsBlockValues& block, std::string_view prefix) {
  uint64_t sum = 0;
  for (const auto& [name, value] : block.counters) {
    if (name.starts_with(prefix)) sum += value;
  }
  return sum;
}

uint64_t sum_of(const std::vector<StatsBlockValues>& blocks, StatsBlock kind,
                std::string_view counter) {
  uint64_t sum = 0;
  for (const StatsBlockValues& b : blocks) {
    if (b.kind == kind) sum += b.get(counter);
  }
  return sum;
}

void note_missing(const std::vector<StatsBlockValues>& live, Reception& reception) {
  const uint64_t sealed = sum_of(live, StatsBlock::kKeeper, "segments_sealed");
  if (reception.last_sequence != sealed || reception.segments == sealed) return;
  reception.missing_points =
      above(sum_of(live, StatsBlock::kKeeper, "points_sealed"), reception.points);
  reception.missing_samples =
      above(sum_of(live, StatsBlock::kKeeper, "samples_sealed"), reception.samples);
}

CrashLoss settle(std::vector<StatsBlockValues> blocks, const Reception& reception,
                 Departed& departed) {
  Reception r = reception;
  note_missing(blocks, r);
  for (StatsBlockValues& b : blocks) {
    if (is_source(b)) settle_source(b);
    if (b.kind == StatsBlock::kShard) settle_shard(b);
  }
  CrashLoss loss;
  loss.packets = settle_packets(blocks);
  settle_forward(blocks);
  const uint64_t kept = sum_of(blocks, StatsBlock::kShard, "aggregated") +
                        sum_of(blocks, StatsBlock::kShard, "overflow") +
                        sum_of(blocks, StatsBlock::kShard, "timestamped");
  loss.samples = above(kept, r.samples + r.missing_samples);
  const uint64_t sealed = sum_of(blocks, StatsBlock::kKeeper, "points_sealed");
  loss.points = above(sealed, r.points + r.missing_points);
  for (StatsBlockValues& b : blocks) {
    if (b.kind != StatsBlock::kKeeper) continue;
    // Samples of Segments that did not reach us are lost, not sealed.
    set(b, "samples_sealed", r.samples + r.missing_samples);
    set(b, "points_sealed", std::max(sealed, r.points + r.missing_points));
    for (const std::string_view level :
         {"seal_us_max", "seal_us_last", "heartbeat_unix_ms", "open_bucket", "drained"}) {
      set(b, level, 0);
    }
  }
  add_blocks(departed.blocks, blocks);
  ++departed.instances;
  departed.packets_lost += loss.packets;
  departed.samples_lost += loss.samples;
  departed.points_lost += loss.points;
  departed.points_received += r.points;
  departed.points_missing += r.missing_points;
  return loss;
}

}  // namespace penstock

#include "controlplane/forward_tally.h"

#include <algorithm>

#include "controlplane/ledger.h"
#include "controlplane/ledger_names.h"

namespace penstock {
namespace {

uint64_t sources(const std::vector<StatsBlockValues>& blocks, std::string_view name) {
  uint64_t sum = 0;
  for (const StatsBlockValues& b : blocks) sum += is_source(b) ? b.get(name) : 0;
  return sum;
}

ForwardTally& entry(std::vector<ForwardTally>& tallies, const std::string& name) {
  const auto it = std::ranges::find(tallies, name, &ForwardTally::name);
  if (it != tallies.end()) return *it;
  tallies.emplace_back().name = name;
  return tallies.back();
}

void add(ForwardTally& t, const StatsBlockValues& b) {
  t.offered += b.get("offered");
  t.sent += b.get("sent");
  t.queue_full += b.get("queue_full");
  t.errors += b.get("errors");
  t.lost_in_crash += b.get("lost_in_crash");
  t.datagrams += b.get("datagrams");
  t.bytes += b.get("sent_bytes");
  t.last_errno = static_cast<int>(b.get("last_errno"));
}

}  // namespace

void settle_forward(std::vector<StatsBlockValues>& blocks) {
  const uint64_t offered = sources(blocks, "dispatched") + sources(blocks, "ring_full");
  const uint64_t ring_full = sources(blocks, "forward_full");
  for (StatsBlockValues& b : blocks) {
    if (b.kind != StatsBlock::kForward) continue;
    for (auto& [name, value] : b.counters) {
      if (name == "queue_full") value += ring_full;
    }
    const uint64_t done = b.get("sent") + b.get("queue_full") + b.get("errors");
    b.counters.emplace_back("offered", std::max(offered, done));
    b.counters.emplace_back("lost_in_crash", offered > done ? offered - done : 0);
  }
}

std::vector<ForwardTally> forward_tallies(const std::vector<StatsBlockValues>& departed,
                                          const std::vector<StatsBlockValues>& live) {
  std::vector<ForwardTally> tallies;
  for (const StatsBlockValues& b : departed) {
    if (b.kind == StatsBlock::kForward) add(entry(tallies, b.label), b);
  }
  const bool drained = sum_of(live, StatsBlock::kKeeper, "drained") != 0;
  const uint64_t offered = sources(live, "dispatched") + sources(live, "ring_full");
  const uint64_t ring_full = sources(live, "forward_full");
  for (const StatsBlockValues& b : live) {
    if (b.kind != StatsBlock::kForward) continue;
    ForwardTally& t = entry(tallies, b.label);
    add(t, b);
    t.offered += offered;
    t.queue_full += ring_full;
    const uint64_t done = b.get("sent") + b.get("queue_full") + b.get("errors") + ring_full;
    if (!drained && offered > done) t.in_flight = offered - done;
  }
  return tallies;
}

}  // namespace penstock

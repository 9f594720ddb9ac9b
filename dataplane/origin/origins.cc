#include "dataplane/origin/origins.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "dataplane/api/io_memory.h"
#include "dataplane/api/shard_memory.h"

namespace penstock::origin {
namespace {

constexpr size_t kEntriesPerBucket = 4;
static_assert(kEntriesPerBucket * kProcessBytes ==
              64);  // a bucket; the memory budget counts with it

// The last first: those in use lie together.
std::vector<uint32_t> all_of(uint32_t count) {
  std::vector<uint32_t> indices(count);
  std::iota(indices.rbegin(), indices.rend(), 0u);
  return indices;
}

}  // namespace

Origins::Origins(const Plan& plan, Resolver& resolver, std::vector<OriginStats*> stats)
    : resolver_(resolver),
      stats_(std::move(stats)),
      counts_(stats_.size()),
      buckets_((plan.limits.origins + kEntriesPerBucket - 1) / kEntriesPerBucket),
      places_(origin_places_of(plan)),
      free_places_(all_of(origin_places_of(plan))),
      tickets_(origin_places_of(plan), Ticket{nullptr, kNone, kNone}),
      free_tickets_(all_of(origin_places_of(plan))) {}

void Origins::end_pass() {
  for (size_t i = 0; i < stats_.size(); ++i) {
    if (stats_[i] == nullptr) continue;
#define PENSTOCK_FIELD(name) \
  if (counts_[i].name != 0) stats_[i]->name.add(counts_[i].name);
    PENSTOCK_ORIGIN_COUNTERS(PENSTOCK_FIELD)
#undef PENSTOCK_FIELD
    counts_[i] = {};
  }
  if (asked_) resolver_.wake();
  asked_ = false;
}

// True if the packet waits from now on for the answer about its sender, which is asked for unless
// it already is.
bool Origins::wait(const Packet& packet, Entry* e, uint32_t pid, uint16_t listener) {
  Counts& counts = counts_[listener];
  if (free_places_.empty()) return false;
  if (e == nullptr || e->is() != State::kAsked) {
    if (free_tickets_.empty()) return false;
    if (e == nullptr) e = claim(pid, counts);
    if (e == nullptr) return false;
    const uint32_t ticket = free_tickets_.back();
    free_tickets_.pop_back();
    tickets_[ticket].entry = e;
    *e = {pid, ticket, 0, static_cast<uint64_t>(State::kAsked)};
    resolver_.ask({ticket, pid});
    asked_ = true;
    ++counts.origin_lookups;
  }
  const uint32_t at = free_places_.back();
  free_places_.pop_back();
  places_[at] = {packet, kNone, listener};
  Ticket& ticket = tickets_[e->origin];
  (ticket.first == kNone ? ticket.first : places_[ticket.last].next) = at;
  ticket.last = at;
  ++counts.origin_waited;
  return true;
}

// An entry for a new process: an unused one, or the oldest of its bucket. Null if all of them are
// asked about.
Origins::Entry* Origins::claim(uint32_t pid, Counts& counts) {
  Entry* oldest = nullptr;
  for (Entry& e : bucket_of(pid).entries) {
    if (e.pid == 0) return &e;
    if (e.is() == State::kAsked) continue;
    if (oldest == nullptr || e.since_ms < oldest->since_ms) oldest = &e;
  }
  if (oldest != nullptr && fresh(*oldest)) ++counts.origin_evicted;
  return oldest;
}

}  // namespace penstock::origin

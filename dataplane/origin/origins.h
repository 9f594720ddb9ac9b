#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/api/plan.h"
#include "dataplane/api/stats.h"
#include "dataplane/core/lazy_array.h"
#include "dataplane/core/packet.h"
#include "dataplane/origin/credentials.h"
#include "dataplane/origin/resolver.h"

namespace penstock::origin {

// Gives packets the container that their sender is in. What is known of a process is remembered for
// a minute (spec 2.6), an error for a second; packets of a process that is not known wait for the
// Resolver's answer, and keep their buffers meanwhile, so that even the first has its origin.
//
// Rules:
//  1. Packets of one process leave in the order they came: while any wait, the next wait too.
//  2. Without room to wait, a packet goes on without origin, and those of its sender that wait go
//     before it. It is counted as unresolved.
//  3. A process that is asked about is not forgotten: its entry is where the answer goes.
//
// The thread that receives; no system call but to wake the Resolver.
class Origins {
 public:
  static constexpr uint64_t kLifetimeMs = 60'000;
  static constexpr uint64_t kErrorLifetimeMs = 1'000;

  // `stats`: of each of the Plan's listeners; null: its packets need no origin. `plan`, `resolver`
  // and the stats outlive the Origins.
  Origins(const Plan& plan, Resolver& resolver, std::vector<OriginStats*> stats);

  [[nodiscard]] bool wanted(uint16_t listener) const { return stats_[listener] != nullptr; }

  // Begins a pass, at `unix_ms`; ends it: publishes counts and wakes the Resolver if it was asked.
  void begin_pass(int64_t unix_ms) { now_ms_ = static_cast<uint64_t>(unix_ms); }
  void end_pass();

  // A packet of a listener that wants origins, complete but for `origin`. Calls `deliver(const
  // Packet&)` for it now, or later from `settle`; before it, where rule 2 says so, for others.
  template <class Deliver>
  void take(Packet& packet, const Credentials& sender, uint16_t listener, Deliver&& deliver);

  // Delivers the packets whose answers have come.
  template <class Deliver>
  void settle(Deliver&& deliver);

  // Delivers all that wait, without origin.
  template <class Deliver>
  void give_up(Deliver&& deliver);

  // Packets that wait.
  [[nodiscard]] size_t waiting() const { return places_.size() - free_places_.size(); }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  // What is known of a process.
  enum class State : uint16_t { kContainer, kNone, kError, kFull, kAsked };
  struct Entry {
    uint32_t pid;     // 0: unused
    uint32_t origin;  // kAsked: the ticket
    uint64_t since_ms : 48;
    uint64_t state : 16;
    [[nodiscard]] State is() const { return static_cast<State>(state); }
  };
  struct alignas(64) Bucket {
    std::array<Entry, 4> entries;
  };
  static_assert(sizeof(Bucket) == 64);

  // A packet that waits; a question and the packets that wait for its answer.
  struct Place {
    Packet packet;
    uint32_t next;
    uint16_t listener;
  };
  struct Ticket {
    Entry* entry;
    uint32_t first, last;  // places; kNone: no packet waits
  };

  struct Counts {
#define PENSTOCK_FIELD(name) uint64_t name = 0;
    PENSTOCK_ORIGIN_COUNTERS(PENSTOCK_FIELD)
#undef PENSTOCK_FIELD
  };

  static State state_of(Outcome outcome) { return static_cast<State>(outcome); }
  [[nodiscard]] Bucket& bucket_of(uint32_t pid) {
    const uint32_t mixed = pid * 0x9e3779b1u;
    return buckets_[uint64_t{mixed} * buckets_.size() >> 32];
  }
  [[nodiscard]] Entry* find(uint32_t pid);
  [[nodiscard]] bool fresh(const Entry& e) const;
  Entry* claim(uint32_t pid, Counts& counts);
  bool wait(const Packet& packet, Entry* e, uint32_t pid, uint16_t listener);
  static void count(State state, Counts& counts);
  template <class Deliver>
  void release(Ticket& ticket, uint32_t origin, State state, Deliver&& deliver);

  Resolver& resolver_;
  std::vector<OriginStats*> stats_;
  std::vector<Counts> counts_;  // by listener, since the last pass
  LazyArray<Bucket> buckets_;
  std::vector<Place> places_;
  std::vector<uint32_t> free_places_;
  std::vector<Ticket> tickets_;
  std::vector<uint32_t> free_tickets_;
  uint64_t now_ms_ = 0;
  bool asked_ = false;  // in this pass
};

inline Origins::Entry* Origins::find(uint32_t pid) {
  for (Entry& e : bucket_of(pid).entries) {
    if (e.pid == pid) return &e;
  }
  return nullptr;
}

// Unsigned: after a step of the clock backwards nothing is.
inline bool Origins::fresh(const Entry& e) const {
  const uint64_t age = now_ms_ - e.since_ms;
  if (e.is() == State::kAsked) return false;
  return age < (e.is() == State::kError ? kErrorLifetimeMs : kLifetimeMs);
}

inline void Origins::count(State state, Counts& counts) {
  static constexpr std::array<uint64_t Counts::*, 5> kCounters = {
      &Counts::origin_container, &Counts::origin_none, &Counts::origin_errors, &Counts::origin_full,
      &Counts::origin_unresolved};
  ++(counts.*kCounters[static_cast<size_t>(state)]);
}

template <class Deliver>
void Origins::take(Packet& packet, const Credentials& sender, uint16_t listener,
                   Deliver&& deliver) {
  Counts& counts = counts_[listener];
  if (sender.pid == 0) {
    ++counts.origin_errors;
    return deliver(packet);
  }
  if (sender.replayed()) {
    ++counts.origin_replayed;
    return deliver(packet);
  }
  Entry* const e = find(sender.pid);
  if (e != nullptr && fresh(*e)) [[likely]] {
    ++counts.origin_hits;
    count(e->is(), counts);
    packet.origin = e->origin;
    return deliver(packet);
  }
  if (wait(packet, e, sender.pid, listener)) return;
  if (e != nullptr && e->is() == State::kAsked) {
    release(tickets_[e->origin], 0, State::kAsked, deliver);
  }
  ++counts.origin_unresolved;
  deliver(packet);
}

template <class Deliver>
void Origins::settle(Deliver&& deliver) {
  if (free_tickets_.size() == tickets_.size()) return;
  for (Resolver::Answer a; resolver_.poll(a);) {
    Ticket& ticket = tickets_[a.ticket];
    Entry& e = *ticket.entry;
    e.origin = a.origin;
    e.since_ms = now_ms_;
    e.state = static_cast<uint64_t>(state_of(a.outcome));
    release(ticket, a.origin, e.is(), deliver);
    free_tickets_.push_back(a.ticket);
  }
}

template <class Deliver>
void Origins::give_up(Deliver&& deliver) {
  for (Ticket& ticket : tickets_) release(ticket, 0, State::kAsked, deliver);
}

// Delivers the packets that wait for an answer. State kAsked: without it.
template <class Deliver>
void Origins::release(Ticket& ticket, uint32_t origin, State state, Deliver&& deliver) {
  for (uint32_t at = ticket.first; at != kNone;) {
    Place& place = places_[at];
    count(state, counts_[place.listener]);
    place.packet.origin = origin;
    deliver(place.packet);
    free_places_.push_back(at);
    at = place.next;
  }
  ticket.first = ticket.last = kNone;
}

}  // namespace penstock::origin

#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "controlplane/state.h"
#include "dataplane/api/stats.h"

namespace penstock {

// The ledger (architecture, section 11): every packet, line and sample that came in is in exactly
// one counter, and the sums prove it.

struct ExporterTally {
  std::string name;
  uint64_t delivered = 0;  // points
  uint64_t queued = 0;
  uint64_t given_up = 0;
  uint64_t filtered = 0;  // series of histograms; outside the identity, which counts rows
};

struct LedgerInput {
  std::vector<StatsBlockValues> live;  // of the running data plane; empty when there is none
  Reception reception;                 // of the running data plane
  Departed departed;
  std::vector<ExporterTally> exporters;
  std::map<std::string, std::string> addresses;  // of listeners, by their names
};

// The ledger as JSON (docs/ledger.md has its keys). "balanced" is true when every identity holds;
// "differences" names each that does not, with both sides and the gap. Pure.
//
// Of a running data plane the open bucket and the Segments on their way are taken as what is left
// over, so that only contradictions are differences; packets still in a ring are one, so a caller
// reads again for a moment before it believes a difference.
nlohmann::ordered_json make_ledger(const LedgerInput& input);

// The same for people.
std::string ledger_table(const nlohmann::ordered_json& ledger);

// Makes the last counters of a dead data plane agree, adds them to `departed`, and returns what
// died with it: packets in rings, samples of the open bucket, Segments that did not reach us. Where
// the crash came between two stores of one burst, the total is made the sum of its parts.
struct CrashLoss {
  uint64_t packets = 0;
  uint64_t samples = 0;
  uint64_t points = 0;
  [[nodiscard]] bool any() const { return packets + samples + points > 0; }
};
CrashLoss settle(std::vector<StatsBlockValues> blocks, const Reception& reception,
                 Departed& departed);

// Works out what the data plane gave up before we saw it, once every Segment it sealed is behind us
// and some never came.
void note_missing(const std::vector<StatsBlockValues>& live, Reception& reception);

// The sum of a counter over all blocks of a kind.
uint64_t sum_of(const std::vector<StatsBlockValues>& blocks, StatsBlock kind,
                std::string_view counter);

}  // namespace penstock

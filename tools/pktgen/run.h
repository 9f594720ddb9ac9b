#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/base/status.h"
#include "tools/pktgen/output.h"
#include "tools/pktgen/traffic.h"

namespace penstock::pktgen {

struct RunOptions {
  uint64_t rate = 0;      // packets a second; 0: flat out
  double seconds = 0;     // stop after; 0: no limit
  uint64_t packets = 0;   // stop after; 0: no limit
  bool progress = false;  // a line on standard error, rewritten each second
};

struct RunResult {
  std::vector<uint64_t> times;  // how often each packet of the deck was sent
  uint64_t unsent = 0;          // due by the schedule but not sent when time was up
  uint64_t waits = 0;           // times the receiver or the kernel had no room
  uint64_t refused = 0;         // times the kernel said that nobody listens (UDP)
  double seconds = 0;
  absl::Status status;  // why it ended early, if it did
};

// Deals packets from the deck to the output until a limit is reached, `stop` is set or the output
// fails. The schedule is absolute: after a delay it catches up.
RunResult run(const Deck& deck, Output& output, const RunOptions& options,
              const std::atomic<bool>& stop);

// The run as one JSON object: packets, lines, bytes, seconds, unsent, waits, refused, samples by
// type, counters by name.
std::string report_json(const Deck& deck, const RunResult& result);

}  // namespace penstock::pktgen

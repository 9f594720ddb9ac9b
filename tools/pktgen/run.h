#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "dataplane/base/status.h"
#include "tools/pktgen/output.h"
#include "tools/pktgen/traffic.h"

namespace penstock::pktgen {

// A rate a second, or a ramp from one to another over the time of the run. 0: flat out.
struct Pace {
  double from = 0;
  double to = 0;

  constexpr Pace(double steady)
      : from(steady), to(steady) {}  // NOLINT(google-explicit-constructor)
  constexpr Pace(double first, double last) : from(first), to(last) {}
  [[nodiscard]] bool ramp() const { return from != to; }
  [[nodiscard]] bool flat_out() const { return from == 0 && to == 0; }
};

struct RunOptions {
  Pace rate = 0;
  bool in_lines = false;  // the rate is of lines, otherwise of packets
  double seconds = 0;     // stop after; 0: no limit, and then the rate is no ramp
  uint64_t packets = 0;   // stop after; 0: no limit
  bool progress = false;  // a line on standard error, rewritten each second
};

struct RunResult {
  std::vector<uint64_t> times;  // how often each packet of the deck was sent
  uint64_t unsent = 0;          // packets, or lines, that were due but not sent when time was up
  uint64_t waits = 0;           // times the receiver or the kernel had no room
  uint64_t refused = 0;         // times the kernel said that nobody listens (UDP)
  double seconds = 0;
  absl::Status status;  // why it ended early, if it did
};

// Deals packets from the deck until a limit is reached, `stop` is set or an output fails. The
// schedule is absolute: after a delay it catches up. Each output has a thread, and of n outputs the
// one at i deals packets i, i + n, ... at its share of the rate, so that with a limit of packets
// all together send the same packets as one would.
RunResult run(const Deck& deck, std::span<Output* const> outputs, const RunOptions& options,
              const std::atomic<bool>& stop);
RunResult run(const Deck& deck, Output& output, const RunOptions& options,
              const std::atomic<bool>& stop);

// The run as one JSON object (docs/pktgen.md).
std::string report_json(const Deck& deck, const RunResult& result);

}  // namespace penstock::pktgen

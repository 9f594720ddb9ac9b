#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "controlplane/compile.h"
#include "dataplane/api/stats.h"
#include "dataplane/base/status.h"

namespace penstock {

// Segments of one data-plane process that reached a penstockd, each counted once however often it
// was announced.
struct Reception {
  uint64_t last_sequence = 0;
  uint64_t segments = 0;
  uint64_t points = 0;
  uint64_t samples = 0;
  // Given up by the data plane before any penstockd saw them; known once a gap in the sequences is
  // behind us.
  uint64_t missing_points = 0;
  uint64_t missing_samples = 0;
};

// What an exporter has finished with. `sequence` and `instance_points` are of Segments of
// `instance`; the sums are over everything in the ledger.
struct ExporterProgress {
  uint64_t instance = 0;
  uint64_t sequence = 0;
  uint64_t instance_points = 0;
  uint64_t delivered = 0;  // points
  uint64_t given_up = 0;   // points
  std::string cursor;      // Exporter::cursor
  uint64_t filtered = 0;   // series of delivered points that the name filter left out
};

// What is left of data planes that ended: their counters, made to agree with each other and with
// what reached us (settle.h), and what died with them.
struct Departed {
  std::vector<StatsBlockValues> blocks;
  uint64_t instances = 0;
  uint64_t crashes = 0;
  uint64_t packets_lost = 0;
  uint64_t samples_lost = 0;
  uint64_t points_lost = 0;
  uint64_t points_received = 0;
  uint64_t points_missing = 0;
};

// What penstockd must remember to go on after kill -9 as if nothing had happened: one JSON file in
// the run directory.
struct State {
  uint64_t instance = 0;  // the data plane that `reception` is about; 0: none yet
  Reception reception;
  std::map<std::string, ExporterProgress> exporters;
  Departed departed;
  uint64_t restarts = 0;
  MachineFacts facts;  // the running Plan was compiled with
};

std::string encode_state(const State& state);
// INVALID_ARGUMENT if `text` is not what encode_state writes.
absl::StatusOr<State> decode_state(const std::string& text);

// Writes next to `path`, then renames: a reader finds the old or the new file, whole.
absl::Status write_file_atomically(const std::string& path, const std::string& text);
absl::StatusOr<std::string> read_file(const std::string& path);

// Adds the counters of `from` to the blocks of the same kind and label in `into`.
void add_blocks(std::vector<StatsBlockValues>& into, const std::vector<StatsBlockValues>& from);

}  // namespace penstock

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/config.h"
#include "controlplane/exporters/points.h"
#include "dataplane/api/stats.h"
#include "dataplane/base/status.h"
#include "dataplane/core/sealer.h"
#include "dataplane/core/shard.h"
#include "tools/replay/canonical.h"
#include "tools/replay/input.h"

namespace penstock::replay {

// The Plan a replay runs by: the configuration's, without ports, listeners and cores. Limits that
// are at their defaults are raised, as they bound a server's memory and a replay has no server's
// memory to bound.
absl::StatusOr<std::unique_ptr<Plan>> plan_for(const Config& config);

struct Options {
  uint16_t shards = 1;  // 1 to 64
  uint16_t burst = 32;  // packets handed to a shard at once; 1 to 512
  bool eol_udp = false, eol_uds = false, eol_pipe = false;  // spec section 4, step 3
  HistogramConfig histograms;
  // Takes each Segment before its lines go to the output; may be empty.
  std::function<void(const segment::Meta&, std::span<const std::byte>)> on_segment = {};
};

// A data plane in one thread: shards, sealer and a clock that the input moves. Packets go to the
// shards in turn. Every bucket is sealed when the clock passes its end, by the same epochs as in a
// running data plane; what it gave goes to `output` at once.
//
// Time that goes back counts as the latest time before it, so that no bucket comes twice: what
// arrives then belongs to the open bucket.
class Replay {
 public:
  // `plan` outlives it. `output` takes the lines of one bucket.
  Replay(const Plan& plan, const Options& options, std::function<void(std::string_view)> output);
  ~Replay();
  Replay(const Replay&) = delete;
  Replay& operator=(const Replay&) = delete;

  void take(const Record& record);
  // Seals what is open. Nothing may be taken any more.
  void finish();

  // The ledger (docs/ledger.md) of what was taken; exact once finished.
  [[nodiscard]] nlohmann::ordered_json ledger() const;
  // The same for people, and whether it balances.
  [[nodiscard]] std::string ledger_text(bool& balanced) const;
  // What the person should know of the run, a line each: bounds that were reached, values without
  // an output.
  [[nodiscard]] std::vector<std::string> notes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace penstock::replay

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dataplane/api/plan.h"
#include "dataplane/api/stats.h"
#include "dataplane/base/status.h"
#include "dataplane/core/outlet.h"
#include "dataplane/core/worker.h"

namespace penstock {

// How a port is doing, for agent::PortState.
struct NicPortState {
  bool up = false;    // it receives
  bool link = false;  // its link is up
  std::string text;   // driver, MAC, offloads; or why it failed and what to do
  bool operator==(const NicPortState&) const = default;
};

// Everything that is DPDK in the data plane, without a DPDK type: EAL, the Plan's ports, and one
// receive loop for each RxPlan on its own lcore. One per process; EAL cannot be started twice.
// Every method belongs to the keeper's thread, which becomes EAL's main lcore.
//
// Life: start, StatsBuilder::publish, launch, [ports, read_losses]..., stop_receiving, the shards'
// stop flag, join, read_losses, destruction.
class Nic {
 public:
  // Starts EAL with the Plan's arguments, then every port. A port that cannot be started is logged,
  // says why in `ports()`, and does not stop the others. Adds one kRxQueue block and one kLoss
  // block, both labelled "<port>/<queue>", for every RxPlan to `stats`, and in the pipeline wiring
  // one ring from each working receive queue to every shard.
  //
  // `shards` are in the Plan's order; they, `plan` and the memory of `stats` outlive the Nic. Fails
  // only if EAL cannot start (the caller exits with code 4 then), or for a Plan that contradicts
  // itself: a receive queue without an lcore, or without a shard in the inline wiring.
  // `forward` are the ways to the forwarder, by RxPlan; empty: nothing is forwarded. Their rings
  // outlive the loops, and what is still in them when those end is not freed.
  static absl::StatusOr<std::unique_ptr<Nic>> start(const Plan& plan, StatsBuilder& stats,
                                                    std::span<ShardWorker* const> shards,
                                                    std::span<const Outlet> forward = {});

  // Closes and removes the ports, takes our XDP programs off their interfaces, and ends EAL. The
  // loops have been joined, or were never launched.
  ~Nic();
  Nic(const Nic&) = delete;
  Nic& operator=(const Nic&) = delete;

  // The state of each port of the Plan, in its order. Asks the drivers for their link; cheap enough
  // for once a second. A port whose link came up since the last call announces its addresses.
  [[nodiscard]] std::vector<NicPortState> ports() const;
  // How many ports receive. 0 and no listener: exit with code 3.
  [[nodiscard]] size_t ports_up() const;

  // Starts the receive loops on their lcores and returns. Inline wiring: the loop of rx[i] also
  // runs the shard with ShardPlan::rx == i, also when its port failed, and ends when `stop_shards`
  // is set and the shard's rings are empty (as ShardWorker::run: set the flag, then wake the
  // sleeper). `stop_shards` outlives the loops.
  void launch(const std::atomic<bool>& stop_shards);

  // Stops taking packets and returns when everything the NICs had received is with its shard:
  // processed (inline), or processed and its buffers reclaimed (pipeline, so the shards must still
  // run). Milliseconds. An XDP port gives its UDP ports back to the kernel first.
  void stop_receiving();

  // Waits for the loops to end; set the shards' stop flag first.
  void join();

  // Copies what the NICs lost into the kLoss blocks; about once a second, and once after `join`.
  void read_losses();

 private:
  struct State;
  explicit Nic(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace penstock

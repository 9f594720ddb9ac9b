#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/api/plan.h"
#include "dataplane/api/stats.h"
#include "dataplane/base/fd.h"
#include "dataplane/base/status.h"
#include "dataplane/core/outlet.h"
#include "dataplane/origin/origins.h"
#include "dataplane/uring/assemblies.h"
#include "dataplane/uring/buffers.h"
#include "dataplane/uring/connections.h"
#include "dataplane/uring/forwarder.h"
#include "dataplane/uring/listener.h"
#include "dataplane/uring/loans.h"
#include "dataplane/uring/moderation.h"
#include "dataplane/uring/outlets.h"
#include "dataplane/uring/pipes.h"
#include "dataplane/uring/ring.h"
#include "dataplane/uring/stream.h"
#include "dataplane/uring/user_data.h"

namespace penstock::uring {

// OK if the Plan's buffers can be had: count a power of two up to Buffers::kCountMax, size within
// Packet::len; and its connections can be told apart.
absl::Status check_buffers(const Plan& plan);

// What IoLoop hides; its contract is there.
class Loop {
 public:
  // `outlets` have rings of at least `io_ring_slots`, and outlive the loop. `origins` knows the
  // containers of senders, where a listener wants them.
  static absl::StatusOr<std::unique_ptr<Loop>> create(
      const Plan& plan, std::vector<Fd> sockets, std::span<SourceStats* const> sources,
      std::span<LossStats* const> losses, std::span<const Outlet> outlets,
      std::unique_ptr<origin::Origins> origins = nullptr);
  // Wiring time. Every packet also goes to these targets.
  absl::Status forward_to(const Plan& plan, std::vector<Fd> targets,
                          std::span<ForwardStats* const> stats);
  Outlet add_inlet(uint32_t slots);

  absl::Status run(const std::atomic<bool>& stop);
  void wake();

  // One completion, as the kernel reports it. Called by the loop, and by tests with what a kernel
  // reports rarely.
  void complete(uint64_t user_data, int result, uint32_t flags);

 private:
  using Micros = std::chrono::microseconds;
  static constexpr Micros kNoLimit = Micros::max();

  explicit Loop(IdleMode idle) : moderation_(idle) {}

  absl::Status add_listener(const Plan& plan, uint16_t slot, Fd socket, SourceStats& source,
                            LossStats& loss);
  absl::Status start();
  absl::Status pass(Micros limit);
  absl::Status wait(Micros limit);
  [[nodiscard]] bool inlets_wait() const;
  [[nodiscard]] Micros patience() const;
  void receive(const UserData& d, int result, uint32_t flags);
  void ended(Listener& l, int result);
  void reclaim();
  void hand_over();
  void forward();
  void rearm();
  absl::Status drain();
  absl::Status cancel();
  absl::Status wait_for_targets();
  absl::Status wait_for_shards();
  [[nodiscard]] bool sockets_hold_packets() const;
  [[nodiscard]] bool any(Listener::State state) const;
  [[nodiscard]] bool drained() const;
  [[nodiscard]] bool armed() const;
  void read_drops();
  void arm_wake();
  void arm_timer();

  // In this order: the ring goes before the buffers the kernel writes to.
  std::unique_ptr<Buffers> buffers_;
  std::unique_ptr<Assemblies> assemblies_;
  std::unique_ptr<Loans> loans_;
  std::vector<Listener> listeners_;  // of datagrams
  std::unique_ptr<Outlets> outlets_;
  std::unique_ptr<StreamInput> input_;
  std::unique_ptr<Connections> connections_;
  std::unique_ptr<Pipes> pipes_;
  std::unique_ptr<Forwarder> forwarder_;  // null: nothing is forwarded
  std::unique_ptr<Sleeper> sleeper_;      // by which others end the sleep in the kernel
  uint64_t wake_count_ = 0;               // where the kernel puts what it reads from its event
  uint64_t taken_ = 0;                    // datagrams of this pass
  uint64_t roomy_taken_ = 0;              // those from sockets with room for more
  Moderation moderation_;
  bool nap_ = false;  // before the next pass
  bool timer_armed_ = false;
  bool closing_ = false;  // arm nothing again
  std::unique_ptr<Ring> ring_;
};

}  // namespace penstock::uring

#pragma once

#include <array>
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
#include "dataplane/uring/buffers.h"
#include "dataplane/uring/forwarder.h"
#include "dataplane/uring/listener.h"
#include "dataplane/uring/ring.h"
#include "dataplane/uring/user_data.h"

namespace penstock::uring {

// Slots of an outlet's ring: one for every buffer, so that a ring is never full.
uint32_t ring_slots(const Plan& plan);

// OK if the Plan's buffers can be had: count a power of two up to Buffers::kCountMax, size within
// Packet::len.
absl::Status check_buffers(const Plan& plan);

// What IoLoop hides; its contract is there.
class Loop {
 public:
  // `outlets` have rings of at least `ring_slots`, and outlive the loop.
  static absl::StatusOr<std::unique_ptr<Loop>> create(const Plan& plan, std::vector<Fd> sockets,
                                                      std::span<SourceStats* const> sources,
                                                      std::span<LossStats* const> losses,
                                                      std::span<const Outlet> outlets);
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
  static constexpr size_t kGather = 64;

  // Packets on their way to one shard, gathered so that a burst is published once.
  struct Gather {
    PacketRing* ring;
    Sleeper* sleeper;
    size_t count = 0;
    std::array<Packet, kGather> packets;
  };

  Loop() = default;

  absl::Status start();
  absl::Status pass(Micros limit);
  absl::Status wait(Micros limit);
  [[nodiscard]] Micros patience() const;
  [[nodiscard]] bool work_waits() const;
  void forward();
  absl::Status drain_forwarder();
  void receive(const UserData& d, int result, uint32_t flags);
  void ended(Listener& l, int result);
  void dispatch(Packet& packet);
  void send(Gather& g);
  void reclaim();
  void rearm();
  absl::Status drain();
  absl::Status cancel();
  absl::Status wait_for_shards();
  [[nodiscard]] bool sockets_hold_packets() const;
  [[nodiscard]] bool any(Listener::State state) const;
  void read_drops();
  void arm_wake();
  void arm_timer();
  io_uring_sqe* next_sqe();

  // In this order: the ring goes before the buffers the kernel writes to.
  std::unique_ptr<Buffers> buffers_;
  std::vector<Listener> listeners_;
  std::vector<Gather> outlets_;
  std::unique_ptr<Sleeper> sleeper_;         // how others end the sleep in the kernel
  const std::atomic<bool>* stop_ = nullptr;  // until it is seen
  uint64_t wake_count_ = 0;  // where the kernel puts what it reads from the sleeper's event
  uint32_t time_ms_ = 0;     // of this pass
  uint64_t taken_ = 0;       // datagrams of this pass
  bool timer_armed_ = false;
  bool closing_ = false;                  // arm nothing again
  std::unique_ptr<Forwarder> forwarder_;  // null: nothing is forwarded
  std::unique_ptr<Ring> ring_;
};

}  // namespace penstock::uring

#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/api/plan.h"
#include "dataplane/api/stats.h"
#include "dataplane/base/fd.h"
#include "dataplane/base/status.h"
#include "dataplane/core/packet.h"
#include "dataplane/core/ring.h"
#include "dataplane/uring/forward_target.h"
#include "dataplane/uring/loans.h"
#include "dataplane/uring/ring.h"

namespace penstock::uring {

// Sends every packet to the forward targets as it came (spec section 3), from the receive buffer it
// came in. The io thread's, except for `create` and `add_inlet`.
//
// Sends go through an io_uring of their own: none of them waits, so one `flush` submits a burst and
// has its results, and when it returns no send is under way. Completions of the receiving ring
// would come in between otherwise.
//
// A packet waits only for a target whose socket takes nothing more, at most
// `penstock.forward.queue` of them, and of those in the io thread's buffers or in an inlet at most
// a share, so that the buffers never run out for receiving. Beyond, the oldest goes: an inlet is
// finished in order, and so is never stuck behind one old packet.
class Forwarder {
 public:
  // `sockets` are connected datagram sockets, in the order of the Plan's open targets, as `stats`.
  // `loans` outlive the forwarder.
  static absl::StatusOr<std::unique_ptr<Forwarder>> create(const Plan& plan,
                                                           std::vector<Fd> sockets,
                                                           std::span<ForwardStats* const> stats,
                                                           Loans& loans);

  // Wiring time: a ring from one receive loop of a port.
  PacketRing& add_inlet(uint32_t slots);

  // The io thread, first.
  absl::Status start();

  // One packet of the io thread, in the memory of the owner `memory`, which is held until it is
  // sent.
  void offer(const Packet& packet, uint64_t memory);
  // A burst from each inlet.
  void take_inlets();
  // True if an inlet has packets that were not taken: the look before sleeping.
  [[nodiscard]] bool inlets_wait();
  // Sends what waits, except to blocked targets, and finishes with what is sent.
  void flush();

  [[nodiscard]] std::span<ForwardTarget> targets() { return targets_; }
  // True while a packet waits for a target.
  [[nodiscard]] bool waiting() const;
  // Gives up what waits, counted in queue_full.
  void give_up();

  // The kernel refused to take sends: the io thread cannot go on.
  [[nodiscard]] const absl::Status& status() const { return status_; }

 private:
  // A ring that a port's receive loop fills. Taken packets are [tail, tail + taken); `position`
  // follows the last of them.
  struct Inlet {
    std::unique_ptr<PacketRing> ring;
    std::vector<uint8_t> waits;  // by position: targets that are not done with it
    uint32_t position = 0;
    uint32_t taken = 0;
  };

  explicit Forwarder(Loans& loans) : loans_(loans) {}
  void offer(const ForwardPiece& piece);
  void hold(const ForwardPiece& piece);
  void release(const ForwardPiece& piece);
  [[nodiscard]] bool has_room(const ForwardTarget& target, uint16_t holder) const;
  bool submit(unsigned count);
  static void finish(Inlet& inlet);

  std::unique_ptr<Ring> ring_;
  Loans& loans_;
  std::vector<ForwardTarget> targets_;
  std::vector<Inlet> inlets_;
  std::vector<uint32_t> shares_;  // by holder: of its packets, how many may wait for one target
  std::vector<int> results_;      // by submission of a flush
  absl::Status status_;
};

}  // namespace penstock::uring

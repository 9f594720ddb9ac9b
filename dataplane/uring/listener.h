#pragma once

#include <liburing.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "dataplane/api/plan.h"
#include "dataplane/api/stats.h"
#include "dataplane/base/fd.h"
#include "dataplane/base/status.h"
#include "dataplane/core/packet.h"
#include "dataplane/origin/credentials.h"

namespace penstock::uring {

// One datagram socket and the multishot receive on it. The io thread's, except for `create`.
class Listener {
 public:
  // Bytes in front of a payload: the kernel's header, the sender's address (UDP) or credentials
  // (UDS).
  static constexpr size_t kHeaderBytesMax = 48;

  // kStarved: the kernel found no buffer and gave up; re-arm once some came home. kFailed: an
  // unexpected error; re-arm after a pause. kEnded: penstockd has shut the socket to senders and
  // it is read to its end.
  enum class State : uint8_t { kIdle, kArmed, kStarved, kFailed, kEnded };

  // `slot` is its index in the Plan, `index` the one among the loop's datagram sockets. Turns
  // SO_PASSCRED on for UDS. Fails if the socket is not a datagram socket of the planned kind.
  static absl::StatusOr<Listener> create(const Plan& plan, uint16_t slot, uint16_t index, Fd socket,
                                         SourceStats& source, LossStats& loss);

  // Fills in the submission of a new multishot receive, in a new generation.
  void arm(io_uring_sqe* sqe);

  // Reads the datagram in `buffer`, which the kernel filled with `bytes` bytes: a packet without
  // owner and time, or nothing if it is longer than buffer_size. Counts it. The end of a socket
  // that is shut is no datagram: nothing is counted, and the state becomes kEnded.
  std::optional<Packet> take(const uint8_t* buffer, size_t bytes);

  // Who sent the packet that `take` gave last.
  [[nodiscard]] const origin::Credentials& sender() const { return sender_; }

  // Publishes what `take` counted since the last call.
  void publish_counts();

  // Asks the kernel how many datagrams it dropped on this socket (UDP; a UDS sender waits
  // instead), and publishes it. The number is the socket's since it was made: the socket outlives
  // the data plane, and what was lost while none ran is lost all the same.
  void read_drops();

  [[nodiscard]] uint64_t user_data() const;
  [[nodiscard]] bool is_current(uint32_t generation) const { return generation == generation_; }
  [[nodiscard]] State state() const { return state_; }
  void set_state(State state) { state_ = state; }
  [[nodiscard]] uint16_t slot() const { return slot_; }
  // Its packets may go to any shard.
  [[nodiscard]] bool spread() const { return spread_; }
  // Datagrams may gather in the socket for a moment (moderation.h).
  [[nodiscard]] bool has_room() const { return has_room_; }
  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  struct Counts {
    uint64_t received = 0;
    uint64_t received_bytes = 0;
    uint64_t truncated = 0;
    uint64_t dispatched = 0;
  };

  Listener() = default;
  [[nodiscard]] uint32_t flow(const uint8_t* name) const;

  Fd socket_;
  std::string name_;
  SourceStats* source_ = nullptr;
  LossStats* loss_ = nullptr;
  msghdr shape_{};  // how the kernel lays out a buffer: address and control bytes, no pointers
  origin::Credentials sender_;
  Counts counts_;  // since the last publish
  uint32_t buffer_size_ = 0;
  uint32_t generation_ = 0;
  uint32_t drops_seen_ = 0;  // the kernel's counter wraps at 32 bits
  uint16_t slot_ = 0;
  uint16_t index_ = 0;
  bool spread_ = false;
  bool has_room_ = false;
  ListenerKind kind_ = ListenerKind::kUdp;
  uint8_t packet_flags_ = 0;
  State state_ = State::kIdle;
};

}  // namespace penstock::uring

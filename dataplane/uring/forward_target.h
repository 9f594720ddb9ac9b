#pragma once

#include <liburing.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "dataplane/api/stats.h"
#include "dataplane/base/fd.h"

namespace penstock::uring {

// A packet that waits for one target. Its bytes stay in the receive buffer they came in, which its
// holder keeps until it is told that this target is done.
struct ForwardPiece {
  const uint8_t* data;
  uint32_t position;  // in its holder
  uint16_t len;
  uint16_t holder;  // 0: the io thread's memory; else inlet holder - 1
};

// One target: its socket, the packets that wait for it, oldest first, and the sends of one flush.
// Sends never wait (MSG_DONTWAIT): a packet stays queued only while its socket takes nothing more,
// and the target is `blocked` until that is writable again. The io thread's.
class ForwardTarget {
 public:
  static constexpr size_t kBurst = 64;  // packets a flush

  // `queue` packets may wait, `bytes` is the longest datagram that packets are joined to; 0: each
  // is a datagram of its own.
  ForwardTarget(Fd socket, uint32_t queue, uint32_t bytes, ForwardStats& stats);

  [[nodiscard]] bool blocked() const { return blocked_; }
  // True once for each time it is blocked: ask the kernel when it is writable, then `unblock`.
  [[nodiscard]] bool wants_look() { return blocked_ && !std::exchange(looked_at_, true); }
  void unblock() { blocked_ = looked_at_ = false; }
  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] size_t waiting() const { return back_ - front_; }
  [[nodiscard]] bool full() const { return waiting() >= queue_; }
  [[nodiscard]] uint32_t waiting_of(uint16_t holder) const { return held_[holder]; }

  // Wiring time: there is a holder of this number.
  void add_holder(uint16_t holder) { held_.resize(holder + size_t{1}); }

  // There must be room.
  void push(const ForwardPiece& piece);
  // Gives up the oldest, counted in queue_full.
  ForwardPiece drop_oldest();

  // Fills in submissions for the oldest packets, at most kBurst of them, whose user_data are
  // `first`, `first + 1` ... Returns how many submissions.
  unsigned prepare(io_uring* ring, uint64_t first);
  // Their results came, in the same order. Calls `done(piece)` for each packet that no longer
  // waits.
  template <class Done>
  void settle(std::span<const int> results, Done&& done);

 private:
  unsigned join(unsigned from, unsigned to, msghdr& header);
  void count(int result, unsigned packets);
  void publish();
  ForwardPiece& at(uint32_t n) { return pieces_[n & mask_]; }

  Fd socket_;
  ForwardStats* stats_;
  uint32_t queue_;
  uint32_t bytes_;
  bool blocked_ = false;
  bool looked_at_ = false;
  std::vector<ForwardPiece> pieces_;  // [front, back), free-running
  uint32_t mask_;
  uint32_t front_ = 0;
  uint32_t back_ = 0;
  std::vector<uint32_t> held_;  // by holder: of its packets, how many wait

  // Of this flush.
  struct Counts {
    uint64_t sent = 0;
    uint64_t sent_bytes = 0;
    uint64_t datagrams = 0;
    uint64_t errors = 0;
    int last_errno = 0;
  };
  Counts counts_;
  struct Datagram {
    uint16_t packets;
    msghdr header;
  };
  std::array<Datagram, kBurst> datagrams_;
  std::array<iovec, 2 * kBurst> parts_;  // when joined: packet, newline, packet ...
};

template <class Done>
void ForwardTarget::settle(std::span<const int> results, Done&& done) {
  // Those the socket had no room for stay, in their order, in front of the others.
  std::array<ForwardPiece, kBurst> kept;
  unsigned kept_count = 0;
  for (size_t i = 0; i < results.size(); ++i) {
    const unsigned packets = datagrams_[i].packets;
    count(results[i], packets);
    for (unsigned n = 0; n < packets; ++n) {
      const ForwardPiece piece = at(front_++);
      if (results[i] == -EAGAIN) {
        kept[kept_count++] = piece;
      } else {
        --held_[piece.holder];
        done(piece);
      }
    }
  }
  while (kept_count != 0) at(--front_) = kept[--kept_count];
  publish();
}

}  // namespace penstock::uring

#include "dataplane/uring/forward_target.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cerrno>
#include <utility>

namespace penstock::uring {
namespace {

constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;

char newline[] = "\n";

}  // namespace

ForwardTarget::ForwardTarget(Fd socket, uint32_t queue, uint32_t bytes, ForwardStats& stats)
    : socket_(std::move(socket)),
      stats_(&stats),
      queue_(queue),
      bytes_(bytes),
      pieces_(std::bit_ceil(queue)),
      mask_(static_cast<uint32_t>(pieces_.size()) - 1),
      held_(1) {}

void ForwardTarget::push(const ForwardPiece& piece) {
  assert(!full());
  at(back_++) = piece;
  ++held_[piece.holder];
}

ForwardPiece ForwardTarget::drop_oldest() {
  assert(waiting() != 0);
  const ForwardPiece piece = at(front_++);
  --held_[piece.holder];
  stats_->queue_full.add(1);
  return piece;
}

unsigned ForwardTarget::prepare(io_uring* ring, uint64_t first) {
  const unsigned ready = static_cast<unsigned>(std::min(waiting(), kBurst));
  unsigned count = 0;
  for (unsigned taken = 0; taken < ready; ++count) {
    io_uring_sqe* sqe = io_uring_get_sqe(ring);
    assert(sqe != nullptr);  // the ring has room for a burst of each target
    Datagram& d = datagrams_[count];
    if (bytes_ == 0) {
      const ForwardPiece& piece = at(front_ + taken);
      d.packets = 1;
      io_uring_prep_send(sqe, fd(), piece.data, piece.len, kFlags);
    } else {
      d.packets = static_cast<uint16_t>(join(taken, ready, d.header));
      io_uring_prep_sendmsg(sqe, fd(), &d.header, kFlags);
    }
    sqe->user_data = first + count;
    taken += d.packets;
  }
  return count;
}

// Makes a datagram of as many packets as fit in bytes_, the first of them whatever its length.
unsigned ForwardTarget::join(unsigned from, unsigned to, msghdr& header) {
  iovec* const parts = parts_.data() + size_t{2} * from;
  header = {};
  header.msg_iov = parts;
  size_t size = 0;
  unsigned n = from;
  for (; n < to; ++n) {
    const ForwardPiece& piece = at(front_ + n);
    if (n != from) {
      if (size + 1 + piece.len > bytes_) break;
      parts[header.msg_iovlen++] = {newline, 1};
      ++size;
    }
    // sendmsg only reads what an iovec points to.
    parts[header.msg_iovlen++] = {const_cast<uint8_t*>(piece.data), piece.len};
    size += piece.len;
  }
  return n - from;
}

void ForwardTarget::count(int result, unsigned packets) {
  if (result >= 0) {
    counts_.sent += packets;
    counts_.sent_bytes += static_cast<uint64_t>(result);
    ++counts_.datagrams;
  } else if (result == -EAGAIN) {
    blocked_ = true;
  } else {
    counts_.errors += packets;
    counts_.last_errno = -result;
  }
}

void ForwardTarget::publish() {
  stats_->sent.add(counts_.sent);
  stats_->sent_bytes.add(counts_.sent_bytes);
  stats_->datagrams.add(counts_.datagrams);
  if (counts_.errors != 0) {
    stats_->errors.add(counts_.errors);
    stats_->last_errno.set(static_cast<uint64_t>(counts_.last_errno));
  }
  counts_ = {};
}

}  // namespace penstock::uring

#include "dataplane/uring/connections.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <utility>

#include "dataplane/base/log.h"
#include "dataplane/base/strings.h"
#include "dataplane/uring/listener.h"

namespace penstock::uring {
namespace {

// Neighbours go to different shards, and every one stays with its own.
uint32_t flow_of(uint32_t connection, uint16_t listener) {
  uint64_t x = (uint64_t{listener} << 32 | connection) * 0x9e3779b97f4a7c15;
  x ^= x >> 32;
  return static_cast<uint32_t>(x * 0xd6e8feb86659fd93 >> 32);
}

absl::Status check_socket(int fd) {
  int domain = 0;
  int listening = 0;
  socklen_t size = sizeof domain;
  if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 ||
      ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0) {
    return errno_status(errno, "asking for its type");
  }
  if (domain == AF_UNIX && listening != 0) return absl::OkStatus();
  return absl::InvalidArgumentError("not a listening Unix stream socket");
}

constexpr size_t kCredentialBytes = CMSG_SPACE(sizeof(ucred));
constexpr size_t kHeaderBytes = sizeof(io_uring_recvmsg_out) + kCredentialBytes;
static_assert(kHeaderBytes <= Listener::kHeaderBytesMax);

// The kernel names the sender of all that is sent from now on. What cannot be is an unknown sender.
void name_senders(int fd) {
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
}

bool is_shut(int fd) {
  pollfd p{fd, POLLRDHUP, 0};
  return ::poll(&p, 1, 0) == 1;
}

}  // namespace

Connections::Connections(Ring& ring, Buffers& buffers, StreamInput& input, uint32_t most)
    : ring_(ring), buffers_(buffers), input_(input), connections_(most), to_arm_(most) {
  shape_.msg_controllen = kCredentialBytes;
  for (uint32_t i = most; i-- != 0;) free_.push_back(static_cast<uint16_t>(i));
}

absl::Status Connections::add_listener(const Plan& plan, uint16_t slot, Fd socket,
                                       SourceStats& source) {
  const ListenerPlan& p = plan.listeners[slot];
  if (absl::Status s = check_socket(socket.get()); !s.ok()) {
    return absl::Status(s.code(), to_absl(cat("listener ", plan.str(p.name), " (",
                                              plan.str(p.address), "): ", to_std(s.message()))));
  }
  Packet packet{};
  packet.source = Source::kUdsStream;
  packet.flags = p.eol_required != 0 ? kPacketEolRequired : 0;
  acceptors_.push_back({.name = std::string(plan.str(p.name)),
                        .socket = std::move(socket),
                        .source = &source,
                        .counts = {},
                        .packet = packet,
                        .slot = slot,
                        .buffer_size = plan.dogstatsd.buffer_size,
                        .most = p.connections,
                        .spread = p.spread != 0,
                        .wants_senders = p.origin_detection != 0});
  // For connections that send before they are accepted.
  if (p.origin_detection != 0) name_senders(acceptors_.back().socket.get());
  return absl::OkStatus();
}

void Connections::arm_accept(uint16_t listener) {
  Acceptor& a = acceptors_[listener];
  io_uring_sqe* sqe = ring_.sqe();
  io_uring_prep_accept(sqe, a.socket.get(), nullptr, nullptr, SOCK_CLOEXEC);
  sqe->user_data = pack({Kind::kAccept, listener, ++a.generation});
  a.state = Acceptor::State::kArmed;
}

void Connections::accepted(const UserData& d, int result) {
  Fd socket(result >= 0 ? result : -1);
  if (d.slot >= acceptors_.size() || acceptors_[d.slot].generation != d.generation) return;
  Acceptor& a = acceptors_[d.slot];
  if (a.state == Acceptor::State::kArmed) {
    a.state = a.left ? Acceptor::State::kEnded : Acceptor::State::kIdle;
  }
  if (socket.valid()) {
    open(d.slot, std::move(socket));
  } else {
    accept_failed(a, -result);
  }
}

void Connections::accept_failed(Acceptor& a, int error) {
  switch (error) {
    case ECANCELED:
    case EINTR:
    case EAGAIN:
    case ECONNABORTED:
      return;
    case EINVAL:  // penstockd has shut it, and nobody waits in it any more
      a.state = Acceptor::State::kEnded;
      return;
    default:
      a.state = Acceptor::State::kFailed;
      a.source->accept_failed.add(1);
      spdlog::error("listener {}: accepting a connection failed: {}; trying again in a second",
                    a.name, strerror(error));
  }
}

void Connections::open(uint16_t listener, Fd socket) {
  Acceptor& a = acceptors_[listener];
  const uint16_t slot = free_.back();  // accepts are armed only while there is one
  free_.pop_back();
  Connection& c = connections_[slot];
  if (draining_) ::shutdown(socket.get(), SHUT_RD);
  c.socket = std::move(socket);
  c.listener = listener;
  c.shut = false;
  c.stream = {.splitter = framing::FrameSplitter(a.buffer_size),
              .packet = a.packet,
              .counts = &a.counts,
              .listener = a.slot,
              .slot = slot,
              .spread = a.spread};
  c.stream.packet.flow = flow_of(a.sequence++, listener);
  c.peer = {};
  if (a.wants_senders) {
    name_senders(c.socket.get());
    c.peer = origin::peer_credentials(c.socket.get());
  }
  a.source->connections.add(1);
  if (++a.open == a.most) note_full(a);
  c.state = Connection::State::kToArm;
  to_arm_.push(slot);
}

void Connections::note_full(const Acceptor& a) {
  a.source->connections_full.add(1);
  if (std::exchange(told_full_, true)) return;
  spdlog::warn(
      "listener {}: {} connections are open, the limit "
      "(penstock.listeners.uds_stream.connections); others wait until one closes",
      a.name, a.most);
}

void Connections::arm(uint16_t slot) {
  Connection& c = connections_[slot];
  io_uring_sqe* sqe = ring_.sqe();
  if (acceptors_[c.listener].wants_senders) {
    io_uring_prep_recvmsg_multishot(sqe, c.socket.get(), &shape_, 0);
  } else {
    io_uring_prep_recv_multishot(sqe, c.socket.get(), nullptr, 0, 0);
  }
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = Buffers::kGroup;
  sqe->user_data = pack({Kind::kConnection, slot, ++c.generation});
  c.state = Connection::State::kArmed;
}

void Connections::received(const UserData& d, int result, uint32_t flags) {
  const bool current =
      d.slot < connections_.size() && connections_[d.slot].generation == d.generation;
  if ((flags & IORING_CQE_F_BUFFER) != 0) {
    const auto id = static_cast<uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
    buffers_.lend();
    if (current && result > 0) {
      result = take(connections_[d.slot], id, result);
    } else {
      buffers_.come_home(id);
    }
  }
  if (!current) return;
  if ((flags & IORING_CQE_F_MORE) == 0) ended(d.slot, result);
  settle(d.slot);
}

// Of `bytes` in a buffer that is lent, those of payload. At the end of a stream there is a header
// and none.
int Connections::take(Connection& c, uint16_t buffer, int bytes) {
  int payload = bytes;
  origin::Credentials sender;
  if (acceptors_[c.listener].wants_senders) {
    io_uring_recvmsg_out header;
    std::memcpy(&header, buffers_.data(buffer), sizeof header);
    sender = origin::read_credentials(buffers_.data(buffer) + sizeof header, header.controllen);
    if (sender.pid == 0) sender = c.peer;
    payload -= static_cast<int>(kHeaderBytes);
  }
  if (payload > 0) {
    const auto size = static_cast<size_t>(payload);
    input_.take(c.stream, buffer, static_cast<size_t>(bytes) - size, size, sender);
  } else {
    buffers_.come_home(buffer);
  }
  return payload;
}

// Its receive is over. Only the end of the stream, or an error, is the end of the connection.
void Connections::ended(uint16_t slot, int result) {
  Connection& c = connections_[slot];
  const bool again = (result > 0 || result == -ENOBUFS || result == -EINTR) && !closing_;
  c.state = again ? Connection::State::kToArm : Connection::State::kEnded;
  if (again) to_arm_.push(slot);
}

// A connection that sent a bad frame is shut, so that its receive ends if it is armed; what was on
// the way is thrown away.
void Connections::settle(uint16_t slot) {
  Connection& c = connections_[slot];
  if (c.stream.refused && !std::exchange(c.shut, true)) ::shutdown(c.socket.get(), SHUT_RDWR);
  if (c.state == Connection::State::kEnded && c.stream.held == 0) close(slot);
}

void Connections::close(uint16_t slot) {
  Connection& c = connections_[slot];
  Acceptor& a = acceptors_[c.listener];
  input_.end(c.stream);
  c.socket.reset();
  c.state = Connection::State::kFree;
  free_.push_back(slot);
  --a.open;
  a.source->connections_closed.add(1);
}

void Connections::rearm() {
  if (closing_) return;
  // No more than may find a buffer: the others keep their turn.
  for (size_t n = std::min<size_t>(to_arm_.size(), buffers_.left()); n != 0; --n) {
    arm(to_arm_.front());
    to_arm_.pop();
  }
  for (size_t i = 0; i < acceptors_.size(); ++i) {
    const Acceptor& a = acceptors_[i];
    if (a.state == Acceptor::State::kIdle && a.open < a.most) arm_accept(static_cast<uint16_t>(i));
  }
}

void Connections::retry() {
  for (Acceptor& a : acceptors_) {
    if (a.state == Acceptor::State::kFailed) a.state = Acceptor::State::kIdle;
  }
}

bool Connections::failed() const {
  return std::ranges::any_of(acceptors_,
                             [](const Acceptor& a) { return a.state == Acceptor::State::kFailed; });
}

void Connections::publish_counts() {
  for (Acceptor& a : acceptors_) a.counts.publish(*a.source);
}

void Connections::begin_drain() {
  draining_ = true;
  for (size_t i = 0; i < acceptors_.size(); ++i) {
    Acceptor& a = acceptors_[i];
    a.left = !is_shut(a.socket.get());
    if (!a.left) continue;
    if (a.state == Acceptor::State::kArmed) {
      cancel(Kind::kAccept, i, a.generation);
    } else {
      a.state = Acceptor::State::kEnded;
    }
  }
  for (const Connection& c : connections_) {
    if (c.state != Connection::State::kFree) ::shutdown(c.socket.get(), SHUT_RD);
  }
}

bool Connections::drained() const {
  return std::ranges::all_of(acceptors_, [](const Acceptor& a) {
    return a.open == 0 &&
           (a.state == Acceptor::State::kEnded || a.state == Acceptor::State::kFailed);
  });
}

void Connections::cancel() {
  closing_ = true;
  for (size_t i = 0; i < acceptors_.size(); ++i) {
    if (acceptors_[i].state != Acceptor::State::kArmed) continue;
    cancel(Kind::kAccept, i, acceptors_[i].generation);
  }
  for (size_t i = 0; i < connections_.size(); ++i) {
    Connection& c = connections_[i];
    if (c.state == Connection::State::kArmed) cancel(Kind::kConnection, i, c.generation);
    if (c.state != Connection::State::kToArm) continue;
    c.state = Connection::State::kEnded;
    settle(static_cast<uint16_t>(i));
  }
}

void Connections::cancel(Kind kind, size_t slot, uint32_t generation) {
  io_uring_sqe* sqe = ring_.sqe();
  io_uring_prep_cancel64(sqe, pack({kind, static_cast<uint16_t>(slot), generation}), 0);
  sqe->user_data = pack({Kind::kCancel, 0, 0});
}

bool Connections::armed() const {
  return std::ranges::any_of(
             acceptors_, [](const Acceptor& a) { return a.state == Acceptor::State::kArmed; }) ||
         std::ranges::any_of(connections_, [](const Connection& c) {
           return c.state == Connection::State::kArmed;
         });
}

}  // namespace penstock::uring

#include "dataplane/api/agent.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "dataplane/base/strings.h"
#include "penstock_build_id.h"

namespace penstock::agent {
namespace {

// Size of each message by type; 0 for a type that does not exist.
size_t size_of(Type type) {
  switch (type) {
    case Type::kHello:
      return sizeof(Hello);
    case Type::kPortState:
      return sizeof(PortState);
    case Type::kSegmentReady:
      return sizeof(SegmentReady);
    case Type::kSegmentAck:
      return sizeof(SegmentAck);
    case Type::kStop:
      return sizeof(Stop);
    case Type::kDrained:
      return sizeof(Drained);
  }
  return 0;
}

}  // namespace

absl::Status send(int socket, const Header& message, std::span<const int> fds) {
  iovec iov{const_cast<Header*>(&message), size_of(message.type)};
  alignas(cmsghdr) char control[CMSG_SPACE(kFdsMax * sizeof(int))] = {};
  msghdr msg{};
  msg.msg_iov = &iov;
  msg.msg_iovlen = 1;
  if (fds.size() > kFdsMax)
    return absl::InvalidArgumentError(cat("agent: ", fds.size(), " descriptors"));
  if (!fds.empty()) {
    msg.msg_control = control;
    msg.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
  }
  ssize_t n;
  do n = ::sendmsg(socket, &msg, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    return absl::ResourceExhaustedError("agent socket: the peer does not read");
  }
  if (n < 0) return errno_status(errno, "agent socket: send");
  return absl::OkStatus();
}

absl::StatusOr<Received> receive(int socket) {
  Received r{};
  iovec iov{&r.message, sizeof(r.message)};
  alignas(cmsghdr) char control[CMSG_SPACE(kFdsMax * sizeof(int))];
  msghdr msg{};
  msg.msg_iov = &iov;
  msg.msg_iovlen = 1;
  msg.msg_control = control;
  msg.msg_controllen = sizeof(control);
  ssize_t n;
  do n = ::recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
    return absl::AbortedError(cat("agent socket: receive: ", strerror(errno)));
  }
  if (n < 0) return absl::UnavailableError("agent socket: nothing to read");
  for (cmsghdr* c = CMSG_FIRSTHDR(&msg); c != nullptr; c = CMSG_NXTHDR(&msg, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
      r.fds.emplace_back(fd);
    }
  }
  if (n == 0) return absl::OutOfRangeError("agent socket: closed by the peer");
  if ((msg.msg_flags & MSG_CTRUNC) != 0) {
    return absl::ResourceExhaustedError(
        "agent socket: no file descriptors are free (RLIMIT_NOFILE)");
  }
  const auto size = static_cast<size_t>(n);
  if (size < sizeof(Header) || r.message.header.version != kVersion ||
      size != size_of(r.message.header.type) || (msg.msg_flags & MSG_TRUNC) != 0) {
    return absl::InvalidArgumentError(
        cat("agent socket: a message of ", size, " bytes is of another build"));
  }
  return r;
}

std::string_view build_id() { return PENSTOCK_BUILD_ID; }

}  // namespace penstock::agent

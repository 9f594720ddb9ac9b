// Output through kernel sockets: UDP and Unix datagrams.

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "dataplane/base/fd.h"
#include "dataplane/base/strings.h"
#include "tools/pktgen/output.h"

namespace penstock::pktgen {
namespace {

constexpr int kWaitMs = 100;

class SocketOutput : public Output {
 public:
  SocketOutput(std::vector<Fd> sockets, std::string target)
      : sockets_(std::move(sockets)), target_(std::move(target)) {}

  absl::StatusOr<SendResult> send(std::span<const std::string_view> packets,
                                  uint64_t flow) override {
    const int fd = sockets_[flow % sockets_.size()].get();
    std::array<iovec, kBatch> data;
    std::array<mmsghdr, kBatch> messages{};
    const size_t count = std::min(packets.size(), kBatch);
    for (size_t i = 0; i < count; ++i) {
      data[i] = {const_cast<char*>(packets[i].data()), packets[i].size()};
      messages[i].msg_hdr.msg_iov = &data[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int sent = ::sendmmsg(fd, messages.data(), count, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) return SendResult{static_cast<size_t>(sent), false, false};
    return not_sent(fd, errno);
  }

 private:
  absl::StatusOr<SendResult> not_sent(int fd, int error) const {
    switch (error) {
      case EINTR:
        return SendResult{};
      case EAGAIN: {
        pollfd p{fd, POLLOUT, 0};
        ::poll(&p, 1, kWaitMs);
        return SendResult{0, true, false};
      }
      case ENOBUFS:
      case ENOMEM: {  // nothing to poll for: the queue of a device, or kernel memory
        const timespec pause{0, 100'000};
        ::nanosleep(&pause, nullptr);
        return SendResult{0, true, false};
      }
      case EPIPE:
      case ECONNREFUSED:
        if (is_udp(fd)) return SendResult{0, false, true};
        return absl::UnavailableError(
            cat(std::string_view(target_), ": the receiver closed the socket"));
      default:
        return errno_status(error, cat("sending to ", std::string_view(target_)));
    }
  }

  static bool is_udp(int fd) {
    int domain = 0;
    socklen_t size = sizeof domain;
    ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
    return domain != AF_UNIX;
  }

  std::vector<Fd> sockets_;
  std::string target_;
};

absl::StatusOr<Fd> connected(int family, const sockaddr* address, socklen_t size,
                             const std::string& target) {
  Fd fd(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return errno_status(errno, "opening a datagram socket");
  const int send_buffer = 1 << 20;  // a hint; the kernel caps it
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
  if (::connect(fd.get(), address, size) != 0)
    return errno_status(errno, cat("connecting to ", std::string_view(target)));
  return fd;
}

absl::StatusOr<std::unique_ptr<Output>> open_flows(int family, const sockaddr* address,
                                                   socklen_t size, std::string target,
                                                   uint32_t flows) {
  std::vector<Fd> sockets;
  for (uint32_t i = 0; i < flows; ++i) {
    ASSIGN_OR_RETURN(Fd fd, connected(family, address, size, target));
    sockets.push_back(std::move(fd));
  }
  return std::make_unique<SocketOutput>(std::move(sockets), std::move(target));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Output>> open_udp(std::string_view target, uint32_t flows) {
  const size_t colon = target.rfind(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == target.size())
    return absl::InvalidArgumentError(cat("--udp \"", target, "\": must be HOST:PORT"));
  std::string_view host = target.substr(0, colon);
  if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(std::string(host).c_str(),
                                  std::string(target.substr(colon + 1)).c_str(), &hints, &found);
  if (error != 0)
    return absl::InvalidArgumentError(
        cat("--udp \"", target, "\": ", std::string_view(::gai_strerror(error))));
  auto output =
      open_flows(found->ai_family, found->ai_addr, found->ai_addrlen, std::string(target), flows);
  ::freeaddrinfo(found);
  return output;
}

absl::StatusOr<std::unique_ptr<Output>> open_uds(const std::string& path, uint32_t flows) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return absl::InvalidArgumentError(
        cat("--uds \"", std::string_view(path), "\": longer than ", sizeof address.sun_path - 1));
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return open_flows(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof address, path,
                    flows);
}

}  // namespace penstock::pktgen

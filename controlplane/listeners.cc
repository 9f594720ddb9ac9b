#include "controlplane/listeners.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <thread>

#include "dataplane/base/log.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

constexpr unsigned kUdsMode = 0722;  // spec 2.2; of pipes as well

absl::StatusOr<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(cat(path, ": a socket path has 1 to ",
                                          sizeof(address.sun_path) - 1, " bytes; choose another"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// Whether somebody answers at `address`: a datagram socket finds out also about the other kinds.
absl::Status make_free(const std::string& path, const sockaddr_un& address) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) return absl::OkStatus();
  if (!S_ISSOCK(st.st_mode)) {
    return absl::FailedPreconditionError(
        cat(path, " exists and is not a socket; remove it or choose another path"));
  }
  const Fd probe(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const int connected =
      ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  if (connected == 0 || errno != ECONNREFUSED) {
    const std::string why =
        connected == 0 || errno == EPROTOTYPE ? "another process listens on it" : strerror(errno);
    return absl::AlreadyExistsError(
        cat(path, ": ", why, "; stop that process or choose another path"));
  }
  if (::unlink(path.c_str()) != 0) {
    return errno_status(errno, cat("cannot remove the stale socket ", path));
  }
  return absl::OkStatus();
}

struct Resolved {
  sockaddr_storage address{};
  socklen_t length = 0;
};

absl::StatusOr<Resolved> resolve(const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &list);
  if (error != 0 || list == nullptr) {
    return absl::InvalidArgumentError(cat("bind_host = \"", host, "\": ", ::gai_strerror(error),
                                          "; name an address of this machine"));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
  const addrinfo* chosen = list;
  for (const addrinfo* a = list; a != nullptr; a = a->ai_next) {
    if (a->ai_family == AF_INET) {  // localhost is 127.0.0.1 (spec 2.1)
      chosen = a;
      break;
    }
  }
  Resolved r;
  r.length = chosen->ai_addrlen;
  std::memcpy(&r.address, chosen->ai_addr, chosen->ai_addrlen);
  return r;
}

std::string address_text(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address);
    ::inet_ntop(AF_INET, &v4->sin_addr, text.data(), text.size());
    return cat(std::string_view(text.data()), ":", ntohs(v4->sin_port));
  }
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address);
  ::inet_ntop(AF_INET6, &v6->sin6_addr, text.data(), text.size());
  return cat("[", std::string_view(text.data()), "]:", ntohs(v6->sin6_port));
}

std::string bound_address(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  return address_text(address);
}

struct HostPort {
  std::string host;
  std::string port;
};

// Of "127.0.0.1:8125", "localhost:8125" or "[::]:8125".
HostPort split(const std::string& address) {
  const size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.size() > 1 && host.front() == '[') host = host.substr(1, host.size() - 2);
  return {host, address.substr(colon + 1)};
}

absl::Status set_receive_buffer(int fd, uint32_t bytes) {
  if (bytes == 0) return absl::OkStatus();
  const int value = static_cast<int>(bytes);
  if (::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, sizeof value) != 0) {
    return errno_status(errno, cat("dogstatsd_so_rcvbuf = ", bytes));
  }
  return absl::OkStatus();
}

absl::Status share_address(int fd, const std::string& name) {
  const int on = 1;
  if (::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0) return absl::OkStatus();
  return errno_status(errno, cat("SO_REUSEPORT of ", name));
}

// The kernel takes any size, and gives at most net.core.rmem_max.
void warn_of_a_smaller_buffer(int fd, uint32_t bytes) {
  int given = 0;
  socklen_t size = sizeof given;
  ::getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &given, &size);
  given /= 2;  // it is told doubled
  if (static_cast<uint32_t>(given) >= bytes) return;
  spdlog::warn("dogstatsd_so_rcvbuf = {}: the kernel gives {} bytes; raise net.core.rmem_max",
               bytes, given);
}

// `join`: another of our sockets has the address.
absl::StatusOr<Fd> bind_udp(const Resolved& to, const std::string& name, bool join) {
  Fd fd(::socket(to.address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return errno_status(errno, cat("UDP socket for ", name));
  if (join) RETURN_IF_ERROR(share_address(fd.get(), name));
  if (to.address.ss_family == AF_INET6) {
    const int off = 0;  // IPv4 too, where the host is the wildcard
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  }
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&to.address), to.length) != 0) {
    if (errno == EADDRINUSE) {
      return absl::AlreadyExistsError(
          cat("cannot bind UDP ", name,
              " (stop the process that has it, or change dogstatsd_port): ", strerror(errno)));
    }
    return errno_status(errno,
                        cat("cannot bind UDP ", name, " (check bind_host and dogstatsd_port)"));
  }
  return fd;
}

// `first`: the socket that has the address which this one is to share; null for the first itself.
// That one is bound alone, so that an address of another process is refused, and shares afterwards.
absl::Status open_udp(Listener& listener, const Listener* first, uint32_t so_rcvbuf) {
  const std::string& address = first == nullptr ? listener.spec.address : first->spec.address;
  const auto [host, port] = split(address);
  ASSIGN_OR_RETURN(const Resolved to, resolve(host, port));
  absl::StatusOr<Fd> fd = bind_udp(to, address, first != nullptr);
  if (!fd.ok() && host == "::" && !absl::IsAlreadyExists(fd.status())) {
    ASSIGN_OR_RETURN(const Resolved v4, resolve("0.0.0.0", port));  // a kernel without IPv6
    fd = bind_udp(v4, cat("0.0.0.0:", port), first != nullptr);
  }
  RETURN_IF_ERROR(fd.status());
  if (listener.spec.shared) RETURN_IF_ERROR(share_address(fd->get(), address));
  RETURN_IF_ERROR(set_receive_buffer(fd->get(), so_rcvbuf));
  warn_of_a_smaller_buffer(fd->get(), so_rcvbuf);
  listener.spec.address = bound_address(fd->get());
  listener.socket = *std::move(fd);
  return absl::OkStatus();
}

bool is_unix_socket(ListenerKind kind) {
  return kind == ListenerKind::kUdsDatagram || kind == ListenerKind::kUdsStream;
}

absl::Status open_uds(Listener& listener, uint32_t so_rcvbuf) {
  const std::string& path = listener.spec.address;
  const bool stream = listener.spec.kind == ListenerKind::kUdsStream;
  absl::StatusOr<Fd> fd = bind_unix(path, stream ? SOCK_STREAM : SOCK_DGRAM, kUdsMode);
  if (!fd.ok()) {
    return absl::Status(fd.status().code(),
                        cat(stream ? "dogstatsd_stream_socket" : "dogstatsd_socket", " = \"", path,
                            "\": ", to_std(fd.status().message())));
  }
  // As many as the system allows wait while there is no data plane, or no room for another.
  if (stream && ::listen(fd->get(), INT_MAX) != 0)
    return errno_status(errno, cat("listen on ", path));
  const absl::Status buffer = set_receive_buffer(fd->get(), so_rcvbuf);
  if (!buffer.ok()) spdlog::warn("{}: {}", path, to_std(buffer.message()));
  listener.socket = *std::move(fd);
  return absl::OkStatus();
}

// A FIFO that is there is used as it is, with the mode it has.
absl::Status make_pipe(const std::string& path) {
  if (::mkfifo(path.c_str(), kUdsMode) == 0) {
    if (::chmod(path.c_str(), kUdsMode) == 0) return absl::OkStatus();  // whatever the umask
    return errno_status(errno, cat("cannot set the mode of ", path));
  }
  if (errno != EEXIST) {
    const bool missing = errno == ENOENT;
    return errno_status(errno,
                        cat("cannot make the pipe",
                            missing ? " (create its directory, or choose another path)" : ""));
  }
  struct stat st {};
  if (::lstat(path.c_str(), &st) == 0 && S_ISFIFO(st.st_mode)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "exists and is not a pipe; remove it or choose another path");
}

// Open for writing as well, it never comes to an end when writers go. The lock is of the open file,
// which every data plane shares: it tells another penstockd that this one reads the pipe.
absl::StatusOr<Fd> lock_pipe(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
  struct stat st {};
  if (!fd.valid() || ::fstat(fd.get(), &st) != 0) return errno_status(errno, "cannot open it");
  if (!S_ISFIFO(st.st_mode)) return absl::FailedPreconditionError("is not a pipe any more");
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::AlreadyExistsError(
        "another process has locked it; stop that process or choose another path");
  }
  return fd;
}

absl::Status open_pipe(Listener& listener) {
  const std::string& path = listener.spec.address;
  absl::Status status = make_pipe(path);
  if (status.ok()) {
    absl::StatusOr<Fd> fd = lock_pipe(path);
    status = fd.status();
    if (fd.ok()) listener.socket = *std::move(fd);
  }
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      cat("dogstatsd_pipe_name = \"", path, "\": ", to_std(status.message())));
}

// The socket among `opened` whose address `listener` shares; null: it is the first, or alone.
const Listener* first_shared(const Listener& listener, std::span<const Listener> opened) {
  const auto first = std::ranges::find_if(opened, [](const Listener& l) {
    return l.spec.kind == ListenerKind::kUdp && l.spec.shared && l.socket.valid();
  });
  return listener.spec.shared && first != opened.end() ? &*first : nullptr;
}

// `opened`: those before it.
absl::Status open(Listener& listener, std::span<const Listener> opened, uint32_t so_rcvbuf) {
  switch (listener.spec.kind) {
    case ListenerKind::kUdp:
      return open_udp(listener, first_shared(listener, opened), so_rcvbuf);
    case ListenerKind::kUdsDatagram:
    case ListenerKind::kUdsStream:
      return open_uds(listener, so_rcvbuf);
    case ListenerKind::kPipe:
      return open_pipe(listener);
  }
  std::abort();  // no such kind
}

}  // namespace

absl::StatusOr<Fd> bind_unix(const std::string& path, int type, unsigned mode) {
  ASSIGN_OR_RETURN(const sockaddr_un address, unix_address(path));
  RETURN_IF_ERROR(make_free(path, address));
  Fd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return errno_status(errno, cat("socket for ", path));
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const bool missing = errno == ENOENT;
    return errno_status(errno,
                        cat("cannot bind ", path,
                            missing ? " (create its directory, or choose another path)" : ""));
  }
  if (::chmod(path.c_str(), mode) != 0) {
    return errno_status(errno, cat("cannot set the mode of ", path));
  }
  return fd;
}

void refuse_senders(const Listener& listener) {
  if (!is_unix_socket(listener.spec.kind) || !listener.socket.valid()) return;
  if (::shutdown(listener.socket.get(), SHUT_RD) != 0) {
    spdlog::warn("listener {}: its senders cannot be told of the stop: {}", listener.spec.name,
                 std::strerror(errno));
  }
}

bool refuses_senders(const Listener& listener) {
  pollfd socket{listener.socket.get(), POLLRDHUP, 0};
  return is_unix_socket(listener.spec.kind) && listener.socket.valid() &&
         ::poll(&socket, 1, 0) == 1;
}

bool same_listener(const ListenerSpec& configured, const ListenerSpec& running) {
  if (configured.name != running.name || configured.kind != running.kind ||
      configured.eol_required != running.eol_required || configured.spread != running.spread ||
      configured.connections != running.connections) {
    return false;
  }
  if (configured.kind != ListenerKind::kUdp) return configured.address == running.address;
  const auto [host, port] = split(configured.address);
  const auto [running_host, running_port] = split(running.address);
  if (port != "0" && port != running_port) return false;
  if (host == "::" && running_host == "0.0.0.0") return true;
  const absl::StatusOr<Resolved> resolved = resolve(host, running_port);
  return resolved.ok() && address_text(resolved->address) == running.address;
}

std::vector<Listener> open_listeners(std::span<const ListenerSpec> specs, uint32_t so_rcvbuf) {
  using std::chrono::steady_clock;
  // A data plane that was killed gives up its sockets a moment after it is gone.
  constexpr std::chrono::milliseconds kRelease{1000};
  constexpr std::chrono::milliseconds kLook{10};
  const steady_clock::time_point deadline = steady_clock::now() + kRelease;
  std::vector<Listener> listeners;
  for (const ListenerSpec& spec : specs) {
    Listener listener{spec, {}, {}};
    absl::Status status = open(listener, listeners, so_rcvbuf);
    while (absl::IsAlreadyExists(status) && steady_clock::now() < deadline) {
      std::this_thread::sleep_for(kLook);
      status = open(listener, listeners, so_rcvbuf);
    }
    if (status.ok()) {
      spdlog::info("listener {}: {}", spec.name, listener.spec.address);
    } else {
      listener.error = to_std(status.message());
      spdlog::error("listener {} failed: {}", spec.name, listener.error);
    }
    listeners.push_back(std::move(listener));
  }
  return listeners;
}

}  // namespace penstock

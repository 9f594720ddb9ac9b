#include "controlplane/forward_targets.h"

#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <future>
#include <memory>
#include <thread>

#include "dataplane/base/log.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

constexpr std::chrono::seconds kLookup{2};

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// The first IPv4 address, as for our own listeners (spec 2.1), else the first.
absl::StatusOr<Address> look_up(const ListenAddress& target) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error =
      ::getaddrinfo(target.host.c_str(), std::to_string(target.port).c_str(), &hints, &list);
  if (error != 0) {
    return absl::UnavailableError(cat("the name does not resolve: ", ::gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
  const addrinfo* chosen = list;
  while (chosen != nullptr && chosen->ai_family != AF_INET) chosen = chosen->ai_next;
  if (chosen == nullptr) chosen = list;
  Address address;
  address.size = chosen->ai_addrlen;
  std::memcpy(&address.storage, chosen->ai_addr, chosen->ai_addrlen);
  return address;
}

using Lookup = std::future<absl::StatusOr<Address>>;

// On a thread of its own, which outlives us where a name server does not answer.
Lookup start_lookup(const ListenAddress& target) {
  std::promise<absl::StatusOr<Address>> promise;
  Lookup future = promise.get_future();
  std::thread([target, promise = std::move(promise)]() mutable {
    promise.set_value(look_up(target));
  }).detach();
  return future;
}

absl::StatusOr<Address> result_of(Lookup& lookup, std::chrono::steady_clock::time_point deadline) {
  if (lookup.wait_until(deadline) == std::future_status::ready) return lookup.get();
  return absl::UnavailableError(
      cat("the name servers did not answer within ", kLookup.count(), " s"));
}

struct HostPort {
  std::string host;
  std::string port;
};

HostPort text_of(const Address& address) {
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  ::getnameinfo(address.get(), address.size, host.data(), host.size(), port.data(), port.size(),
                NI_NUMERICHOST | NI_NUMERICSERV);
  HostPort text{host.data(), port.data()};
  constexpr std::string_view kMapped = "::ffff:";  // IPv4 in IPv6
  if (text.host.starts_with(kMapped) && text.host.find('.') != std::string::npos) {
    text.host.erase(0, kMapped.size());
  }
  return text;
}

std::string joined(const HostPort& text) {
  return text.host.find(':') != std::string::npos ? cat("[", text.host, "]:", text.port)
                                                  : cat(text.host, ":", text.port);
}

// Whether the machine has the address: only then can a socket be bound to it.
bool is_local(Address address) {
  if (address.storage.ss_family == AF_INET) {
    reinterpret_cast<sockaddr_in&>(address.storage).sin_port = 0;
  } else {
    reinterpret_cast<sockaddr_in6&>(address.storage).sin6_port = 0;
  }
  const Fd probe(::socket(address.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return ::bind(probe.get(), address.get(), address.size) == 0;
}

bool is_listener(const Address& peer, const HostPort& text, const ListenerSpec& listener) {
  if (listener.kind != ListenerKind::kUdp || !listener.address.ends_with(":" + text.port)) {
    return false;
  }
  if (listener.address == joined(text)) return true;
  const bool any =
      listener.address.starts_with("[::]:") ||
      (listener.address.starts_with("0.0.0.0:") && text.host.find(':') == text.host.npos);
  return any && is_local(peer);
}

bool is_port(const HostPort& text, const PortConfig& port, uint16_t dogstatsd_port) {
  const std::vector<uint16_t> own =
      port.udp_ports.empty() ? std::vector{dogstatsd_port} : port.udp_ports;
  const absl::StatusOr<IpAddress> ip = parse_ip(text.host);
  return ip.ok() &&
         std::ranges::any_of(own, [&](uint16_t p) { return std::to_string(p) == text.port; }) &&
         std::ranges::any_of(port.addresses, [&](const IpAddress& a) {
           return a.family == ip->family && a.bytes == ip->bytes;
         });
}

// OK unless what is sent there comes back to us.
absl::Status check_loop(const Address& peer, const Config& config,
                        std::span<const Listener> listeners) {
  const HostPort text = text_of(peer);
  constexpr std::string_view kWhy =
      ": every packet would come back for ever; name another host or port";
  for (const Listener& l : listeners) {
    if (l.socket.valid() && is_listener(peer, text, l.spec)) {
      return absl::InvalidArgumentError(
          cat(joined(text), " is our own listener ", l.spec.name, kWhy));
    }
  }
  for (const PortConfig& port : config.ports) {
    if (is_port(text, port, config.udp_port)) {
      return absl::InvalidArgumentError(cat(joined(text), " is our own port ", port.name, kWhy));
    }
  }
  return absl::OkStatus();
}

// The address a socket is really connected to: `0.0.0.0` becomes the loopback's.
Address peer_of(int fd) {
  Address peer;
  peer.size = sizeof peer.storage;
  ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer.storage), &peer.size);
  return peer;
}

absl::Status open_target(ForwardTarget& target, const Address& address, const Config& config,
                         std::span<const Listener> listeners) {
  Fd fd(::socket(address.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return errno_status(errno, "no UDP socket");
  if (::connect(fd.get(), address.get(), address.size) != 0) {
    return errno_status(errno, cat("no way to ", joined(text_of(address))));
  }
  const Address peer = peer_of(fd.get());
  target.address = joined(text_of(peer));
  RETURN_IF_ERROR(check_loop(peer, config, listeners));
  target.peer = peer.storage;
  target.peer_size = peer.size;
  target.socket = std::move(fd);
  return absl::OkStatus();
}

Address address_before(const std::string& name, std::span<const ForwardTarget> before) {
  const auto it = std::ranges::find(before, name, &ForwardTarget::name);
  return it == before.end() ? Address{} : Address{it->peer, it->peer_size};
}

}  // namespace

std::vector<ForwardTarget> open_forward_targets(const Config& config,
                                                std::span<const Listener> listeners,
                                                std::span<const ForwardTarget> before) {
  const auto deadline = std::chrono::steady_clock::now() + kLookup;
  std::vector<Lookup> lookups;
  for (const ListenAddress& t : config.forward.targets) lookups.push_back(start_lookup(t));
  std::vector<ForwardTarget> targets;
  for (size_t i = 0; i < lookups.size(); ++i) {
    ForwardTarget& target = targets.emplace_back();
    target.name = config.forward.targets[i].text();
    absl::StatusOr<Address> address = result_of(lookups[i], deadline);
    const Address old = address_before(target.name, before);
    if (!address.ok() && old.size != 0) {
      spdlog::warn("forward target {}: {}; going on with {}", target.name,
                   to_std(address.status().message()), joined(text_of(old)));
      address = old;
    }
    const absl::Status status =
        address.ok() ? open_target(target, *address, config, listeners) : address.status();
    if (status.ok()) {
      spdlog::info("forward target {}: {}", target.name, target.address);
    } else {
      target.error = to_std(status.message());
      spdlog::warn("forward target {} is off: {}", target.name, target.error);
    }
  }
  return targets;
}

}  // namespace penstock

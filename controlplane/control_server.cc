#include "controlplane/control_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "controlplane/listeners.h"
#include "dataplane/base/log.h"
#include "dataplane/base/strings.h"
#include "penstock_version.h"

namespace penstock::control {
namespace {

constexpr size_t kQueuedMessagesMax = 256;

std::string encode(const Server::Json& message) {
  // Names of metrics and paths need not be UTF-8; ASCII lets a reply be cut anywhere.
  return message.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::open(EventLoop& loop, const std::string& path) {
  ASSIGN_OR_RETURN(Fd socket, bind_unix(path, SOCK_SEQPACKET | SOCK_NONBLOCK, 0600));
  if (::listen(socket.get(), 16) != 0) return errno_status(errno, cat("listen on ", path));
  return std::unique_ptr<Server>(new Server(loop, std::move(socket), path));
}

Server::Server(EventLoop& loop, Fd socket, std::string path)
    : loop_(loop), socket_(std::move(socket)), path_(std::move(path)) {
  loop_.watch(socket_.get(), EPOLLIN, [this](uint32_t /*events*/) { on_accept(); });
}

Server::~Server() {
  while (!clients_.empty()) drop(clients_.begin()->first, /*counted=*/false);
  loop_.unwatch(socket_.get());
  ::unlink(path_.c_str());
}

void Server::add(const std::string& verb, bool privileged, Verb handler) {
  verbs_[verb] = {privileged, std::move(handler)};
}

bool Server::all_sent() const {
  return std::ranges::all_of(clients_, [](const auto& c) { return c.second.out.empty(); });
}

void Server::on_accept() {
  Fd socket(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.valid()) return;
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return;
  make_room();
  const uint64_t id = next_id_++;
  Client& client = clients_[id];
  client.socket = std::move(socket);
  client.uid = peer.uid;
  client.last_ms = monotonic_ms();
  loop_.watch(client.socket.get(), EPOLLIN, [this, id](uint32_t events) { on_client(id, events); });
  send(id, encode({{"hello", "penstock"},
                   {"protocol", kProtocol},
                   {"version", PENSTOCK_VERSION},
                   {"pid", ::getpid()}}));
}

void Server::make_room() {
  if (clients_.size() < kClientsMax) return;
  const auto idle = std::ranges::min_element(
      clients_, {}, [](const auto& c) { return std::pair(c.second.waiting, c.second.last_ms); });
  drop(idle->first, /*counted=*/true);
}

void Server::on_client(uint64_t id, uint32_t events) {
  if ((events & EPOLLOUT) != 0) flush(id);
  if (!clients_.contains(id)) return;
  std::string text(kRequestBytes, '\0');
  const ssize_t n = ::recv(clients_[id].socket.get(), text.data(), text.size(), MSG_TRUNC);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return drop(id, /*counted=*/false);
  // Too long, or a second request before the first is answered and its answer taken.
  const bool busy = clients_[id].waiting || !clients_[id].out.empty();
  if (static_cast<size_t>(n) > text.size() || busy) {
    return drop(id, /*counted=*/true);
  }
  text.resize(static_cast<size_t>(n));
  on_request(id, text);
}

void Server::on_request(uint64_t id, const std::string& text) {
  Client& client = clients_[id];
  client.last_ms = monotonic_ms();
  client.waiting = true;
  const Json request = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!request.is_object() || !request.contains("verb") || !request["verb"].is_string()) {
    return answer(id, absl::InvalidArgumentError("a request is {\"verb\":\"status\"}"));
  }
  const auto verb = verbs_.find(request["verb"].get<std::string>());
  if (verb == verbs_.end()) {
    std::string known;
    for (const auto& [name, entry] : verbs_) known += known.empty() ? name : ", " + name;
    return answer(id, absl::InvalidArgumentError(cat("unknown verb; there are ", known)));
  }
  if (verb->second.privileged && client.uid != 0 && client.uid != ::geteuid()) {
    return answer(id, absl::PermissionDeniedError(
                          cat("only root and the user of penstockd may ", verb->first)));
  }
  verb->second.handler(
      [this, id, alive = std::weak_ptr<int>(alive_)](const absl::StatusOr<Json>& result) {
        if (!alive.expired()) answer(id, result);
      });
}

void Server::answer(uint64_t id, const absl::StatusOr<Json>& result) {
  const auto client = clients_.find(id);
  if (client == clients_.end()) return;
  client->second.waiting = false;
  Json reply = result.ok()
                   ? Json{{"ok", true}, {"result", *result}}
                   : Json{{"ok", false}, {"error", std::string(to_std(result.status().message()))}};
  for (std::string& message : split_reply(encode(reply))) send(id, std::move(message));
}

void Server::send(uint64_t id, std::string message) {
  const auto client = clients_.find(id);
  if (client == clients_.end()) return;
  if (client->second.out.size() >= kQueuedMessagesMax) return drop(id, /*counted=*/true);
  client->second.out.push_back(std::move(message));
  flush(id);
}

void Server::flush(uint64_t id) {
  const auto it = clients_.find(id);
  if (it == clients_.end()) return;
  Client& client = it->second;
  while (!client.out.empty()) {
    const std::string& message = client.out.front();
    const ssize_t n = ::send(client.socket.get(), message.data(), message.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
      return loop_.change(client.socket.get(), EPOLLIN | EPOLLOUT);
    }
    if (n < 0) return drop(id, /*counted=*/false);
    client.out.pop_front();
  }
  loop_.change(client.socket.get(), EPOLLIN);
}

void Server::drop(uint64_t id, bool counted) {
  const auto client = clients_.find(id);
  if (client == clients_.end()) return;
  loop_.unwatch(client->second.socket.get());
  clients_.erase(client);
  if (counted) {
    ++dropped_;
    spdlog::warn("control socket: dropped a client that was slow, idle or sent nonsense");
  }
}

}  // namespace penstock::control

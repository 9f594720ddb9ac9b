#include "controlplane/control_wire.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "dataplane/base/strings.h"

namespace penstock::control {
namespace {

using nlohmann::json;

// Half a message: JSON may escape a byte as two, and every byte of a reply is ASCII.
constexpr size_t kPartBytes = kMessageBytes / 2 - 64;

}  // namespace

std::vector<std::string> split_reply(const std::string& reply) {
  if (reply.size() <= kMessageBytes) return {reply};
  std::vector<std::string> messages;
  for (size_t at = 0; at < reply.size(); at += kPartBytes) {
    const json part = {{"part", reply.substr(at, kPartBytes)},
                       {"last", at + kPartBytes >= reply.size()}};
    messages.push_back(part.dump());
  }
  return messages;
}

absl::StatusOr<Client> Client::connect(const std::string& path, int timeout_ms) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(cat(path, ": longer than a socket path can be"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const timeval timeout{timeout_ms / 1000, suseconds_t{timeout_ms} % 1000 * 1000};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return errno_status(errno, cat("no penstockd answers at ", path));
  }
  Client client(std::move(fd));
  ASSIGN_OR_RETURN(const std::string hello, client.receive());
  const json j = json::parse(hello, nullptr, /*allow_exceptions=*/false);
  if (!j.is_object() || j.value("hello", "") != "penstock" || j.value("protocol", 0) != kProtocol) {
    return absl::FailedPreconditionError(cat(path, " is not of this version of Penstock: ", hello));
  }
  return client;
}

absl::StatusOr<std::string> Client::receive() {
  std::string buffer(2 * kMessageBytes, '\0');
  ssize_t n;
  do n = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
  while (n < 0 && errno == EINTR);
  if (n < 0) return errno_status(errno, "control socket");
  if (n == 0) return absl::UnavailableError("penstockd closed the connection");
  buffer.resize(static_cast<size_t>(n));
  return buffer;
}

absl::StatusOr<std::string> Client::call(std::string_view verb) {
  const std::string request = json{{"verb", std::string(verb)}}.dump();
  if (::send(socket_.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) {
    return errno_status(errno, "control socket");
  }
  std::string text;
  nlohmann::ordered_json reply;
  while (true) {
    ASSIGN_OR_RETURN(const std::string message, receive());
    reply = nlohmann::ordered_json::parse(message, nullptr, /*allow_exceptions=*/false);
    if (!reply.is_object()) return absl::DataLossError("penstockd sent something that is not JSON");
    if (!reply.contains("part")) break;
    text += reply.value("part", "");
    if (!reply.value("last", true)) continue;
    reply = nlohmann::ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
    break;
  }
  if (!reply.is_object()) return absl::DataLossError("penstockd sent something that is not JSON");
  if (!reply.value("ok", false)) {
    return absl::FailedPreconditionError(reply.value("error", "penstockd refused"));
  }
  return reply["result"].dump();
}

}  // namespace penstock::control

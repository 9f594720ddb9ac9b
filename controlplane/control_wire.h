#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/fd.h"
#include "dataplane/base/status.h"

namespace penstock::control {

// The control socket: SOCK_SEQPACKET at `<run_dir>/control.sock`, one JSON object a message.
//
//   server -> client   {"hello":"penstock","protocol":1,"version":"0.1.0","pid":4711}   on connect
//   client -> server   {"verb":"ledger"}
//   server -> client   {"ok":true,"result":{...}}  or  {"ok":false,"error":"..."}
//
// A reply that does not fit one message comes as {"part":"<text>","last":false} ..., whose texts,
// joined, are the reply. One request at a time on a connection; as many as wanted in turn.
inline constexpr int kProtocol = 1;
inline constexpr size_t kRequestBytes = size_t{16} * 1024;
// Of one message; well below the kernel's default send buffer.
inline constexpr size_t kMessageBytes = size_t{64} * 1024;
inline constexpr char kSocketName[] = "control.sock";

// The messages that carry `reply`, in order.
std::vector<std::string> split_reply(const std::string& reply);

// The client's side: blocking, for tools. `timeout_ms` bounds the wait for each message.
class Client {
 public:
  // NOT_FOUND or UNAVAILABLE: nobody answers at `path`.
  static absl::StatusOr<Client> connect(const std::string& path, int timeout_ms);

  // Sends {"verb": verb} and returns the text of "result", or the server's error.
  absl::StatusOr<std::string> call(std::string_view verb);

 private:
  explicit Client(Fd socket) : socket_(std::move(socket)) {}
  absl::StatusOr<std::string> receive();
  Fd socket_;
};

}  // namespace penstock::control

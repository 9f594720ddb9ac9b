#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "controlplane/config.h"
#include "dataplane/base/status.h"

namespace httplib {
class Server;
}

namespace penstock {

struct HttpReply {
  int status = 200;
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";
};

// A small HTTP server for GET, with two worker threads and short timeouts: what a slow client costs
// is bounded. Handlers run in the workers.
class HttpServer {
 public:
  using Handler = std::function<HttpReply()>;

  // `key` is the configuration key of the address, for messages.
  HttpServer(std::string key, ListenAddress address);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Before `start`.
  void get(const std::string& path, Handler handler);
  // Binds and serves. A failure names key, address and remedy; the daemon goes on without.
  absl::Status start();

  [[nodiscard]] const ListenAddress& address() const { return address_; }
  [[nodiscard]] const std::string& error() const { return error_; }  // of `start`; empty: serving

 private:
  const std::string key_;
  const ListenAddress address_;
  std::unique_ptr<httplib::Server> server_;
  std::string error_;
  std::thread thread_;
};

}  // namespace penstock

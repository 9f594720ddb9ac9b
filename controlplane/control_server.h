#pragma once

#include <sys/types.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "controlplane/control_wire.h"
#include "controlplane/event_loop.h"

namespace penstock::control {

// The server's side of the control socket (control_wire.h): a table of verbs. Never blocks: a
// client that does not read, sends nonsense or sends too much is dropped and counted; beyond
// kClientsMax the one idle longest is. The loop's thread only.
class Server {
 public:
  using Json = nlohmann::ordered_json;
  // Answers a request, now or later, once.
  using Reply = std::function<void(absl::StatusOr<Json> result)>;
  using Verb = std::function<void(Reply reply)>;
  static constexpr size_t kClientsMax = 32;

  // Listens at `path`, mode 0600. A path where somebody answers is an error that names it.
  static absl::StatusOr<std::unique_ptr<Server>> open(EventLoop& loop, const std::string& path);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // `privileged`: only for root and the server's own user (SO_PEERCRED).
  void add(const std::string& verb, bool privileged, Verb handler);

  [[nodiscard]] uint64_t dropped_clients() const { return dropped_; }
  [[nodiscard]] bool all_sent() const;

 private:
  struct Client {
    Fd socket;
    uid_t uid = 0;
    int64_t last_ms = 0;
    bool waiting = false;  // for its reply
    std::deque<std::string> out;
  };
  struct Entry {
    bool privileged;
    Verb handler;
  };

  Server(EventLoop& loop, Fd socket, std::string path);
  void on_accept();
  void on_client(uint64_t id, uint32_t events);
  void on_request(uint64_t id, const std::string& text);
  void answer(uint64_t id, const absl::StatusOr<Json>& result);
  void send(uint64_t id, std::string message);
  void flush(uint64_t id);
  void drop(uint64_t id, bool counted);
  void make_room();

  EventLoop& loop_;
  Fd socket_;
  const std::string path_;
  std::map<std::string, Entry, std::less<>> verbs_;
  std::map<uint64_t, Client> clients_;
  uint64_t next_id_ = 1;
  uint64_t dropped_ = 0;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // replies may come after our end
};

}  // namespace penstock::control

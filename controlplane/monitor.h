#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "controlplane/delivery.h"
#include "controlplane/event_loop.h"
#include "controlplane/http.h"
#include "controlplane/supervisor.h"

namespace penstock {

// What penstockd tells about itself: status, ledger, raw counters, health, telemetry. Reads, never
// changes. The loop's thread only.
class Monitor {
 public:
  using Json = nlohmann::ordered_json;

  Monitor(EventLoop& loop, const Supervisor& supervisor, const Delivery& delivery);

  // Servers to mention; they outlive the monitor.
  void add_server(const std::string& name, const HttpServer& server);

  // {"state":"running", ...}: what runs, and every reason it is not all well.
  [[nodiscard]] Json status() const;
  // Every counter block of the running data plane.
  [[nodiscard]] Json stats() const;
  // The ledger of this moment. Under traffic counters move while they are read: it is taken again,
  // for up to a second, until it balances; `done` gets the last one.
  void ledger(std::function<void(Json)> done) { try_ledger(std::move(done), 0); }
  [[nodiscard]] Json ledger_now() const;

  // Empty when well, else what is wrong: the data plane is up and its keeper alive; and it receives
  // from something.
  [[nodiscard]] std::string unhealthy() const;
  [[nodiscard]] std::string unready() const;

  // Our own telemetry in Prometheus' text format (docs/telemetry.md). Counters include data planes
  // that ended.
  [[nodiscard]] std::string metrics(uint64_t dropped_control_clients) const;

 private:
  void try_ledger(std::function<void(Json)> done, int attempt);
  [[nodiscard]] std::vector<std::string> reasons() const;
  [[nodiscard]] int64_t heartbeat_age_ms() const;

  struct Named {
    std::string name;
    const HttpServer* server;
  };

  EventLoop& loop_;
  const Supervisor& supervisor_;
  const Delivery& delivery_;
  std::vector<Named> servers_;
  const int64_t started_ms_;
};

}  // namespace penstock

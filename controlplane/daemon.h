#pragma once

#include <memory>
#include <string>
#include <vector>

#include "controlplane/config.h"
#include "controlplane/control_server.h"
#include "controlplane/delivery.h"
#include "controlplane/event_loop.h"
#include "controlplane/http.h"
#include "controlplane/monitor.h"
#include "controlplane/run_dir.h"
#include "controlplane/supervisor.h"

namespace penstock {

// penstockd after its configuration is checked: the parts, and the few lines between them.
class Daemon {
 public:
  Daemon(Config config, MachineFacts facts, std::string executable, RunDir run_dir,
         std::unique_ptr<EventLoop> loop, Fd signals);
  ~Daemon();

  // Runs until stopped; returns the exit code.
  int run();

 private:
  std::vector<std::unique_ptr<Exporter>> make_exporters();
  absl::Status open_control();
  void open_http();
  void on_signal();
  void begin_stop();
  void on_stopped();
  void leave(int exit_code);
  HttpReply answer(const std::function<HttpReply()>& in_loop);

  const Config config_;
  const std::string executable_;
  RunDir run_dir_;
  std::unique_ptr<EventLoop> loop_;
  Fd signals_;
  class PrometheusExporter* prometheus_ = nullptr;  // owned by delivery_
  std::unique_ptr<Delivery> delivery_;
  std::unique_ptr<Supervisor> supervisor_;
  std::unique_ptr<Monitor> monitor_;
  std::unique_ptr<control::Server> control_;
  std::vector<std::unique_ptr<HttpServer>> servers_;
  std::vector<control::Server::Reply> stop_replies_;
  int exit_code_ = 0;
  bool stopping_ = false;
};

}  // namespace penstock

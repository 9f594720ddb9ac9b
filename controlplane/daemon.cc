#include "controlplane/daemon.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <future>

#include "controlplane/exporters/json_lines_file.h"
#include "controlplane/exporters/prometheus.h"
#include "controlplane/options.h"
#include "dataplane/base/log.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

// A loop that does not answer for this long makes /healthz say so.
constexpr std::chrono::seconds kLoopPatience(2);
constexpr int64_t kLastRepliesMs = 1000;

State saved_state(const std::string& path) {
  const absl::StatusOr<std::string> text = read_file(path);
  if (!text.ok()) return {};
  absl::StatusOr<State> state = decode_state(*text);
  if (state.ok()) return *std::move(state);
  spdlog::warn("{}: {}; starting without it", path, to_std(state.status().message()));
  return {};
}

HttpReply verdict(const std::string& problem) {
  return problem.empty() ? HttpReply{200, "ok\n"} : HttpReply{503, problem + "\n"};
}

}  // namespace

Daemon::Daemon(Config config, MachineFacts facts, std::string executable, RunDir run_dir,
               std::unique_ptr<EventLoop> loop, Fd signals)
    : config_(std::move(config)),
      executable_(std::move(executable)),
      run_dir_(std::move(run_dir)),
      loop_(std::move(loop)),
      signals_(std::move(signals)) {
  Delivery::Options delivery;
  delivery.state_path = run_dir_.file("state.json");
  delivery.segments_max = config_.limits.segments_held;
  delivery.bytes_max = config_.limits.segment_bytes_held;
  delivery_ = std::make_unique<Delivery>(
      delivery, make_exporters(), [this](uint64_t instance, uint64_t sequence) {
        loop_->post([this, instance, sequence] { supervisor_->acknowledge(instance, sequence); });
      });
  Supervisor::Options supervisor;
  supervisor.config = config_;
  supervisor.facts = std::move(facts);
  supervisor.executable = executable_;
  Supervisor::Events events;
  events.fatal = [this](const std::string& why) {
    spdlog::error("{}", why);
    leave(kExitFailed);
  };
  events.stopped = [this] { on_stopped(); };
  supervisor_ = std::make_unique<Supervisor>(*loop_, *delivery_, supervisor, events);
  monitor_ = std::make_unique<Monitor>(*loop_, *supervisor_, *delivery_);
}

Daemon::~Daemon() {
  servers_.clear();  // their workers use the rest
  control_.reset();
  supervisor_.reset();
}

std::vector<std::unique_ptr<Exporter>> Daemon::make_exporters() {
  std::vector<std::unique_ptr<Exporter>> exporters;
  if (config_.jsonl) {
    std::vector<std::string> ignored;  // reported when the configuration was read
    HistogramConfig histograms = HistogramConfig::parse(config_.histogram_aggregates,
                                                        config_.histogram_percentiles, ignored);
    histograms.leave_out(config_.filter, config_.filter_prefix);
    exporters.push_back(
        std::make_unique<JsonLinesFile>(config_.jsonl->path, std::move(histograms)));
  }
  if (config_.prometheus) {
    PrometheusOptions options;
    options.max_series = config_.prometheus->max_series;
    options.expiry_s = config_.prometheus->expiry_seconds;
    auto exporter = std::make_unique<PrometheusExporter>(options);
    prometheus_ = exporter.get();
    exporters.push_back(std::move(exporter));
  }
  if (exporters.empty()) {
    spdlog::warn("penstock.exporters names no exporter: what is aggregated goes nowhere");
  }
  return exporters;
}

int Daemon::run() {
  const absl::Status control = open_control();
  if (!control.ok()) {
    spdlog::error("{}", to_std(control.message()));
    return kExitFailed;
  }
  loop_->watch(signals_.get(), EPOLLIN, [this](uint32_t /*events*/) { on_signal(); });
  Fd live = Supervisor::find_live(config_.run_dir);
  delivery_->start(saved_state(run_dir_.file("state.json")), live.valid());
  open_http();
  // From within the loop: it may end it.
  loop_->post([this, fd = live.release()] { supervisor_->start(Fd(fd)); });
  loop_->run();
  if (!delivery_->idle()) {
    // An exporter hangs in a delivery; waiting for its thread could take for ever.
    control_.reset();
    std::_Exit(exit_code_);
  }
  return exit_code_;
}

absl::Status Daemon::open_control() {
  ASSIGN_OR_RETURN(control_, control::Server::open(*loop_, run_dir_.file(control::kSocketName)));
  using Reply = control::Server::Reply;
  control_->add("status", false, [this](const Reply& reply) { reply(monitor_->status()); });
  control_->add("stats", false, [this](const Reply& reply) { reply(monitor_->stats()); });
  control_->add("ledger", false, [this](const Reply& reply) { monitor_->ledger(reply); });
  control_->add("stop", true, [this](const Reply& reply) {
    stop_replies_.push_back(reply);
    begin_stop();
  });
  return absl::OkStatus();
}

void Daemon::open_http() {
  const auto serve = [&](const std::string& name, const std::string& key,
                         const ListenAddress& address) -> HttpServer& {
    servers_.push_back(std::make_unique<HttpServer>(key, address));
    monitor_->add_server(name, *servers_.back());
    return *servers_.back();
  };
  if (config_.http) {
    HttpServer& http = serve("http", "penstock.http.listen", *config_.http);
    http.get("/healthz",
             [this] { return answer([this] { return verdict(monitor_->unhealthy()); }); });
    http.get("/readyz", [this] { return answer([this] { return verdict(monitor_->unready()); }); });
    http.get("/metrics", [this] {
      return answer([this] {
        return HttpReply{200, monitor_->metrics(control_->dropped_clients()),
                         std::string(PrometheusExporter::kContentType)};
      });
    });
  }
  if (prometheus_ != nullptr) {
    HttpServer& scrape =
        serve("prometheus", "penstock.exporters.prometheus.listen", config_.prometheus->listen);
    scrape.get("/metrics", [this] {
      return HttpReply{200, prometheus_->render(), std::string(PrometheusExporter::kContentType)};
    });
  }
  for (const auto& server : servers_) {
    const absl::Status status = server->start();
    if (!status.ok()) spdlog::error("{}", to_std(status.message()));
  }
}

// An HTTP worker asks the loop, which owns everything, and does not wait for ever.
HttpReply Daemon::answer(const std::function<HttpReply()>& in_loop) {
  const auto promise = std::make_shared<std::promise<HttpReply>>();
  std::future<HttpReply> future = promise->get_future();
  loop_->post([promise, in_loop] { promise->set_value(in_loop()); });
  if (future.wait_for(kLoopPatience) != std::future_status::ready) {
    return {503, "the control loop does not answer\n"};
  }
  return future.get();
}

void Daemon::on_signal() {
  signalfd_siginfo info{};
  if (::read(signals_.get(), &info, sizeof info) != sizeof info) return;
  if (stopping_) {
    spdlog::warn("second signal: ending at once");
    exit_code_ = kExitFailed;
    return supervisor_->abandon();
  }
  spdlog::info("signal {}: draining", info.ssi_signo);
  begin_stop();
}

void Daemon::begin_stop() {
  if (stopping_) return;
  stopping_ = true;
  supervisor_->stop();
}

// Everything is settled: the last ledger, for the file and for those who asked to stop.
void Daemon::on_stopped() {
  const Monitor::Json ledger = monitor_->ledger_now();
  const absl::Status written =
      write_file_atomically(run_dir_.file("ledger.json"), ledger.dump(2) + "\n");
  if (!written.ok()) spdlog::error("{}", to_std(written.message()));
  const bool balanced = ledger.at("balanced").get<bool>();
  spdlog::info("stopped; the ledger is {}", balanced ? "balanced" : "NOT balanced");
  for (const auto& reply : stop_replies_) reply(ledger);
  if (supervisor_->drain_failed()) exit_code_ = kExitFailed;
  leave(exit_code_);
}

// Ends the loop once the last replies are sent.
void Daemon::leave(int exit_code) {
  exit_code_ = exit_code;
  const int64_t until_ms = monotonic_ms() + kLastRepliesMs;
  const auto wait = std::make_shared<std::function<void()>>();
  *wait = [this, until_ms, weak = std::weak_ptr(wait)] {
    const auto again = weak.lock();
    if (control_->all_sent() || monotonic_ms() >= until_ms || again == nullptr)
      return loop_->stop();
    loop_->after(10, [again] { (*again)(); });
  };
  (*wait)();
}

}  // namespace penstock

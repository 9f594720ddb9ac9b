#include "controlplane/monitor.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "controlplane/forward_tally.h"
#include "dataplane/base/strings.h"
#include "penstock_version.h"

namespace penstock {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kLedgerAttempts = 20;
constexpr int64_t kLedgerPauseMs = 50;
constexpr int64_t kHeartbeatStaleMs = 5000;

std::string text_of(const agent::PortState& port) {
  return {port.text.data(), ::strnlen(port.text.data(), port.text.size())};
}

std::string_view word(Supervisor::Phase phase, bool degraded) {
  switch (phase) {
    case Supervisor::Phase::kStarting:
      return "starting";
    case Supervisor::Phase::kRunning:
      return degraded ? "degraded" : "running";
    case Supervisor::Phase::kRestarting:
      return "restarting";
    case Supervisor::Phase::kDraining:
      return "draining";
    case Supervisor::Phase::kStopped:
      return "stopped";
  }
  return "unknown";
}

std::string port_name(const Plan* plan, uint32_t index) {
  if (plan == nullptr || index >= plan->port_count) return cat("port", index);
  return std::string(plan->str(plan->ports[index].name));
}

Json ports(const Supervisor& supervisor) {
  Json list = Json::array();
  for (const agent::PortState& p : supervisor.ports()) {
    list.push_back({{"name", port_name(supervisor.plan(), p.port)},
                    {"up", p.up != 0},
                    {"link", p.link != 0},
                    {"text", text_of(p)}});
  }
  return list;
}

Json listeners(const Supervisor& supervisor) {
  Json list = Json::array();
  for (const Listener& l : supervisor.listeners()) {
    list.push_back({{"name", l.spec.name},
                    {"address", l.spec.address},
                    {"open", l.socket.valid()},
                    {"error", l.error}});
  }
  return list;
}

Json forward(const Supervisor& supervisor, const std::vector<ForwardTally>& tallies) {
  Json list = Json::array();
  for (const ForwardTarget& target : supervisor.forward_targets()) {
    const auto tally = std::ranges::find(tallies, target.name, &ForwardTally::name);
    const ForwardTally t = tally == tallies.end() ? ForwardTally{} : *tally;
    list.push_back({{"name", target.name},
                    {"address", target.address},
                    {"open", target.error.empty()},
                    {"error", target.error},
                    {"sent", t.sent},
                    {"queue_full", t.queue_full},
                    {"errors", t.errors},
                    {"last_error", t.last_errno == 0 ? "" : std::strerror(t.last_errno)}});
  }
  return list;
}

Json cores(const Plan& plan) {
  Json rx = Json::array();
  for (size_t i = 0; i < plan.rx_count; ++i) rx.push_back(plan.rx[i].cpu);
  Json shards = Json::array();
  for (size_t i = 0; i < plan.shard_count; ++i) shards.push_back(plan.shards[i].cpu);
  return {{"wiring", plan.wiring == Wiring::kInline ? "inline" : "pipeline"},
          {"control", plan.control_cpu},
          {"io", plan.io_cpu},
          {"rx", std::move(rx)},
          {"shards", std::move(shards)}};
}

}  // namespace

Monitor::Monitor(EventLoop& loop, const Supervisor& supervisor, const Delivery& delivery)
    : loop_(loop), supervisor_(supervisor), delivery_(delivery), started_ms_(monotonic_ms()) {}

void Monitor::add_server(const std::string& name, const HttpServer& server) {
  servers_.push_back({name, &server});
}

int64_t Monitor::heartbeat_age_ms() const {
  const uint64_t beat = sum_of(supervisor_.stats(), StatsBlock::kKeeper, "heartbeat_unix_ms");
  return beat == 0 ? -1 : std::max<int64_t>(0, unix_ms() - static_cast<int64_t>(beat));
}

std::vector<std::string> Monitor::reasons() const {
  std::vector<std::string> all = supervisor_.degraded();
  for (const Listener& l : supervisor_.listeners()) {
    if (!l.error.empty()) all.push_back(cat("listener ", l.spec.name, ": ", l.error));
  }
  for (const ForwardTarget& t : supervisor_.forward_targets()) {
    if (!t.error.empty()) all.push_back(cat("forward target ", t.name, ": ", t.error));
  }
  for (const agent::PortState& p : supervisor_.ports()) {
    if (p.up == 0) {
      all.push_back(cat("port ", port_name(supervisor_.plan(), p.port), ": ", text_of(p)));
    }
  }
  for (const ExporterStatus& e : delivery_.statuses()) {
    if (!e.error.empty()) all.push_back(cat("exporter ", e.name, ": ", e.error));
  }
  if (const std::string error = delivery_.state_error(); !error.empty()) all.push_back(error);
  for (const Named& s : servers_) {
    if (!s.server->error().empty()) all.push_back(s.server->error());
  }
  if (supervisor_.greeted() && heartbeat_age_ms() > kHeartbeatStaleMs) {
    all.push_back(cat("the data plane's keeper has not stirred for ", heartbeat_age_ms(), " ms"));
  }
  return all;
}

Json Monitor::status() const {
  const State state = delivery_.state();
  const Departed& gone = state.departed;
  const std::vector<std::string> why = reasons();
  Json status = {{"state", word(supervisor_.phase(), !why.empty())},
                 {"reasons", why},
                 {"version", PENSTOCK_VERSION},
                 {"build", std::string(agent::build_id())},
                 {"pid", ::getpid()},
                 {"uptime_s", (monotonic_ms() - started_ms_) / 1000}};
  const agent::Hello& hello = supervisor_.hello();
  status["data_plane"] = {{"pid", supervisor_.pid()},
                          {"up", supervisor_.greeted()},
                          {"adopted", supervisor_.adopted()},
                          {"instance", hello.instance},
                          {"started_unix_ms", hello.started_unix_ms},
                          {"heartbeat_age_ms", heartbeat_age_ms()},
                          {"restarts", state.restarts},
                          {"crashes", gone.crashes},
                          {"last_exit", supervisor_.last_exit()}};
  status["lost_in_crash"] = {
      {"packets", gone.packets_lost}, {"samples", gone.samples_lost}, {"points", gone.points_lost}};
  status["ports"] = ports(supervisor_);
  status["listeners"] = listeners(supervisor_);
  const LedgerInput books = delivery_.books();
  status["forward"] =
      forward(supervisor_, forward_tallies(books.departed.blocks, supervisor_.stats()));
  Json exporters = Json::array();
  for (const ExporterStatus& e : delivery_.statuses()) {
    const auto tally = std::ranges::find(books.exporters, e.name, &ExporterTally::name);
    exporters.push_back({{"name", e.name},
                         {"error", e.error},
                         {"delivered", tally->delivered},
                         {"queued", tally->queued},
                         {"queued_segments", e.queued_segments},
                         {"given_up", tally->given_up},
                         {"dropped_points", e.dropped_points},
                         {"retries", e.retries}});
  }
  status["exporters"] = std::move(exporters);
  Json servers = Json::array();
  for (const Named& s : servers_) {
    servers.push_back(
        {{"name", s.name}, {"listen", s.server->address().text()}, {"error", s.server->error()}});
  }
  status["http"] = std::move(servers);
  if (supervisor_.plan() != nullptr) status["cores"] = cores(*supervisor_.plan());
  status["notes"] = supervisor_.notes();
  return status;
}

namespace {

// The buckets that have packets, by what these are below, and what follows from them.
Json latency_json(const latency::Counts& counts) {
  Json below = Json::object();
  uint64_t packets = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    packets += counts[i];
    if (counts[i] == 0) continue;
    below[i + 1 < counts.size() ? cat(latency::limit_ns(i)) : "inf"] = counts[i];
  }
  const auto us = [&](double q) {
    return static_cast<double>(latency::quantile_ns(counts, q)) / 1e3;
  };
  return {{"packets", packets},
          {"p50_us", us(0.5)},
          {"p99_us", us(0.99)},
          {"p999_us", us(0.999)},
          {"below_ns", std::move(below)}};
}

}  // namespace

Json Monitor::stats() const {
  constexpr std::string_view kKinds[] = {"queue",  "listener", "loss",   "shard",
                                         "keeper", "origin",   "forward"};
  Json list = Json::array();
  for (const StatsBlockValues& b : supervisor_.stats()) {
    Json counters = Json::object();
    for (const auto& [name, value] : b.counters) {
      if (!is_latency(name)) counters[name] = value;
    }
    const auto kind = static_cast<size_t>(b.kind);
    list.push_back({{"kind", kind < std::size(kKinds) ? kKinds[kind] : "unknown"},
                    {"label", b.label},
                    {"counters", std::move(counters)}});
    if (b.kind == StatsBlock::kShard) list.back()["latency"] = latency_json(latency_of(b));
  }
  return {{"blocks", std::move(list)}};
}

Json Monitor::ledger_now() const {
  // Counters first: what they have sealed by then may have reached us, never the reverse.
  const std::vector<StatsBlockValues> live = supervisor_.stats();
  LedgerInput input = delivery_.books();
  input.live = live;
  for (const Listener& l : supervisor_.listeners()) {
    if (l.socket.valid()) input.addresses[l.spec.name] = l.spec.address;
  }
  return make_ledger(input);
}

void Monitor::try_ledger(std::function<void(Json)> done, int attempt) {
  Json ledger = ledger_now();
  if (ledger.at("balanced").get<bool>() || attempt + 1 >= kLedgerAttempts) {
    return done(std::move(ledger));
  }
  loop_.after(kLedgerPauseMs,
              [this, done = std::move(done), attempt] { try_ledger(done, attempt + 1); });
}

std::string Monitor::unhealthy() const {
  if (!supervisor_.greeted()) return "the data plane is not up";
  const int64_t age_ms = heartbeat_age_ms();
  if (age_ms < 0 || age_ms > kHeartbeatStaleMs) return "the data plane's keeper does not stir";
  return {};
}

std::string Monitor::unready() const {
  if (supervisor_.phase() != Supervisor::Phase::kRunning) return "not receiving";
  const bool any = std::ranges::any_of(supervisor_.ports(),
                                       [](const agent::PortState& p) { return p.up != 0; }) ||
                   (supervisor_.plan() != nullptr && supervisor_.plan()->listener_count > 0);
  return any ? std::string() : "no port and no listener is up";
}

}  // namespace penstock

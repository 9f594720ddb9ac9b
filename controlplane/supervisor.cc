#include "controlplane/supervisor.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "dataplane/base/log.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

constexpr int64_t kReconnectMs = 200;
constexpr int64_t kAckRetryMs = 50;
constexpr char kSocketName[] = "/dataplane.sock";

Fd connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return Fd();
  std::memcpy(address.sun_path, path.data(), path.size());
  Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return Fd();
  return fd;
}

bool any_open(const std::vector<Listener>& listeners) {
  return std::ranges::any_of(listeners, [](const Listener& l) { return l.socket.valid(); });
}

std::vector<ListenerSpec> open_specs(const std::vector<Listener>& listeners) {
  std::vector<ListenerSpec> specs;
  for (const Listener& l : listeners) {
    if (l.socket.valid()) specs.push_back(l.spec);
  }
  return specs;
}

// What an adopted data plane forwards to.
std::vector<ForwardTarget> running_targets(const Plan& plan) {
  std::vector<ForwardTarget> targets;
  for (size_t i = 0; i < plan.forward.target_count; ++i) {
    ForwardTarget& t = targets.emplace_back();
    t.name = plan.str(plan.forward.targets[i]);
    if (plan.forward_open[i] == 0) t.error = "could not be opened when the data plane started";
  }
  return targets;
}

std::string nothing_to_listen_on(const Config& config, const std::vector<Listener>& listeners) {
  if (!config.use_dogstatsd) return "nothing to listen on: use_dogstatsd is false";
  if (listeners.empty()) {
    return "nothing to listen on: dogstatsd_port is 0, dogstatsd_socket, dogstatsd_stream_socket "
           "and "
           "dogstatsd_pipe_name are empty and there is no penstock.ports; configure one of them";
  }
  std::string why = "nothing to listen on:";
  for (const Listener& l : listeners) why += cat(" ", l.spec.name, ": ", l.error, ";");
  why.pop_back();
  return why;
}

}  // namespace

Supervisor::Supervisor(EventLoop& loop, Delivery& delivery, Options options, Events events)
    : loop_(loop),
      delivery_(delivery),
      options_(std::move(options)),
      events_(std::move(events)),
      socket_path_(options_.config.run_dir + kSocketName) {}

Supervisor::~Supervisor() {
  forget_process();
  loop_.cancel(deadline_);
  loop_.cancel(retry_);
}

Fd Supervisor::find_live(const std::string& run_dir) { return connect_to(run_dir + kSocketName); }

void Supervisor::start(Fd live) {
  phase_ = Phase::kStarting;
  if (live.valid()) return adopt(std::move(live));
  const absl::Status status = start_fresh();
  if (!status.ok()) fail(std::string(to_std(status.message())));
}

void Supervisor::fail(const std::string& why) {
  phase_ = Phase::kStopped;
  ::unlink(socket_path_.c_str());
  events_.fatal(why);
}

// Opens the listeners, compiles for them, and starts the first data plane.
absl::Status Supervisor::start_fresh() {
  delivery_.set_facts(options_.facts);
  degraded_.clear();
  listeners_.clear();  // closed before they are opened again
  const std::vector<ListenerSpec> wanted = configured_listeners(options_.config);
  listeners_ = open_listeners(wanted, options_.config.so_rcvbuf);
  const bool ports = options_.config.use_dogstatsd && !options_.config.ports.empty();
  if (!any_open(listeners_) && !ports) {
    return absl::FailedPreconditionError(nothing_to_listen_on(options_.config, listeners_));
  }
  const std::vector<ListenerSpec> specs = open_specs(listeners_);
  ASSIGN_OR_RETURN(Compiled compiled, compile(options_.config, options_.facts, specs));
  notes_ = std::move(compiled.notes);
  for (const std::string& note : notes_) spdlog::info("{}", note);
  ASSIGN_OR_RETURN(plan_fd_, plan_to_memfd(*compiled.plan));
  drops_counted_ = {};  // new sockets
  line_lost_ = {};
  return spawn();
}

// The sockets outlive the data plane, and so do their counts of drops: what it has counted, the
// next one leaves out.
void Supervisor::note_drops(const std::vector<StatsBlockValues>& last) {
  if (process_.plan == nullptr) return;
  const Plan& plan = *process_.plan;
  drops_counted_ = plan.drops_counted;
  for (size_t i = 0; i < plan.listener_count; ++i) {
    for (const StatsBlockValues& b : last) {
      if (b.kind != StatsBlock::kLoss || b.label != plan.str(plan.listeners[i].name)) continue;
      drops_counted_[i] += static_cast<uint32_t>(b.get("missed"));
    }
  }
}

// What a pipe brings next may be the rest of a line that the data plane had begun: perhaps after a
// crash, surely if it cut off a line at its end or never saw the end of the one it began with.
void Supervisor::note_lines(const std::vector<StatsBlockValues>& last, bool crashed) {
  if (process_.plan == nullptr) return;
  const Plan& plan = *process_.plan;
  line_lost_ = {};
  for (size_t i = 0; i < plan.listener_count; ++i) {
    if (plan.listeners[i].kind != ListenerKind::kPipe) continue;
    const bool told = std::ranges::any_of(last, [&](const StatsBlockValues& b) {
      return b.kind == StatsBlock::kListener && b.label == plan.str(plan.listeners[i].name) &&
             b.get("malformed_cut_off") != plan.line_lost[i];
    });
    line_lost_[i] = crashed || told ? 1 : 0;
  }
}

absl::Status Supervisor::spawn() {
  ASSIGN_OR_RETURN(const Fd agent, bind_unix(socket_path_, SOCK_SEQPACKET, 0600));
  if (::listen(agent.get(), 8) != 0) return errno_status(errno, cat("listen on ", socket_path_));
  ASSIGN_OR_RETURN(const Fd stats, make_memfd("penstock-stats", kStatsBytes));
  ASSIGN_OR_RETURN(std::unique_ptr<Plan> plan, open_plan(plan_fd_.get()));
  plan->drops_counted = drops_counted_;
  plan->line_lost = line_lost_;
  targets_ = open_forward_targets(options_.config, listeners_, targets_);
  for (size_t i = 0; i < targets_.size(); ++i) plan->forward_open[i] = targets_[i].error.empty();
  ASSIGN_OR_RETURN(plan_fd_, plan_to_memfd(*plan));
  std::vector<int> fds{plan_fd_.get(), stats.get(), agent.get()};
  for (const Listener& l : listeners_) {
    if (l.socket.valid()) fds.push_back(l.socket.get());
  }
  for (const ForwardTarget& t : targets_) {
    if (t.socket.valid()) fds.push_back(t.socket.get());
  }
  ASSIGN_OR_RETURN(Mapping mapping, Mapping::map(stats.get(), /*writable=*/false));
  ASSIGN_OR_RETURN(Launched launched, launch(options_.executable, fds));
  for (ForwardTarget& t : targets_) t.socket.reset();
  process_ = Process{};
  process_.plan = std::move(plan);
  process_.pid = launched.pid;
  process_.pidfd = std::move(launched.pidfd);
  process_.child = true;
  process_.started_ms = monotonic_ms();
  process_.stats.emplace(std::move(mapping));
  spdlog::info("data plane {} started", process_.pid);
  watch_process();
  process_.socket = connect_to(socket_path_);
  if (process_.socket.valid()) {
    watch_socket();
  } else {
    reconnect();
  }
  return absl::OkStatus();
}

void Supervisor::adopt(Fd live) {
  process_ = Process{};
  process_.adopted = true;
  process_.started_ms = monotonic_ms();
  process_.socket = std::move(live);
  watch_socket();
}

void Supervisor::watch_socket() {
  loop_.watch(process_.socket.get(), EPOLLIN, [this](uint32_t /*events*/) { on_socket(); });
  loop_.cancel(silence_);
  silence_ = loop_.after(options_.hello_ms, [this] {
    silence_ = 0;
    if (process_.greeted) return;
    spdlog::warn("the data plane has not answered for {} ms; still waiting", options_.hello_ms);
  });
}

void Supervisor::watch_process() {
  loop_.watch(process_.pidfd.get(), EPOLLIN, [this](uint32_t /*events*/) { on_exit(); });
}

// The connection is gone and the process may not be: try until one or the other is certain.
void Supervisor::reconnect() {
  loop_.cancel(retry_);
  retry_ = loop_.after(kReconnectMs, [this] {
    retry_ = 0;
    process_.socket = connect_to(socket_path_);
    if (process_.socket.valid()) {
      watch_socket();
    } else {
      reconnect();
    }
  });
}

void Supervisor::on_socket() {
  read_messages();
  if (process_.socket.valid()) return;
  if (process_.pidfd.valid()) {
    reconnect();
  } else {
    on_exit();  // one we never knew the process of
  }
}

void Supervisor::read_messages() {
  while (process_.socket.valid()) {
    absl::StatusOr<agent::Received> received = agent::receive(process_.socket.get());
    if (received.ok()) {
      handle(*std::move(received));
    } else if (absl::IsUnavailable(received.status())) {
      return;
    } else if (absl::IsInvalidArgument(received.status())) {
      on_foreign(
          "the running data plane speaks another version of the agent wire; stop it by hand "
          "once its data may be lost");
      loop_.change(process_.socket.get(), 0);  // only its end is of interest
      return;
    } else if (absl::IsOutOfRange(received.status()) ||
               absl::IsResourceExhausted(received.status())) {
      if (!absl::IsOutOfRange(received.status())) {
        spdlog::error("{}; connecting again", to_std(received.status().message()));
      }
      loop_.unwatch(process_.socket.get());
      process_.socket.reset();
    }  // ABORTED: a reset, told once; what was sent before it can still be read
  }
}

void Supervisor::handle(agent::Received received) {
  const agent::Message& m = received.message;
  switch (m.header.type) {
    case agent::Type::kHello:
      return on_hello(std::move(received));
    case agent::Type::kPortState:
      std::erase_if(process_.ports,
                    [&](const agent::PortState& p) { return p.port == m.port_state.port; });
      process_.ports.push_back(m.port_state);
      std::ranges::sort(process_.ports, {}, &agent::PortState::port);
      return;
    case agent::Type::kSegmentReady:
      if (process_.greeted && received.fds.size() == 1) {
        delivery_.accept(m.segment_ready, received.fds[0]);
      }
      return;
    case agent::Type::kDrained:
      return on_drained();
    case agent::Type::kSegmentAck:
    case agent::Type::kStop:
      spdlog::warn("the data plane sent a message that only penstockd sends");
  }
}

void Supervisor::on_hello(agent::Received received) {
  const bool again = process_.greeted;  // after a reconnect
  process_.hello = received.message.hello;
  process_.greeted = true;
  ever_greeted_ = true;
  loop_.cancel(silence_);
  if (!again) {
    const absl::Status status = process_.adopted ? take_over(received) : check_child();
    if (!status.ok()) on_foreign(status.message());
    delivery_.begin_instance(process_.hello.instance);
    spdlog::info("data plane {} is up{}", process_.pid, process_.adopted ? " (adopted)" : "");
  }
  if (phase_ != Phase::kDraining) {
    phase_ = Phase::kRunning;
  } else {
    stop();  // asked for meanwhile
  }
  flush_acks();
}

std::string_view Supervisor::its_build() const {
  const auto& id = process_.hello.build_id;
  return {id.data(), ::strnlen(id.data(), id.size())};
}

absl::Status Supervisor::check_child() const {
  if (its_build() == agent::build_id() && process_.hello.plan_hash == process_.plan->hash) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(cat(options_.executable, " is of build ", its_build(),
                                           " and penstockd of ", agent::build_id(),
                                           "; install both from one build"));
}

// Adopts: its process, counters, Plan and sockets. An error says why it is not ours to restart.
absl::Status Supervisor::take_over(agent::Received& received) {
  const agent::Hello& hello = process_.hello;
  process_.pid = hello.pid;
  ASSIGN_OR_RETURN(process_.pidfd, open_pidfd(hello.pid));
  watch_process();
  if (received.fds.size() != 2 + size_t{hello.listener_count}) {
    return absl::InvalidArgumentError("the running data plane did not pass its descriptors");
  }
  ASSIGN_OR_RETURN(Mapping mapping, Mapping::map(received.fds[1].get(), /*writable=*/false));
  process_.stats.emplace(std::move(mapping));
  if (its_build() != agent::build_id()) {
    return absl::FailedPreconditionError(cat("the running data plane is of build ", its_build(),
                                             " and penstockd of ", agent::build_id(),
                                             "; `penstockctl stop` and start again to change it"));
  }
  ASSIGN_OR_RETURN(process_.plan, open_plan(received.fds[0].get()));
  const Plan& running = *process_.plan;
  std::vector<Listener> listeners;
  for (const ListenerSpec& wanted : configured_listeners(options_.config)) {
    listeners.push_back({wanted, {}, "was not open when the data plane started"});
    for (size_t i = 0; i < running.listener_count && i + 2 < received.fds.size(); ++i) {
      const ListenerPlan& l = running.listeners[i];
      const ListenerSpec spec{std::string(running.str(l.name)),
                              std::string(running.str(l.address)),
                              l.kind,
                              l.eol_required != 0,
                              l.spread != 0,
                              false,
                              l.connections};
      if (!same_listener(wanted, spec)) continue;
      listeners.back() = {spec, std::move(received.fds[i + 2]), {}};
    }
  }
  // With the facts it was started with: hugepages it uses are not free now. They are in the state
  // file, which may be gone.
  const MachineFacts before = delivery_.state().facts;
  const std::vector<ListenerSpec> specs = open_specs(listeners);
  const absl::StatusOr<Compiled> compiled =
      compile(options_.config, before.cpus.empty() ? options_.facts : before, specs);
  if (!compiled.ok() || compiled->plan->hash != running.hash) {
    return absl::FailedPreconditionError(
        "the running data plane has another configuration; `penstockctl stop` and start again to "
        "apply this one");
  }
  listeners_ = std::move(listeners);
  targets_ = running_targets(running);
  plan_fd_ = std::move(received.fds[0]);
  return absl::OkStatus();
}

void Supervisor::on_foreign(absl::string_view reason) {
  const std::string why(to_std(reason));
  process_.foreign = true;
  degraded_ = {why};
  spdlog::error("degraded: {}", why);
}

void Supervisor::on_exit() {
  int status = 0;
  const bool reaped = process_.child && ::waitpid(process_.pid, &status, WNOHANG) == process_.pid;
  read_messages();  // what it sent before it ended
  const std::vector<StatsBlockValues> last = stats();
  const bool drained = sum_of(last, StatsBlock::kKeeper, "drained") != 0;
  const bool crashed = reaped ? !(WIFEXITED(status) && WEXITSTATUS(status) == 0) : !drained;
  const std::string exit = reaped ? explain_exit(status) : "ended";
  const bool first_start = !ever_greeted_ && process_.child;
  const bool unseen = !process_.greeted && process_.adopted;
  const bool foreign = process_.foreign && process_.adopted;  // its sockets are not ours
  const int64_t up_ms = monotonic_ms() - process_.started_ms;
  if (unseen) {
    delivery_.start_over();
  } else {
    report_exit(exit, delivery_.depart(last, crashed), crashed);
    note_drops(last);
    note_lines(last, crashed);
  }
  forget_process();
  if (phase_ == Phase::kDraining) {
    drain_failed_ = drain_failed_ || crashed;
    return finish_if_done();
  }
  if (first_start) return fail(cat("the data plane did not start: ", exit));
  if (up_ms >= options_.steady_ms) backoff_ms_ = 0;
  if (foreign || unseen) plan_fd_.reset();
  schedule_restart();
}

void Supervisor::report_exit(const std::string& exit, const CrashLoss& loss, bool crashed) {
  last_exit_ = cat("data plane ", process_.pid, ": ", exit);
  if (!crashed) return spdlog::info("{}", last_exit_);
  last_exit_ += cat("; lost ", loss.samples, " samples of the open bucket, ", loss.packets,
                    " packets, ", loss.points, " sealed points");
  spdlog::error("{}", last_exit_);
}

void Supervisor::schedule_restart() {
  phase_ = Phase::kRestarting;
  backoff_ms_ = backoff_ms_ == 0 ? options_.backoff_min_ms
                                 : std::min(backoff_ms_ * 2, options_.backoff_max_ms);
  spdlog::info("starting a data plane in {} ms", backoff_ms_);
  retry_ = loop_.after(backoff_ms_, [this] {
    retry_ = 0;
    restart();
  });
}

// From the last good Plan and with the same sockets, if they are ours.
void Supervisor::restart() {
  delivery_.count_restart();
  reopen_refusing();
  const absl::Status status = plan_fd_.valid() ? spawn() : start_fresh();
  if (status.ok()) return;
  spdlog::error("cannot start the data plane: {}", to_std(status.message()));
  last_exit_ = to_std(status.message());
  forget_process();
  schedule_restart();
}

// A penstockd that was killed in a drain had shut its sockets to senders, and we adopted them.
void Supervisor::reopen_refusing() {
  for (Listener& l : listeners_) {
    if (!refuses_senders(l)) continue;
    l.socket.reset();
    l = std::move(open_listeners({&l.spec, 1}, options_.config.so_rcvbuf).front());
    if (!l.socket.valid()) plan_fd_.reset();  // another Plan, without it
  }
}

std::vector<StatsBlockValues> Supervisor::stats() const {
  if (!process_.stats) return {};
  absl::StatusOr<std::vector<StatsBlockValues>> blocks = process_.stats->read();
  return blocks.ok() ? *std::move(blocks) : std::vector<StatsBlockValues>{};
}

void Supervisor::acknowledge(uint64_t instance, uint64_t sequence) {
  if (process_.greeted && process_.hello.instance == instance) acks_.push_back(sequence);
  flush_acks();
  finish_if_done();
}

void Supervisor::flush_acks() {
  while (!acks_.empty() && process_.greeted && process_.socket.valid()) {
    const agent::SegmentAck ack{{agent::Type::kSegmentAck, agent::kVersion}, acks_.front()};
    const absl::Status status = agent::send(process_.socket.get(), ack.header);
    if (absl::IsResourceExhausted(status) && retry_ == 0) {
      retry_ = loop_.after(kAckRetryMs, [this] {
        retry_ = 0;
        flush_acks();
      });
    }
    if (!status.ok()) return;  // a broken connection: announced and acknowledged again
    acks_.pop_front();
  }
}

void Supervisor::set_deadline(int64_t ms, EventLoop::Callback callback) {
  loop_.cancel(deadline_);
  deadline_ = loop_.after(ms, std::move(callback));
}

void Supervisor::stop() {
  if (phase_ == Phase::kStopped) return;
  const bool restarting = phase_ == Phase::kRestarting;
  phase_ = Phase::kDraining;
  for (const Listener& l : listeners_) refuse_senders(l);
  if (process_.pid == 0 && !process_.socket.valid()) {
    loop_.cancel(retry_);
    retry_ = 0;
    if (restarting && plan_fd_.valid()) return start_to_drain();
    return on_drained();
  }
  if (process_.greeted && process_.socket.valid()) {
    const agent::Stop message{{agent::Type::kStop, agent::kVersion}};
    (void)agent::send(process_.socket.get(), message.header);
  } else {
    signal_process(process_.pidfd, SIGTERM);
  }
  limit_drain();
}

// Between two data planes. What waits in the sockets meanwhile was accepted: one more takes it in,
// and is stopped when it says Hello.
void Supervisor::start_to_drain() {
  spdlog::info("starting a data plane for what waits in the sockets");
  delivery_.count_restart();
  if (const absl::Status status = spawn(); !status.ok()) {
    spdlog::error("cannot start the data plane: {}", to_std(status.message()));
    forget_process();
    drain_failed_ = true;
    return on_drained();
  }
  limit_drain();
}

void Supervisor::limit_drain() {
  set_deadline(options_.drain_ms, [this] {
    spdlog::error("the data plane did not drain in {} ms{}", options_.drain_ms,
                  process_.pidfd.valid() ? "; it is killed" : "");
    kill_process();
  });
}

// All is sealed and announced; what remains is the exporters'.
void Supervisor::on_drained() {
  process_.drained = true;
  if (phase_ != Phase::kDraining) return;  // told to by somebody else; it will be restarted
  delivery_.close_books();
  set_deadline(options_.deliver_ms, [this] {
    spdlog::error("exporters did not deliver in {} ms; the rest is given up", options_.deliver_ms);
    delivery_.give_up_all();
    set_deadline(options_.exit_ms, [this] {
      if (process_.pid == 0) return finish();  // an exporter that hangs in a delivery
      spdlog::error("the data plane does not end; it is killed");
      kill_process();
      set_deadline(options_.exit_ms, [this] { finish(); });
    });
  });
  finish_if_done();
}

void Supervisor::kill_process() {
  signal_process(process_.pidfd, SIGKILL);
  if (!process_.pidfd.valid()) leave_behind();
}

// It never said Hello, so its process is unknown. Its socket stays for the next penstockd.
void Supervisor::leave_behind() {
  phase_ = Phase::kStopped;
  loop_.cancel(deadline_);
  events_.fatal(cat("the data plane behind ", socket_path_,
                    " does not answer and is left as it is; start penstockd again to take it over, "
                    "or end penstock-dataplane by hand"));
}

void Supervisor::finish_if_done() {
  if (phase_ != Phase::kDraining || process_.pid != 0 || process_.socket.valid()) return;
  if (delivery_.idle()) return finish();
  if (!process_.drained) on_drained();  // it died while draining: the exporters still have some
}

void Supervisor::finish() {
  if (phase_ == Phase::kStopped) return;
  phase_ = Phase::kStopped;
  loop_.cancel(deadline_);
  ::unlink(socket_path_.c_str());
  events_.stopped();
}

void Supervisor::abandon() {
  phase_ = Phase::kDraining;
  delivery_.give_up_all();
  set_deadline(options_.exit_ms, [this] { finish(); });
  if (process_.pidfd.valid()) {
    signal_process(process_.pidfd, SIGKILL);
  } else if (process_.socket.valid()) {
    leave_behind();
  } else {
    finish();
  }
}

void Supervisor::forget_process() {
  if (process_.socket.valid()) loop_.unwatch(process_.socket.get());
  if (process_.pidfd.valid()) loop_.unwatch(process_.pidfd.get());
  loop_.cancel(silence_);
  loop_.cancel(retry_);
  silence_ = 0;
  retry_ = 0;
  acks_.clear();
  process_ = Process{};
}

}  // namespace penstock

#include <pthread.h>
#include <sched.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/api/agent.h"
#include "dataplane/api/plan.h"
#include "dataplane/api/port_memory.h"
#include "dataplane/api/stats.h"
#include "dataplane/base/log.h"
#include "dataplane/base/strings.h"
#include "dataplane/core/sealer.h"
#include "dataplane/core/senders.h"
#include "dataplane/core/worker.h"
#include "dataplane/keeper/endpoint.h"
#include "dataplane/keeper/keeper.h"
#include "dataplane/keeper/outbox.h"
#include "dataplane/nic/nic.h"
#include "dataplane/origin/origins.h"
#include "dataplane/origin/resolver.h"
#include "dataplane/uring/io_loop.h"
#include "parsers/simd/kernel.h"

// penstock-dataplane: wiring, nothing else. penstockd starts it with everything it needs as open
// descriptors; it reads no configuration, and lives on when penstockd dies.

namespace penstock {
namespace {

// The descriptors penstockd passes; listeners follow in the Plan's order, then open forward
// targets.
constexpr int kPlanFd = 3;
constexpr int kStatsFd = 4;
constexpr int kAgentFd = 5;
constexpr int kFirstListenerFd = 6;

enum ExitCode { kDrained = 0, kBadPlan = 2, kNothingToReceive = 3, kNoEal = 4 };

ExitCode fail(ExitCode code, const absl::Status& status) {
  spdlog::critical("{}", status.ToString());
  return code;
}

Fd block_and_watch_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return Fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
}

// Ties the calling thread to a CPU. A CPU taken away meanwhile is not fatal.
void pin_thread(const std::string& name, uint16_t cpu) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(cpu, &cpus);
  if (pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus) != 0) {
    spdlog::warn("{}: cannot run on CPU {}; it runs where the kernel puts it", name, cpu);
  }
}

void settle_thread(const std::string& name, uint16_t cpu) {
  pthread_setname_np(pthread_self(), name.c_str());
  pin_thread(name, cpu);
}

agent::Hello make_hello(const Plan& plan) {
  agent::Hello hello{};
  hello.header = {agent::Type::kHello, agent::kVersion};
  const std::string_view build = agent::build_id();
  std::memcpy(hello.build_id.data(), build.data(),
              std::min(build.size(), hello.build_id.size() - 1));
  hello.plan_hash = plan.hash;
  while (::getrandom(&hello.instance, sizeof(hello.instance), 0) < 0) {
  }
  hello.pid = ::getpid();
  hello.listener_count = plan.listener_count;
  hello.started_unix_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                              std::chrono::system_clock::now().time_since_epoch())
                              .count();
  return hello;
}

// What every penstockd gets with the Hello.
std::vector<int> hello_descriptors(const Plan& plan) {
  std::vector<int> fds = {kPlanFd, kStatsFd};
  for (int i = 0; i < plan.listener_count; ++i) fds.push_back(kFirstListenerFd + i);
  return fds;
}

agent::PortState port_message(uint32_t index, const NicPortState& state) {
  agent::PortState message{};
  message.header = {agent::Type::kPortState, agent::kVersion};
  message.port = index;
  message.up = state.up;
  message.link = state.link;
  state.text.copy(message.text.data(), message.text.size() - 1);
  return message;
}

void log_change(std::string_view port, const NicPortState& state) {
  if (!state.up) {
    spdlog::error("port {}: {}", port, state.text);
  } else {
    spdlog::warn("port {}: link {}", port, state.link ? "up" : "down");
  }
}

bool detects_origins(const Plan& plan) {
  return std::any_of(plan.listeners.begin(), plan.listeners.begin() + plan.listener_count,
                     [](const ListenerPlan& l) { return l.origin_detection != 0; });
}

// Everything that receives or aggregates, from the Plan to the running threads.
class DataPlane {
 public:
  DataPlane(const Plan& plan, StatsBuilder& stats) : plan_(plan), stats_(stats) {}

  // kDrained (0), or the exit code of what could not be started.
  ExitCode open() {
    if (detects_origins(plan_)) {
      senders_ = std::make_unique<Senders>(plan_.limits.origins);
      absl::StatusOr<std::unique_ptr<origin::Resolver>> resolver =
          origin::Resolver::create(plan_, *senders_);
      if (!resolver.ok()) return fail(kBadPlan, resolver.status());
      resolver_ = *std::move(resolver);
    }
    for (uint16_t i = 0; i < plan_.shard_count; ++i) {
      absl::StatusOr<std::unique_ptr<Sleeper>> sleeper = Sleeper::create();
      if (!sleeper.ok()) return fail(kBadPlan, sleeper.status());
      owned_workers_.push_back(std::make_unique<ShardWorker>(
          plan_, i, stats_.add_shard(cat("shard", i)), *std::move(sleeper), senders_.get()));
      workers_.push_back(owned_workers_.back().get());
    }
    if (plan_.listener_count > 0 || forwards()) {
      absl::StatusOr<std::unique_ptr<IoLoop>> io = open_io();
      if (!io.ok()) return fail(kNothingToReceive, io.status());
      io_ = *std::move(io);
    }
    if (plan_.use_eal) {
      absl::StatusOr<std::unique_ptr<Nic>> nic = open_nic();
      if (!nic.ok()) return fail(kNoEal, nic.status());
      nic_ = *std::move(nic);
    }
    if (plan_.listener_count == 0 && (nic_ == nullptr || nic_->ports_up() == 0)) {
      return fail(kNothingToReceive,
                  absl::FailedPreconditionError("no listener, and no port that receives"));
    }
    return kDrained;
  }

  void start() {
    for (uint16_t i = 0; i < plan_.shard_count; ++i) {
      if (plan_.shards[i].rx >= 0) continue;  // its receive loop runs it
      shard_threads_.emplace_back([this, i] {
        settle_thread(cat("shard", i), plan_.shards[i].cpu);
        const bool shared = io_ != nullptr && plan_.shards[i].cpu == plan_.io_cpu;
        workers_[i]->run(stop_shards_, plan_.idle,
                         shared ? ShardWorker::Cpu::kShared : ShardWorker::Cpu::kOwn);
      });
    }
    if (nic_ != nullptr) nic_->launch(stop_shards_);
    if (resolver_ != nullptr) {
      resolver_thread_ = std::thread([this] {
        settle_thread("origin", plan_.control_cpu);
        resolver_->run(stop_resolver_, [this] { io_->wake(); });
      });
    }
    if (io_ != nullptr) {
      io_thread_ = std::thread([this] {
        settle_thread("io", plan_.io_cpu);
        const absl::Status ended = io_->run(stop_io_);
        if (ended.ok()) return;
        spdlog::error("io: {}", ended.ToString());
        // Without it the sockets fill unseen: drain what there is, and let penstockd start another.
        if (!stop_io_.load()) ::kill(::getpid(), SIGTERM);
      });
    }
    spdlog::info("receiving: {} ports, {} listeners, {} shards, {}, {} parser",
                 nic_ ? nic_->ports_up() : 0, plan_.listener_count, plan_.shard_count,
                 plan_.wiring == Wiring::kInline ? "inline" : "pipeline",
                 simd::variant_name(simd::active().variant));
  }

  // The stop goes the way the packets go: ports, then the io thread, which also has the ports'
  // packets to forward, then shards. Returns when every packet that had arrived is aggregated and
  // every thread has ended.
  void stop() {
    if (nic_ != nullptr) nic_->stop_receiving();
    stop_io_.store(true);
    if (io_ != nullptr) io_->wake();
    if (io_thread_.joinable()) io_thread_.join();
    stop_resolver_.store(true);
    if (resolver_ != nullptr) resolver_->wake();
    if (resolver_thread_.joinable()) resolver_thread_.join();
    stop_shards_.store(true);
    for (ShardWorker* worker : workers_) worker->sleeper().wake();
    for (std::thread& thread : shard_threads_) thread.join();
    if (nic_ == nullptr) return;
    nic_->join();
    nic_->read_losses();
  }

  // Once a second: what the NICs lost, and every port whose state is not what penstockd heard last.
  void report(Endpoint& endpoint) {
    if (nic_ == nullptr) return;
    nic_->read_losses();
    const std::vector<NicPortState> now = nic_->ports();
    for (uint32_t i = 0; i < now.size(); ++i) {
      if (i < reported_.size()) {
        if (reported_[i] == now[i]) continue;
        log_change(plan_.str(plan_.ports[i].name), now[i]);
      }
      endpoint.set_port_state(port_message(i, now[i]));
    }
    reported_ = now;
  }

  [[nodiscard]] std::span<ShardWorker* const> workers() const { return workers_; }
  // Null: packets have no origin.
  [[nodiscard]] const Senders* senders() const { return senders_.get(); }
  [[nodiscard]] std::vector<Shard*> shards() const {
    std::vector<Shard*> out;
    for (ShardWorker* worker : workers_) out.push_back(&worker->shard());
    return out;
  }

 private:
  absl::StatusOr<std::unique_ptr<IoLoop>> open_io() {
    std::vector<Fd> sockets;
    std::vector<SourceStats*> sources;
    std::vector<LossStats*> losses;
    std::vector<OriginStats*> origin_stats;
    for (uint16_t i = 0; i < plan_.listener_count; ++i) {
      const std::string_view name = plan_.str(plan_.listeners[i].name);
      sockets.emplace_back(kFirstListenerFd + i);
      sources.push_back(&stats_.add_source(StatsBlock::kListener, name));
      losses.push_back(&stats_.add_loss(name));
      origin_stats.push_back(plan_.listeners[i].origin_detection != 0 ? &stats_.add_origin(name)
                                                                      : nullptr);
    }
    std::unique_ptr<origin::Origins> origins;
    if (resolver_ != nullptr) {
      origins = std::make_unique<origin::Origins>(plan_, *resolver_, std::move(origin_stats));
    }
    ASSIGN_OR_RETURN(
        std::unique_ptr<IoLoop> io,
        IoLoop::create(plan_, std::move(sockets), sources, losses, workers_, std::move(origins)));
    if (forwards()) RETURN_IF_ERROR(forward(*io));
    return io;
  }

  [[nodiscard]] bool forwards() const {
    return std::ranges::any_of(plan_.forward_open, [](uint8_t open) { return open != 0; });
  }

  absl::Status forward(IoLoop& io) {
    std::vector<Fd> sockets;
    std::vector<ForwardStats*> stats;
    int next_fd = kFirstListenerFd + plan_.listener_count;
    for (uint32_t i = 0; i < plan_.forward.target_count; ++i) {
      if (plan_.forward_open[i] == 0) continue;
      sockets.emplace_back(next_fd++);
      stats.push_back(&stats_.add_forward(plan_.str(plan_.forward.targets[i])));
    }
    return io.forward_to(plan_, std::move(sockets), stats);
  }

  absl::StatusOr<std::unique_ptr<Nic>> open_nic() {
    std::vector<Outlet> inlets;
    for (uint16_t i = 0; forwards() && i < plan_.rx_count; ++i) {
      inlets.push_back(io_->add_inlet(forward_ring_slots(plan_)));
    }
    return Nic::start(plan_, stats_, workers_, inlets);
  }

  const Plan& plan_;
  StatsBuilder& stats_;
  std::unique_ptr<Senders> senders_;
  std::unique_ptr<origin::Resolver> resolver_;
  std::vector<std::unique_ptr<ShardWorker>> owned_workers_;
  std::vector<ShardWorker*> workers_;
  std::unique_ptr<Nic> nic_;
  std::unique_ptr<IoLoop> io_;
  std::atomic<bool> stop_io_{false};
  std::atomic<bool> stop_resolver_{false};
  std::atomic<bool> stop_shards_{false};
  std::vector<std::thread> shard_threads_;
  std::thread io_thread_;
  std::thread resolver_thread_;
  std::vector<NicPortState> reported_;
};

int run() {
  const Fd signals = block_and_watch_signals();
  ::setsid();  // a Ctrl-C at penstockd's terminal is penstockd's to handle
  const absl::StatusOr<std::unique_ptr<Plan>> opened = open_plan(kPlanFd);
  init_log("penstock-dataplane", opened.ok() ? (*opened)->str((*opened)->log_level) : "info");
  if (!opened.ok()) return fail(kBadPlan, opened.status());
  const Plan& plan = **opened;
  const absl::StatusOr<Mapping> stats_memory = Mapping::map(kStatsFd, /*writable=*/true);
  if (!stats_memory.ok()) return fail(kBadPlan, stats_memory.status());
  // The main thread is the keeper, and keeps the process's name. Before EAL, whose helper threads
  // inherit the CPU.
  pin_thread("keeper", plan.control_cpu);

  StatsBuilder stats(stats_memory->bytes());
  KeeperStats& keeper_stats = stats.add_keeper();
  DataPlane data_plane(plan, stats);
  if (const ExitCode code = data_plane.open(); code != kDrained) return code;
  stats.publish();

  const agent::Hello hello = make_hello(plan);
  const std::vector<Shard*> shards = data_plane.shards();
  Sealer sealer(plan, shards, keeper_stats, hello.instance, data_plane.senders());
  Outbox outbox(plan.limits, keeper_stats);
  Endpoint endpoint(Fd(kAgentFd), hello, hello_descriptors(plan), outbox);
  Keeper keeper({plan, sealer, data_plane.workers(), outbox, endpoint, keeper_stats, signals.get(),
                 [&] { data_plane.report(endpoint); }});

  data_plane.start();
  keeper.run();
  spdlog::info("stopping: taking in what has arrived");
  data_plane.stop();
  const size_t untaken = keeper.finish();
  if (untaken > 0) spdlog::error("{} Segments were never taken by a penstockd", untaken);
  return kDrained;
}

}  // namespace
}  // namespace penstock

int main(int argc, char**) {
  if (argc != 1) {
    std::fputs("penstock-dataplane is started by penstockd and takes no arguments\n", stderr);
    return penstock::kBadPlan;
  }
  return penstock::run();
}

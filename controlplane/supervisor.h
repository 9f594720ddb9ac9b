#pragma once

#include <sys/types.h>

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/compile.h"
#include "controlplane/delivery.h"
#include "controlplane/event_loop.h"
#include "controlplane/forward_targets.h"
#include "controlplane/launcher.h"
#include "controlplane/listeners.h"
#include "dataplane/api/agent.h"
#include "dataplane/api/stats.h"
#include "dataplane/base/strings.h"

namespace penstock {

// Keeps one data plane alive: starts it, or adopts the one that a killed penstockd left; restarts
// it with back-off when it dies; takes its Segments; drains it at the end. Owns the listening
// sockets, which outlive every data plane. The loop's thread only.
class Supervisor {
 public:
  struct Options {
    Config config;
    MachineFacts facts;
    std::string executable;
    // Milliseconds; tests shorten them.
    int64_t backoff_min_ms = 100;
    int64_t backoff_max_ms = 10000;
    int64_t steady_ms = 60000;   // up that long: the back-off starts anew
    int64_t hello_ms = 5000;     // until a silent data plane is reported
    int64_t drain_ms = 10000;    // from Stop to Drained
    int64_t deliver_ms = 10000;  // from Drained to everything delivered
    int64_t exit_ms = 2000;      // from there to the process's end
  };
  struct Events {
    std::function<void(const std::string& why)> fatal;  // it cannot start; nothing runs
    std::function<void()> stopped;                      // everything is drained and delivered
  };
  enum class Phase { kStarting, kRunning, kRestarting, kDraining, kStopped };

  Supervisor(EventLoop& loop, Delivery& delivery, Options options, Events events);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // A connection to a data plane that lives in `run_dir`; invalid when there is none.
  static Fd find_live(const std::string& run_dir);

  // Adopts the data plane behind `live` if it is valid, else starts one.
  void start(Fd live);
  // Drains the data plane and delivers everything, within the deadlines; then Events::stopped.
  void stop();
  // Kills the data plane and forgets what is not delivered.
  void abandon();
  // Every exporter has finished with a Segment (Delivery::Finished, posted to the loop).
  void acknowledge(uint64_t instance, uint64_t sequence);

  [[nodiscard]] Phase phase() const { return phase_; }
  [[nodiscard]] const std::vector<Listener>& listeners() const { return listeners_; }
  // Of the running data plane; without their sockets.
  [[nodiscard]] const std::vector<ForwardTarget>& forward_targets() const { return targets_; }
  [[nodiscard]] const std::vector<std::string>& degraded() const { return degraded_; }
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
  // The data plane died, or had to be killed, before it had drained.
  [[nodiscard]] bool drain_failed() const { return drain_failed_; }
  [[nodiscard]] const std::string& last_exit() const { return last_exit_; }
  [[nodiscard]] const std::vector<agent::PortState>& ports() const { return process_.ports; }
  [[nodiscard]] const Plan* plan() const { return process_.plan.get(); }
  [[nodiscard]] bool greeted() const { return process_.greeted; }
  [[nodiscard]] bool adopted() const { return process_.adopted; }
  [[nodiscard]] pid_t pid() const { return process_.pid; }
  [[nodiscard]] const agent::Hello& hello() const { return process_.hello; }

  // The running data plane's counters; empty when there is none.
  [[nodiscard]] std::vector<StatsBlockValues> stats() const;

 private:
  // The data plane of the moment.
  struct Process {
    pid_t pid = 0;
    Fd pidfd;
    Fd socket;
    bool child = false;
    bool adopted = false;
    bool greeted = false;
    bool drained = false;
    bool foreign = false;  // of another build or configuration
    int64_t started_ms = 0;
    agent::Hello hello{};
    std::unique_ptr<Plan> plan;  // what it runs, if we can read it
    std::optional<StatsView> stats;
    std::vector<agent::PortState> ports;
  };

  void fail(const std::string& why);
  absl::Status start_fresh();
  absl::Status spawn();
  void note_drops(const std::vector<StatsBlockValues>& last);
  void note_lines(const std::vector<StatsBlockValues>& last, bool crashed);
  void adopt(Fd live);
  void watch_socket();
  void watch_process();
  void reconnect();

  void on_socket();
  void read_messages();
  void handle(agent::Received received);
  void on_hello(agent::Received received);
  absl::Status take_over(agent::Received& received);
  [[nodiscard]] absl::Status check_child() const;
  [[nodiscard]] std::string_view its_build() const;
  void on_foreign(absl::string_view reason);
  void on_exit();
  void report_exit(const std::string& exit, const CrashLoss& loss, bool crashed);
  void schedule_restart();
  void restart();
  void reopen_refusing();
  void start_to_drain();
  void limit_drain();

  void flush_acks();
  void on_drained();
  void finish_if_done();
  void finish();
  void forget_process();
  void kill_process();
  void leave_behind();
  void set_deadline(int64_t ms, EventLoop::Callback callback);

  EventLoop& loop_;
  Delivery& delivery_;
  const Options options_;
  const Events events_;
  const std::string socket_path_;
  Phase phase_ = Phase::kStarting;
  Process process_;
  std::vector<Listener> listeners_;
  std::vector<ForwardTarget> targets_;
  Fd plan_fd_;                                     // the last good Plan
  decltype(Plan::drops_counted) drops_counted_{};  // of `listeners_`, by data planes that ended
  decltype(Plan::line_lost) line_lost_{};          // by the last one
  std::deque<uint64_t> acks_;
  std::vector<std::string> degraded_;
  std::vector<std::string> notes_;
  std::string last_exit_;
  bool ever_greeted_ = false;
  bool drain_failed_ = false;
  int64_t backoff_ms_ = 0;
  EventLoop::TimerId deadline_ = 0;  // of the phase
  EventLoop::TimerId silence_ = 0;
  EventLoop::TimerId retry_ = 0;  // restart, reconnect, acknowledgements
};

}  // namespace penstock

#include "controlplane/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <cstdlib>

#include "control_support.h"
#include "controlplane/monitor.h"

namespace penstock {
namespace {

using testing::HasSubstr;

// Sums what it is given; the totals outlive it.
class SumExporter : public Exporter {
 public:
  explicit SumExporter(std::atomic<uint64_t>& samples) : samples_(samples) {}
  [[nodiscard]] std::string_view name() const override { return "sum"; }
  absl::Status deliver(const segment::Reader& segment) override {
    samples_ += segment.meta().samples;
    return absl::OkStatus();
  }

 private:
  std::atomic<uint64_t>& samples_;
};

// One penstockd's worth of parts. Destroyed without stop(), it is one that was killed.
struct Control {
  Control(const Config& config, std::atomic<uint64_t>& delivered) {
    loop = *EventLoop::create();
    Delivery::Options options;
    options.state_path = config.run_dir + "/state.json";
    std::vector<std::unique_ptr<Exporter>> exporters;
    exporters.push_back(std::make_unique<SumExporter>(delivered));
    delivery = std::make_unique<Delivery>(
        options, std::move(exporters), [this](uint64_t instance, uint64_t sequence) {
          loop->post([this, instance, sequence] { supervisor->acknowledge(instance, sequence); });
        });
    Supervisor::Options o;
    o.config = config;
    o.facts = read_machine_facts();
    o.executable = "/proc/self/exe";
    o.backoff_min_ms = 10;
    o.backoff_max_ms = 40;
    o.drain_ms = 2000;
    supervisor = std::make_unique<Supervisor>(
        *loop, *delivery, o,
        Supervisor::Events{[this](const std::string& why) { fatal = why; },
                           [this] { stopped = true; }});
    monitor = std::make_unique<Monitor>(*loop, *supervisor, *delivery);
    Fd live = Supervisor::find_live(config.run_dir);
    State state;
    if (const auto text = read_file(options.state_path); text.ok()) state = *decode_state(*text);
    delivery->start(std::move(state), live.valid());
    supervisor->start(std::move(live));
  }
  ~Control() {
    monitor.reset();
    supervisor.reset();
    delivery.reset();
  }
  bool until(const std::function<bool()>& done) { return run_until(*loop, done); }
  bool until_running() {
    return until([this] {
      return supervisor->greeted() && supervisor->phase() == Supervisor::Phase::kRunning;
    });
  }
  bool balanced() {
    return until([this] { return monitor->ledger_now()["balanced"].get<bool>(); });
  }

  std::unique_ptr<EventLoop> loop;
  std::unique_ptr<Delivery> delivery;
  std::unique_ptr<Supervisor> supervisor;
  std::unique_ptr<Monitor> monitor;
  std::string fatal;
  bool stopped = false;
};

class SupervisorTest : public testing::Test {
 protected:
  SupervisorTest() {
    config_.run_dir = directory_.path();
    config_.socket_path = directory_.file("dsd.socket");
    config_.udp_port = 0;
    ::setenv("PENSTOCK_FAKE", "serve", 1);
  }
  Control& control() {
    if (control_ == nullptr) control_ = std::make_unique<Control>(config_, delivered_);
    return *control_;
  }
  void start() {
    ASSERT_TRUE(control().until_running()) << control().fatal;
    last_pid_ = control().supervisor->pid();
  }
  void tell(const std::string& text) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    config_.socket_path.copy(address.sun_path, config_.socket_path.size());
    const Fd fd(::socket(AF_UNIX, SOCK_DGRAM, 0));
    ASSERT_EQ(::sendto(fd.get(), text.data(), text.size(), 0,
                       reinterpret_cast<const sockaddr*>(&address), sizeof address),
              static_cast<ssize_t>(text.size()));
  }
  uint64_t ledger(const char* section, const char* name) {
    return control().monitor->ledger_now()[section][name].get<uint64_t>();
  }
  void stop() {
    control().supervisor->stop();
    ASSERT_TRUE(control().until([this] { return control().stopped; }));
    EXPECT_TRUE(control().monitor->ledger_now()["balanced"].get<bool>())
        << control().monitor->ledger_now().dump(2);
  }

  TemporaryDirectory directory_;
  Config config_;
  std::atomic<uint64_t> delivered_ = 0;
  std::unique_ptr<Control> control_;
  pid_t last_pid_ = 0;  // of the data plane, for when control_ is gone
};

TEST_F(SupervisorTest, StartsTakesSegmentsAndDrains) {
  start();
  EXPECT_TRUE(control().until([&] { return control().monitor->unhealthy().empty(); }));
  EXPECT_EQ(control().monitor->unready(), "");
  tell("add 10");
  tell("seal");
  tell("add 5");
  ASSERT_TRUE(control().until([&] { return delivered_ == 10 && ledger("samples", "open") == 5; }));
  EXPECT_TRUE(control().balanced());
  stop();
  EXPECT_EQ(delivered_, 15u);
  EXPECT_FALSE(Supervisor::find_live(config_.run_dir).valid());
}

TEST_F(SupervisorTest, ACrashIsCountedReportedAndRestartedWithTheSameSocket) {
  start();
  tell("add 10");
  tell("seal");
  tell("add 7");
  tell("crash");
  tell("add 3");  // waits in the socket for the next data plane
  ASSERT_TRUE(control().until([&] {
    return control().delivery->state().departed.crashes == 1 && ledger("samples", "open") == 3;
  }));
  ASSERT_TRUE(control().until_running());
  EXPECT_EQ(ledger("samples", "lost_in_crash"), 7u);
  EXPECT_EQ(ledger("samples", "total"), 20u);
  const Monitor::Json status = control().monitor->status();
  EXPECT_EQ(status["data_plane"]["restarts"], 1);
  EXPECT_EQ(status["lost_in_crash"]["samples"], 7);
  EXPECT_THAT(status["data_plane"]["last_exit"].get<std::string>(), HasSubstr("signal 9"));
  stop();
  EXPECT_EQ(delivered_, 13u);
}

TEST_F(SupervisorTest, BacksOffFurtherEachTime) {
  start();
  const int64_t begin_ms = monotonic_ms();
  for (uint64_t crashes = 1; crashes <= 3; ++crashes) {
    tell("crash");
    ASSERT_TRUE(control().until([&] {
      return control().delivery->state().departed.crashes == crashes &&
             control().supervisor->phase() == Supervisor::Phase::kRunning;
    }));
  }
  EXPECT_GE(monotonic_ms() - begin_ms, 10 + 20 + 40);
  stop();
}

TEST_F(SupervisorTest, AKilledPenstockdIsFollowedByOneThatAdopts) {
  start();
  tell("add 10");
  tell("seal");
  ASSERT_TRUE(control().until([&] { return delivered_ == 10; }));
  control_.reset();
  tell("add 4");
  tell("seal");
  tell("add 2");
  start();
  EXPECT_TRUE(control().supervisor->adopted());
  EXPECT_TRUE(control().supervisor->degraded().empty()) << control().supervisor->degraded().front();
  ASSERT_TRUE(control().until([&] { return delivered_ == 14; }));
  EXPECT_TRUE(control().balanced());

  tell("crash");  // it holds the sockets now and restarts as the first one would
  tell("add 1");
  ASSERT_TRUE(control().until([&] { return ledger("samples", "open") == 1; }));
  EXPECT_EQ(ledger("samples", "lost_in_crash"), 2u);
  stop();
  EXPECT_EQ(delivered_, 15u);
}

TEST_F(SupervisorTest, SocketsThatAKilledDrainHadShutAreOpenedAgain) {
  start();
  for (const Listener& l : control().supervisor->listeners()) refuse_senders(l);
  control_.reset();
  start();
  ::kill(control().supervisor->pid(), SIGKILL);
  ASSERT_TRUE(control().until([&] { return control().delivery->state().restarts == 1; }));
  ASSERT_TRUE(control().until_running());
  tell("add 5");
  ASSERT_TRUE(control().until([&] { return ledger("samples", "open") == 5; }));
  stop();
}

TEST_F(SupervisorTest, ADataPlaneThatNeverAnswersIsLeftWithItsSocket) {
  start();
  const pid_t pid = control().supervisor->pid();
  control_.reset();
  ::kill(pid, SIGSTOP);
  control();  // connects; no Hello comes
  control().supervisor->stop();
  ASSERT_TRUE(control().until([&] { return !control().fatal.empty(); }));
  EXPECT_THAT(control().fatal, HasSubstr("dataplane.sock does not answer"));
  control_.reset();
  ::kill(pid, SIGCONT);
  start();
  EXPECT_TRUE(control().supervisor->adopted());
  stop();
}

TEST_F(SupervisorTest, AdoptsWithoutAStateFile) {
  start();
  control_.reset();
  ASSERT_EQ(::unlink((config_.run_dir + "/state.json").c_str()), 0);
  start();
  EXPECT_TRUE(control().supervisor->degraded().empty()) << control().supervisor->degraded().front();
  stop();
}

TEST_F(SupervisorTest, AnotherConfigurationIsDegradedUntilItIsRestarted) {
  start();
  control_.reset();
  config_.tags = {"new:tag"};
  start();
  ASSERT_FALSE(control().supervisor->degraded().empty());
  EXPECT_THAT(control().supervisor->degraded().front(), HasSubstr("another configuration"));
  EXPECT_EQ(control().monitor->status()["state"], "degraded");
  tell("add 3");
  tell("seal");
  EXPECT_TRUE(control().until([&] { return delivered_ == 3; })) << "its Segments are taken";
  tell("crash");
  ASSERT_TRUE(control().until([&] {
    return control().delivery->state().departed.crashes == 1 &&
           control().supervisor->phase() == Supervisor::Phase::kRunning;
  }));
  EXPECT_TRUE(control().supervisor->degraded().empty());
  stop();
}

TEST_F(SupervisorTest, AnotherBuildIsDegraded) {
  ::setenv("PENSTOCK_FAKE", "other-build", 1);
  start();
  ASSERT_FALSE(control().supervisor->degraded().empty());
  EXPECT_THAT(control().supervisor->degraded().front(), HasSubstr("is of build other"));
  stop();
}

TEST_F(SupervisorTest, AFirstStartThatFailsIsFatalAndExplained) {
  ::setenv("PENSTOCK_FAKE", "exit3", 1);
  ASSERT_TRUE(control().until([&] { return !control().fatal.empty(); }));
  EXPECT_THAT(control().fatal, HasSubstr("exit code 3: nothing to receive from"));
}

TEST_F(SupervisorTest, NothingToListenOnIsFatal) {
  config_.socket_path = "/nonexistent/dsd.socket";
  EXPECT_THAT(control().fatal, HasSubstr("nothing to listen on: uds-unixgram: "));
}

TEST(Launcher, AProgramThatIsNotThereIsNamed) {
  EXPECT_THAT(std::string(launch("/nonexistent/program", {}).status().message()),
              HasSubstr("cannot execute /nonexistent/program"));
}

TEST_F(SupervisorTest, StopWhileRestartingTakesInWhatWaits) {
  start();
  tell("crash");
  ASSERT_TRUE(control().until(
      [&] { return control().supervisor->phase() == Supervisor::Phase::kRestarting; }));
  tell("add 3");  // nobody reads it yet
  stop();
  EXPECT_EQ(delivered_, 3u);
  EXPECT_FALSE(control().supervisor->drain_failed());
}

TEST_F(SupervisorTest, StopEndsThoughDataPlanesKeepDying) {
  start();
  tell("crash");
  ASSERT_TRUE(control().until(
      [&] { return control().supervisor->phase() == Supervisor::Phase::kRestarting; }));
  tell("crash");
  stop();
  EXPECT_EQ(control().delivery->state().departed.crashes, 2u);
  EXPECT_TRUE(control().supervisor->drain_failed());
}

TEST_F(SupervisorTest, AbandonKillsAndStillBalances) {
  start();
  tell("add 9");
  ASSERT_TRUE(control().until([&] { return ledger("samples", "open") == 9; }));
  control().supervisor->abandon();
  ASSERT_TRUE(control().until([&] { return control().stopped; }));
  EXPECT_TRUE(control().monitor->ledger_now()["balanced"].get<bool>());
  EXPECT_EQ(ledger("samples", "lost_in_crash"), 9u);
  EXPECT_TRUE(control().supervisor->drain_failed());
}

TEST_F(SupervisorTest, TelemetryCountsAcrossDataPlanes) {
  start();
  tell("add 4");
  tell("seal");
  ASSERT_TRUE(control().until([&] { return delivered_ == 4; }));
  tell("crash");
  tell("add 3");
  ASSERT_TRUE(control().until([&] { return ledger("samples", "open") == 3; }));
  const std::string text = control().monitor->metrics(0);
  EXPECT_THAT(text, HasSubstr("\npenstock_samples_total{result=\"aggregated\"} 7\n"));
  EXPECT_THAT(text, HasSubstr("\npenstock_data_plane_crashes_total 1\n"));
  EXPECT_THAT(text, HasSubstr("{source=\"uds-unixgram\",bucket=\"dispatched\"}"));
  EXPECT_THAT(
      text, HasSubstr("penstock_exporter_points_total{exporter=\"sum\",result=\"delivered\"} 1\n"));
  stop();
}

}  // namespace
}  // namespace penstock

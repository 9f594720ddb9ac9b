// The test program is its own fake data plane, so that both are always of one build: with
// PENSTOCK_FAKE in its environment it speaks the agent wire as the real one does, and is told what
// to do by datagrams on its first listener: "add N" counts N samples, "seal" seals them into one
// row, "crash" kills it. The variable's value makes it misbehave at start.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>

#include "dataplane/api/agent.h"
#include "dataplane/api/plan.h"
#include "dataplane/api/segment.h"
#include "dataplane/api/stats.h"
#include "dataplane/base/strings.h"
#include "dataplane/keeper/endpoint.h"
#include "dataplane/keeper/outbox.h"

namespace penstock {
namespace {

constexpr int kPlanFd = 3;
constexpr int kStatsFd = 4;
constexpr int kAgentFd = 5;
constexpr int kListenerFd = 6;

class Fake {
 public:
  Fake(const Plan& plan, std::span<std::byte> stats, std::string_view mode)
      : builder_(stats),
        source_(builder_.add_source(StatsBlock::kListener, "uds-unixgram")),
        shard_(builder_.add_shard("shard0")),
        keeper_(builder_.add_keeper()),
        outbox_(plan.limits, keeper_),
        hello_(make_hello(plan, mode)),
        endpoint_(Fd(kAgentFd), hello_, fds(plan), outbox_) {
    beat();
    builder_.publish();
  }

  int run() {
    while (true) {
      beat();
      pollfd ready[] = {{kListenerFd, POLLIN, 0},
                        {endpoint_.listening(), POLLIN, 0},
                        {endpoint_.connection(), POLLIN, 0}};
      ::poll(ready, 3, 20);
      if ((ready[1].revents & POLLIN) != 0) endpoint_.accept();
      if (ready[0].revents != 0 && !draining_) command();
      if (endpoint_.receive()) drain();
      endpoint_.announce(draining_, sequence_);
      if (draining_ && outbox_.held().empty()) return 0;
    }
  }

 private:
  static agent::Hello make_hello(const Plan& plan, std::string_view mode) {
    agent::Hello hello{};
    hello.header = {agent::Type::kHello, agent::kVersion};
    const std::string_view build = mode == "other-build" ? "other" : agent::build_id();
    std::memcpy(hello.build_id.data(), build.data(), build.size());
    hello.plan_hash = plan.hash;
    hello.instance = std::random_device()() | 1ull << 40;
    hello.pid = ::getpid();
    hello.listener_count = plan.listener_count;
    return hello;
  }
  static std::vector<int> fds(const Plan& plan) {
    std::vector<int> all{kPlanFd, kStatsFd};
    for (int i = 0; i < plan.listener_count; ++i) all.push_back(kListenerFd + i);
    return all;
  }
  void beat() {
    using std::chrono::system_clock;
    keeper_.heartbeat_unix_ms.set(
        static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                  system_clock::now().time_since_epoch())
                                  .count()));
  }

  void command() {
    std::array<char, 64> text{};
    const ssize_t n = ::recv(kListenerFd, text.data(), text.size() - 1, MSG_DONTWAIT);
    if (n <= 0) return;
    source_.received.add(1);
    source_.dispatched.add(1);
    shard_.packets.add(1);
    const std::string_view verb(text.data(), static_cast<size_t>(n));
    if (verb == "crash") ::raise(SIGKILL);
    if (verb == "seal") seal();
    if (verb.starts_with("add ")) add(std::strtoull(text.data() + 4, nullptr, 10));
  }
  void add(uint64_t samples) {
    shard_.lines.add(samples);
    shard_.lines_ok.add(samples);
    shard_.metrics.add(samples);
    shard_.samples.add(samples);
    shard_.aggregated.add(samples);
    open_ += samples;
  }
  void seal() {
    segment::Writer writer({hello_.instance, ++sequence_, 1000, 10, open_});
    writer.counter({"fake", "", {}}, static_cast<double>(open_));
    const std::vector<std::byte> bytes = writer.finish(open_);
    keeper_.points_sealed.add(1);
    keeper_.samples_sealed.add(open_);
    keeper_.segments_sealed.add(1);
    (void)outbox_.add({sequence_, 1000, 1, open_, 0, Fd()}, bytes);
    open_ = 0;
  }
  void drain() {
    if (draining_) return;
    if (open_ > 0) seal();
    draining_ = true;
    keeper_.drained.set(1);
  }

  StatsBuilder builder_;
  SourceStats& source_;
  ShardStats& shard_;
  KeeperStats& keeper_;
  Outbox outbox_;
  agent::Hello hello_;
  Endpoint endpoint_;
  uint64_t sequence_ = 0;
  uint64_t open_ = 0;
  bool draining_ = false;
};

int run(std::string_view mode) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // none is left behind, whatever becomes of the test
  if (mode == "exit3") return 3;
  const absl::StatusOr<std::unique_ptr<Plan>> plan = open_plan(kPlanFd);
  if (!plan.ok()) return 2;
  const absl::StatusOr<Mapping> stats = Mapping::map(kStatsFd, /*writable=*/true);
  if (!stats.ok()) return 2;
  return Fake(**plan, stats->bytes(), mode).run();
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) {
  if (const char* mode = std::getenv("PENSTOCK_FAKE"); mode != nullptr) return penstock::run(mode);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

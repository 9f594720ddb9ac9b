#include <gtest/gtest.h>
#include <sys/wait.h>

#include <functional>

#include "dataplane/core/senders.h"
#include "dataplane/origin/resolver.h"
#include "loop_fixture.h"
#include "tests/unit/origin/fake_proc.h"

namespace penstock::uring {
namespace {

// A loop that detects origins, on real sockets, with the credentials that the kernel gives, and the
// proc file system of a folder.
class OriginLoopTest : public LoopTest {
 protected:
  ~OriginLoopTest() override {
    if (thread_.joinable()) finish();
    stop_resolver();
  }

  Endpoint add_detecting() {
    const Endpoint e = add_uds();
    plan_->listeners[plan_->listener_count - 1].origin_detection = 1;
    return e;
  }

  // `slow`: the resolver's thread is not started yet.
  void start_detecting(bool slow = false) {
    plan_->limits.origins = 64;
    plan_->proc_root = plan_->add_text(proc_.root());
    resolver_ = *origin::Resolver::create(*plan_, senders_);
    std::vector<OriginStats*> stats;
    for (size_t i = 0; i < plan_->listener_count; ++i) {
      stats.push_back(plan_->listeners[i].origin_detection != 0 ? &origin_stats_[i] : nullptr);
    }
    origins_ = std::make_unique<origin::Origins>(*plan_, *resolver_, std::move(stats));
    start();
    if (!slow) start_resolver();
  }

  void start_resolver() {
    resolver_thread_ =
        std::thread([this] { resolver_->run(stop_resolving_, [this] { loop_->wake(); }); });
  }

  void stop_resolver() {
    stop_resolving_ = true;
    if (resolver_ != nullptr) resolver_->wake();
    if (resolver_thread_.joinable()) resolver_thread_.join();
  }

  void finish() {
    request_stop();
    while (!returned_) finish_all();
    thread_.join();
  }

  // The container of the packet that was taken last.
  [[nodiscard]] std::string_view last_container() const { return senders_.tag(last_.origin); }

  const origin::FakeProc proc_;
  Senders senders_{16};
  std::array<OriginStats, kListeners> origin_stats_;
  std::unique_ptr<origin::Resolver> resolver_;
  std::atomic<bool> stop_resolving_{false};
  std::thread resolver_thread_;
};

// Runs `send` in a process of its own, which ends at once.
void in_child(const std::function<void()>& send) {
  const pid_t child = ::fork();
  if (child == 0) {
    send();
    ::_exit(0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

uint32_t own_pid() { return static_cast<uint32_t>(::getpid()); }

TEST_F(OriginLoopTest, EvenTheFirstPacketHasItsOrigin) {
  proc_.put(own_pid(), origin::container('a'));
  const Endpoint e = add_detecting();
  start_detecting();
  const Client client(e);
  for (size_t i = 0; i < 300; ++i) {
    client.send(numbered(i));
    EXPECT_EQ(take(1), std::vector{numbered(i)});
    EXPECT_EQ(last_container(), "container_id:" + origin::container('a'));
    EXPECT_NE(last_.owner, 0u);
    EXPECT_NE(last_.arrival, 0u);
  }
  stop_and_expect_ok();
  EXPECT_EQ(origin_stats_[0].origin_container.get(), 300u);
  EXPECT_EQ(origin_stats_[0].origin_lookups.get(), 1u);
  EXPECT_EQ(sources_[0].dispatched.get(), 300u);
}

TEST_F(OriginLoopTest, OnlyListenersThatDetectHaveThem) {
  proc_.put(own_pid(), origin::container('a'));
  const Endpoint detecting = add_detecting();
  const Endpoint plain = add_uds();
  const Endpoint udp = add_udp();
  start_detecting();
  for (const Endpoint& e : {plain, udp}) {
    Client(e).send("x:1|c");
    take(1);
    EXPECT_EQ(last_.origin, 0u);
  }
  Client(detecting).send("x:1|c");
  take(1);
  EXPECT_EQ(last_.origin, 1u);
}

// The kernel says who sent it; a process may only tell the truth of itself, but root anything.
TEST_F(OriginLoopTest, WhatRootSaysIsAReplay) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  proc_.put(own_pid(), origin::container('a'));
  proc_.put(77, origin::container('b'));
  const Endpoint e = add_detecting();
  start_detecting();
  const Fd socket(::socket(AF_UNIX, SOCK_DGRAM, 0));
  ASSERT_EQ(::connect(socket.get(), e.get(), e.size), 0);
  const auto send = [&](gid_t gid) {
    char payload[] = "a:1|c";
    iovec part{payload, sizeof payload - 1};
    const ucred claimed{::getpid(), 77, gid};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof claimed)> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_CREDENTIALS;
    header->cmsg_len = CMSG_LEN(sizeof claimed);
    std::memcpy(CMSG_DATA(header), &claimed, sizeof claimed);
    EXPECT_GT(::sendmsg(socket.get(), &message, 0), 0) << strerror(errno);
  };
  send(origin::Credentials::kReplayGid);
  take(1);
  EXPECT_EQ(last_.origin, 0u);
  send(0);
  take(1);
  EXPECT_EQ(last_container(), "container_id:" + origin::container('a'));
  stop_and_expect_ok();
  EXPECT_EQ(origin_stats_[0].origin_replayed.get(), 1u);
  EXPECT_EQ(origin_stats_[0].origin_container.get(), 1u);
}

// More processes than packets may wait, all new at once, before anything is answered.
TEST_F(OriginLoopTest, ManyNewProcessesAtOnceLoseNothing) {
  const Endpoint e = add_detecting();
  start_detecting(/*slow=*/true);
  proc_.put(own_pid(), "");
  constexpr size_t kChildren = 60;
  for (size_t i = 0; i < kChildren; ++i) in_child([&] { Client(e).send("child:1|c"); });
  ASSERT_TRUE(eventually([&] { return sources_[0].received.get() == kChildren; }));
  start_resolver();
  take(kChildren);
  Client(e).send("parent:1|c");
  take(1);
  stop_and_expect_ok();
  const OriginStats& s = origin_stats_[0];
  EXPECT_EQ(s.origin_waited.get(), 33u) << "half of 64 buffers, and the parent's";
  EXPECT_EQ(s.origin_unresolved.get(), kChildren - 32);
  EXPECT_EQ(s.origin_errors.get(), 32u) << "they have ended";
  EXPECT_EQ(s.origin_none.get(), 1u);
}

// A stop waits for answers, and with them for the packets.
TEST_F(OriginLoopTest, StopDeliversWhatWaits) {
  proc_.put(own_pid(), origin::container('a'));
  const Endpoint e = add_detecting();
  start_detecting(/*slow=*/true);
  const Client client(e);
  for (size_t i = 0; i < 5; ++i) client.send(numbered(i));
  ASSERT_TRUE(eventually([&] { return sources_[0].received.get() == 5; }));
  request_stop();
  EXPECT_FALSE(eventually([&] { return returned_.load(); }, 50ms));
  start_resolver();
  stop_and_expect_ok();
  EXPECT_EQ(all_.size(), 5u);
  EXPECT_EQ(origin_stats_[0].origin_container.get(), 5u);
}

TEST_F(OriginLoopTest, AStopIsNotHeldUpByAResolverThatHangs) {
  const Endpoint e = add_detecting();
  start_detecting(/*slow=*/true);
  const Client client(e);
  for (size_t i = 0; i < 5; ++i) client.send(numbered(i));
  ASSERT_TRUE(eventually([&] { return sources_[0].received.get() == 5; }));
  stop_and_expect_ok();
  EXPECT_EQ(all_.size(), 5u);
  EXPECT_EQ(origin_stats_[0].origin_unresolved.get(), 5u);
}

}  // namespace
}  // namespace penstock::uring

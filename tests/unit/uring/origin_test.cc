#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>
#include <functional>

#include "loop_fixture.h"
#include "tests/unit/origin/fake_proc.h"

namespace penstock::uring {
namespace {

// A loop that detects origins, on real sockets, with the credentials that the kernel gives, and the
// proc file system of a folder.
class OriginLoopTest : public LoopTest {
 protected:
  OriginLoopTest() { detect(proc_.root()); }

  // The resolver's thread is not started yet.
  void start_without_answers() {
    create();
    launch();
  }

  // The container of the packet that was taken last: the digit it is made of; 0: none.
  [[nodiscard]] char last_container() const {
    const std::string_view tag = detection_->senders.tag(last_.origin);
    return tag.empty() ? '\0' : tag.back();
  }
  [[nodiscard]] const OriginStats& origins(size_t listener = 0) const {
    return detection_->stats[listener];
  }

  const origin::FakeProc proc_;
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
  const Endpoint e = add_uds();
  start();
  const Client client(e);
  for (size_t i = 0; i < 300; ++i) {
    client.send(numbered(i));
    EXPECT_EQ(take(1), std::vector{numbered(i)});
    EXPECT_EQ(last_container(), 'a');
    EXPECT_NE(last_.owner, 0u);
    EXPECT_NE(last_.arrival, 0u);
  }
  stop_and_expect_ok();
  EXPECT_EQ(origins().origin_container.get(), 300u);
  EXPECT_EQ(origins().origin_lookups.get(), 1u);
  EXPECT_EQ(sources_[0].dispatched.get(), 300u);
}

TEST_F(OriginLoopTest, OnlyListenersThatDetectHaveThem) {
  proc_.put(own_pid(), origin::container('a'));
  const Endpoint detecting = add_uds();
  detect("");
  const Endpoint plain = add_uds();
  detect(proc_.root());
  const Endpoint udp = add_udp();
  start();
  for (const Endpoint& e : {plain, udp}) {
    Client(e).send("x:1|c");
    take(1);
    EXPECT_EQ(last_.origin, 0u);
  }
  Client(detecting).send("x:1|c");
  take(1);
  EXPECT_EQ(last_.origin, 1u);
}

// A pipe says nothing of its writers: that is no error of the listener beside it.
TEST_F(OriginLoopTest, APipeHasNone) {
  proc_.put(own_pid(), origin::container('a'));
  const Endpoint detecting = add_uds();
  const std::string path = add_pipe();
  start();
  const Fd pipe(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(::write(pipe.get(), "p:1|c\n", 6), 6);
  EXPECT_EQ(take(1), std::vector<std::string>{"p:1|c\n"});
  Client(detecting).send("u:1|c");
  EXPECT_EQ(take(1), std::vector<std::string>{"u:1|c"});
  stop_and_expect_ok();
  EXPECT_EQ(origins().origin_container.get(), 1u);
  EXPECT_EQ(origins().origin_errors.get(), 0u);
}

// The kernel says who sent it; a process may only tell the truth of itself, but root anything.
TEST_F(OriginLoopTest, WhatRootSaysIsAReplay) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  proc_.put(own_pid(), origin::container('a'));
  proc_.put(77, origin::container('b'));
  const Endpoint e = add_uds();
  start();
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
  EXPECT_EQ(last_container(), 'a');
  stop_and_expect_ok();
  EXPECT_EQ(origins().origin_replayed.get(), 1u);
  EXPECT_EQ(origins().origin_container.get(), 1u);
}

// More processes than packets may wait, all new at once, before anything is answered.
TEST_F(OriginLoopTest, ManyNewProcessesAtOnceLoseNothing) {
  const Endpoint e = add_uds();
  start_without_answers();
  proc_.put(own_pid(), "");
  constexpr size_t kChildren = 60;
  for (size_t i = 0; i < kChildren; ++i) in_child([&] { Client(e).send("child:1|c"); });
  ASSERT_TRUE(eventually([&] { return sources_[0].received.get() == kChildren; }));
  detection_->start(*loop_);
  take(kChildren);
  Client(e).send("parent:1|c");
  take(1);
  stop_and_expect_ok();
  const OriginStats& s = origins();
  EXPECT_EQ(s.origin_waited.get(), 33u) << "half of 64 buffers, and the parent's";
  EXPECT_EQ(s.origin_unresolved.get(), kChildren - 32);
  EXPECT_EQ(s.origin_errors.get(), 32u) << "they have ended";
  EXPECT_EQ(s.origin_none.get(), 1u);
}

// A stop waits for answers, and with them for the packets.
TEST_F(OriginLoopTest, StopDeliversWhatWaits) {
  proc_.put(own_pid(), origin::container('a'));
  const Endpoint e = add_uds();
  start_without_answers();
  const Client client(e);
  for (size_t i = 0; i < 5; ++i) client.send(numbered(i));
  ASSERT_TRUE(eventually([&] { return sources_[0].received.get() == 5; }));
  request_stop();
  EXPECT_FALSE(eventually([&] { return returned_.load(); }, 50ms));
  detection_->start(*loop_);
  stop_and_expect_ok();
  EXPECT_EQ(all_.size(), 5u);
  EXPECT_EQ(origins().origin_container.get(), 5u);
}

TEST_F(OriginLoopTest, AStopIsNotHeldUpByAResolverThatHangs) {
  const Endpoint e = add_uds();
  start_without_answers();
  const Client client(e);
  for (size_t i = 0; i < 5; ++i) client.send(numbered(i));
  ASSERT_TRUE(eventually([&] { return sources_[0].received.get() == 5; }));
  stop_and_expect_ok();
  EXPECT_EQ(all_.size(), 5u);
  EXPECT_EQ(origins().origin_unresolved.get(), 5u);
}

// A stream of its own for each process, and one that two processes write to in turn.
TEST_F(OriginLoopTest, StreamsHaveTheirSendersToo) {
  proc_.put(own_pid(), origin::container('a'));
  const Endpoint e = add_stream();
  start();
  const StreamClient client(e);
  for (size_t i = 0; i < 300; ++i) {
    client.send(frame("x:1|c") + frame(numbered(i)));
    EXPECT_EQ(take(2), (std::vector<std::string>{"x:1|c", numbered(i)}));
    EXPECT_EQ(last_container(), 'a');
  }
  stop_and_expect_ok();
  EXPECT_EQ(origins().origin_container.get(), 600u);
  EXPECT_EQ(origins().origin_lookups.get(), 1u);
  EXPECT_EQ(sources_[0].dispatched.get(), 600u);
}

// The kernel joins nothing that two processes wrote, so each packet has its sender; a packet of
// both has the last.
TEST_F(OriginLoopTest, APacketOfTwoSendersIsTheLasts) {
  const Endpoint e = add_stream();
  start();
  const StreamClient client(e);
  int go[2];
  ASSERT_EQ(::pipe(go), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    char byte;
    if (::read(go[0], &byte, 1) == 1) client.send(std::string_view(frame("ab:1|c")).substr(6));
    if (::read(go[0], &byte, 1) == 1) client.send(frame("child:1|c"));
    ::pause();
  }
  proc_.put(own_pid(), origin::container('a'));
  proc_.put(static_cast<uint32_t>(child), origin::container('b'));
  client.send(frame("own:1|c") + frame("ab:1|c").substr(0, 6));
  take(1);
  EXPECT_EQ(last_container(), 'a');
  ASSERT_EQ(::write(go[1], "x", 1), 1);
  EXPECT_EQ(take(1), std::vector<std::string>{"ab:1|c"});
  EXPECT_EQ(last_container(), 'b');
  ASSERT_EQ(::write(go[1], "x", 1), 1);
  EXPECT_EQ(take(1), std::vector<std::string>{"child:1|c"});
  EXPECT_EQ(last_container(), 'b');
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(go[0]);
  ::close(go[1]);
}

// Many small frames in each buffer, more than may wait, while nothing is answered.
TEST_F(OriginLoopTest, FramesThatWaitKeepTheirBufferAndOrder) {
  proc_.put(own_pid(), origin::container('a'));
  const Endpoint e = add_stream();
  start_without_answers();
  const StreamClient client(e);
  std::string bytes;
  for (size_t i = 0; i < 500; ++i) bytes += frame(numbered(i));
  client.send(bytes);
  for (size_t i = 0; i < 400; ++i) EXPECT_EQ(take(1), std::vector{numbered(i)});
  detection_->start(*loop_);
  for (size_t i = 400; i < 500; ++i) EXPECT_EQ(take(1), std::vector{numbered(i)});
  client.send(frame("last:1|c"));
  take(1);
  EXPECT_EQ(last_container(), 'a');
  stop_and_expect_ok();
  EXPECT_EQ(origins().origin_unresolved.get() + origins().origin_container.get(), 501u);
  EXPECT_GT(origins().origin_unresolved.get(), 400u);
}

}  // namespace
}  // namespace penstock::uring

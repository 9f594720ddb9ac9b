#include <fcntl.h>

#include "loop_fixture.h"

namespace penstock::uring {
namespace {

// Targets are Unix datagram sockets, which lose nothing and take nothing more while nobody reads,
// or UDP sockets of the loopback.
class ForwardTest : public LoopTest {
 protected:
  static constexpr uint32_t kQueue = 64;

  ForwardTest() { plan_->forward.queue = kQueue; }

  // Returns the end that reads.
  int add_target() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
    to_.emplace_back(ends[0]);
    readers_.emplace_back(ends[1]);
    return ends[1];
  }
  // One at an address where nobody listens, unless `listening`.
  int add_udp_target(bool listening) {
    Fd reader(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* a = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(reader.get(), a, size), 0);
    EXPECT_EQ(::getsockname(reader.get(), a, &size), 0);
    to_.emplace_back(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(to_.back().get(), a, size), 0);
    const int fd = reader.get();
    if (listening) readers_.push_back(std::move(reader));
    return listening ? fd : -1;
  }

  void create_forwarding() {
    create();
    std::vector<ForwardStats*> stats;
    for (size_t i = 0; i < to_.size(); ++i) stats.push_back(&targets_[i]);
    plan_->forward.target_count = static_cast<uint32_t>(to_.size());
    ASSERT_TRUE(loop_->forward_to(*plan_, std::move(to_), stats).ok());
  }
  void start_forwarding() {
    create_forwarding();
    if (!HasFatalFailure()) launch();
  }

  // The next `count` datagrams that came to a target.
  static std::vector<std::string> arrived(int fd, size_t count) {
    std::vector<std::string> out;
    std::array<char, 65536> buffer;
    const bool all = eventually([&] {
      const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (n >= 0) out.emplace_back(buffer.data(), n);
      return out.size() == count;
    });
    EXPECT_TRUE(all) << out.size() << " of " << count << " datagrams";
    return out;
  }
  static std::vector<std::string> rest(int fd) {
    std::vector<std::string> out;
    std::array<char, 65536> buffer;
    for (ssize_t n; (n = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT)) >= 0;) {
      out.emplace_back(buffer.data(), n);
    }
    return out;
  }
  // Offered to target `i`, once nothing waits any more.
  [[nodiscard]] uint64_t offered(size_t i) const {
    const ForwardStats& s = targets_[i];
    return s.sent.get() + s.queue_full.get() + s.errors.get();
  }

  std::vector<Fd> to_;
  std::vector<Fd> readers_;
  std::array<ForwardStats, 3> targets_;
};

TEST_F(ForwardTest, EveryPacketArrivesAsItCame) {
  const Endpoint uds = add_uds();
  const Endpoint udp = add_udp();
  const int first = add_target();
  const int second = add_udp_target(/*listening=*/true);
  start_forwarding();
  const std::vector<std::string> payloads = {
      "a:1|c", "", "no line at all\xff\x00", "a:1|c\nb:2|g\n", std::string(kBufferSize, 'x'), "\n"};
  uint64_t bytes = 0;
  for (const Endpoint& e : {uds, udp}) {
    const Client client(e);
    for (const std::string& p : payloads) {
      client.send(p);
      EXPECT_EQ(take(1), std::vector{p});
      EXPECT_EQ(arrived(first, 1), std::vector{p});
      EXPECT_EQ(arrived(second, 1), std::vector{p});
      bytes += p.size();
    }
    client.send(std::string(kBufferSize + 1, 'y'));  // refused, and so not forwarded
  }
  ASSERT_TRUE(eventually([&] { return sources_[1].truncated.get() == 1; }));
  stop_and_expect_ok();
  for (const size_t i : {0, 1}) {
    EXPECT_EQ(targets_[i].sent.get(), 2 * payloads.size());
    EXPECT_EQ(targets_[i].datagrams.get(), 2 * payloads.size());
    EXPECT_EQ(targets_[i].sent_bytes.get(), bytes);
    EXPECT_EQ(offered(i), 2 * payloads.size());
  }
  EXPECT_TRUE(rest(first).empty());
}

// What arrives is in order, and what does not is counted.
TEST_F(ForwardTest, UnderLoadEachPacketIsSentOrCounted) {
  const Endpoint e = add_uds();
  const int fd = add_target();
  start_forwarding();
  constexpr size_t kSent = 20'000;
  std::vector<std::string> got;
  std::atomic<bool> reading{true};
  std::thread reader([&] {
    while (reading) {
      for (std::string& s : rest(fd)) got.push_back(std::move(s));
    }
  });
  std::thread sender([&] {
    const Client client(e);
    for (size_t i = 0; i < kSent; ++i) client.send(numbered(i));
  });
  while (sources_[0].dispatched.get() != kSent) finish_all();
  sender.join();
  stop_and_expect_ok();
  reading = false;
  reader.join();
  for (std::string& s : rest(fd)) got.push_back(std::move(s));
  EXPECT_EQ(offered(0), kSent);
  EXPECT_EQ(targets_[0].sent.get(), got.size());
  size_t next = 0;
  for (const std::string& s : got) {
    while (next < kSent && s != numbered(next)) ++next;
  }
  EXPECT_LT(next, kSent) << "out of order";
}

// Nobody reads: it keeps a quarter of the 64 buffers, of the newest packets, and no more.
TEST_F(ForwardTest, ABlockedTargetHoldsItsShareOfTheBuffersAndSlowsNobody) {
  const Endpoint e = add_uds();
  const int blocked = add_target();
  const int open = add_udp_target(/*listening=*/true);
  start_forwarding();
  constexpr size_t kSent = 2'000;
  constexpr size_t kShare = 16;
  const Client client(e);
  for (size_t i = 0; i < kSent; ++i) {
    client.send(numbered(i));
    ASSERT_EQ(take(1), std::vector{numbered(i)});
    ASSERT_EQ(arrived(open, 1), std::vector{numbered(i)});
  }
  EXPECT_EQ(sources_[0].dispatched.get(), kSent);
  const uint64_t in_kernel = targets_[0].sent.get();
  EXPECT_EQ(in_kernel + targets_[0].queue_full.get() + kShare, kSent);
  std::vector<std::string> expected;
  for (size_t i = 0; i < in_kernel; ++i) expected.push_back(numbered(i));
  for (size_t i = kSent - kShare; i < kSent; ++i) expected.push_back(numbered(i));
  EXPECT_EQ(arrived(blocked, in_kernel + kShare), expected);
  client.send("after:1|c");
  take(1);
  EXPECT_EQ(arrived(blocked, 1), std::vector{std::string("after:1|c")});
  stop_and_expect_ok();
  EXPECT_EQ(offered(0), kSent + 1);
  EXPECT_EQ(targets_[1].sent.get(), kSent + 1);
}

std::string frame(std::string_view payload) {
  const auto n = static_cast<uint32_t>(payload.size());
  std::string out(reinterpret_cast<const char*>(&n), sizeof n);  // little-endian, as x86 is
  return out.append(payload);
}

// Many packets lie in one buffer, and what is cut lies in an assembly. All of it comes home.
TEST_F(ForwardTest, FramesAndLinesGoOneByOne) {
  plan_->io_buffers = 16;
  const Endpoint stream = add_stream();
  const std::string pipe = add_pipe();
  const int first = add_udp_target(/*listening=*/true);
  add_target();  // nobody reads it
  start_forwarding();
  const Fd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(client.get(), stream.get(), stream.size), 0);
  const Fd writer(::open(pipe.c_str(), O_WRONLY | O_CLOEXEC));
  constexpr size_t kRounds = 200;
  for (size_t round = 0; round < kRounds; ++round) {
    std::vector<std::string> payloads;
    std::string bytes;
    for (size_t i = 0; i < 20; ++i) {
      payloads.push_back(numbered(round * 100 + i));
      bytes += frame(payloads.back());
    }
    const size_t cut = round % bytes.size();
    ASSERT_EQ(::send(client.get(), bytes.data(), cut, 0), static_cast<ssize_t>(cut));
    ASSERT_EQ(::send(client.get(), bytes.data() + cut, bytes.size() - cut, 0),
              static_cast<ssize_t>(bytes.size() - cut));
    EXPECT_EQ(take(payloads.size()), payloads);
    EXPECT_EQ(arrived(first, payloads.size()), payloads);
    const std::string lines = "a:1|c\nb:" + std::to_string(round) + "|c\n";
    ASSERT_EQ(::write(writer.get(), lines.data(), lines.size()),
              static_cast<ssize_t>(lines.size()));
    EXPECT_EQ(take(1), std::vector{lines});
    EXPECT_EQ(arrived(first, 1), std::vector{lines});
  }
  ::shutdown(client.get(), SHUT_WR);
  stop_and_expect_ok();  // which needs every buffer and assembly back
  EXPECT_EQ(targets_[0].sent.get(), kRounds * 21);
  EXPECT_EQ(offered(1), kRounds * 21);
}

TEST_F(ForwardTest, StopGivesUpWhatCannotBeSent) {
  const Endpoint e = add_uds();
  add_target();
  start_forwarding();
  const Client client(e);
  constexpr size_t kSent = 1'000;
  for (size_t i = 0; i < kSent; ++i) {
    client.send("a:1|c");
    take(1);
  }
  const auto begun = Clock::now();
  stop_and_expect_ok();
  EXPECT_GE(Clock::now() - begun, 1s);
  EXPECT_EQ(offered(0), kSent);
  EXPECT_GT(targets_[0].queue_full.get(), 0u);
}

TEST_F(ForwardTest, StopSendsWhatWaits) {
  const Endpoint e = add_uds();
  const int fd = add_target();
  start_forwarding();
  const Client client(e);
  size_t sent = 0;
  while (targets_[0].queue_full.get() == 0) {
    client.send(numbered(sent++));
    take(1);
  }
  request_stop();
  const auto got = arrived(fd, sent - 1);
  while (!returned_) finish_all();
  thread_.join();
  EXPECT_EQ(targets_[0].sent.get(), sent - 1);
  EXPECT_EQ(got.back(), numbered(sent - 1));
}

TEST_F(ForwardTest, AnErrorIsCountedAndForwardingGoesOn) {
  const Endpoint e = add_uds();
  add_udp_target(/*listening=*/false);
  const int other = add_target();
  start_forwarding();
  const Client client(e);
  constexpr size_t kSent = 100;
  for (size_t i = 0; i < kSent; ++i) {
    client.send(numbered(i));
    take(1);
    ASSERT_EQ(arrived(other, 1), std::vector{numbered(i)});
  }
  stop_and_expect_ok();
  EXPECT_GT(targets_[0].errors.get(), 0u);
  EXPECT_EQ(targets_[0].last_errno.get(), static_cast<uint64_t>(ECONNREFUSED));
  EXPECT_EQ(offered(0), kSent);
  EXPECT_EQ(targets_[1].sent.get(), kSent);
  EXPECT_EQ(targets_[1].last_errno.get(), 0u);
}

TEST_F(ForwardTest, PacketsThatWaitTogetherAreJoined) {
  const Endpoint e = add_uds();
  const int fd = add_target();
  plan_->forward.batch = 1;
  const Client client(e);
  const std::string half(kBufferSize / 2, 'x');
  const std::vector<std::string> payloads = {"a:1|c", "b:1|c\n",
                                             "c:1|c", std::string(kBufferSize, 'y'),
                                             half,    half.substr(1)};  // fits with a newline
  for (const std::string& p : payloads) client.send(p);                 // they wait in the socket
  start_forwarding();
  EXPECT_EQ(take(payloads.size()), payloads);
  const std::vector<std::string> joined = {"a:1|c\nb:1|c\n\nc:1|c", payloads[3],
                                           half + "\n" + half.substr(1)};
  EXPECT_EQ(arrived(fd, joined.size()), joined);
  stop_and_expect_ok();
  EXPECT_EQ(targets_[0].sent.get(), payloads.size());
  EXPECT_EQ(targets_[0].datagrams.get(), joined.size());
  EXPECT_EQ(targets_[0].sent_bytes.get(), joined[0].size() + joined[1].size() + joined[2].size());
}

TEST_F(ForwardTest, ManySmallPacketsAreJoinedWithinTheBufferSize) {
  const Endpoint e = add_uds();
  const int fd = add_udp_target(/*listening=*/true);
  plan_->forward.batch = 1;
  const Client client(e);
  start_forwarding();
  constexpr size_t kSent = 3'000;
  std::thread sender([&] {
    for (size_t i = 0; i < kSent; ++i) client.send(numbered(i));
  });
  std::string all;
  size_t taken = 0;
  while (taken != kSent) {
    taken += take(1).size();
    for (const std::string& s : rest(fd)) {
      EXPECT_LE(s.size(), kBufferSize);
      all += s + "\n";
    }
  }
  sender.join();
  stop_and_expect_ok();
  for (const std::string& s : rest(fd)) all += s + "\n";
  std::string expected;
  for (size_t i = 0; i < kSent; ++i) expected += numbered(i) + "\n";
  EXPECT_EQ(all, expected);
}

// The end of an inlet that a port's receive loop has.
class InletTest : public ForwardTest {
 protected:
  void start_inlet(uint32_t slots) {
    create_forwarding();
    inlet_ = loop_->add_inlet(slots);
    launch();
  }
  // Pushes the packet of this number, whose owner is number + 1; false: the ring is full.
  bool push(size_t i) {
    reclaim();
    const std::string& bytes = payloads_.emplace(i, numbered(i)).first->second;
    const Packet p{.data = reinterpret_cast<const uint8_t*>(bytes.data()),
                   .owner = i + 1,
                   .origin = 0,
                   .flow = 0,
                   .arrival = 0,
                   .len = static_cast<uint16_t>(bytes.size()),
                   .source = Source::kUdp,
                   .flags = 0};
    if (inlet_.ring->push({&p, 1}) == 0) return false;
    inlet_.sleeper->wake();
    return true;
  }
  void reclaim() {
    inlet_.ring->reclaim([&](uint64_t owner) {
      EXPECT_EQ(owner, ++last_owner_);
      payloads_.erase(owner - 1);  // nobody may read it any more
    });
  }
  void expect_all_back() {
    EXPECT_TRUE(eventually([&] {
      reclaim();
      return inlet_.ring->in_flight() == 0;
    }));
  }

  Outlet inlet_{};
  std::map<size_t, std::string> payloads_;
  uint64_t last_owner_ = 0;
};

TEST_F(InletTest, PacketsOfPortsAreSentWithoutAnyListener) {
  const int fd = add_target();
  start_inlet(64);
  for (size_t i = 0; i < 500; ++i) {
    ASSERT_TRUE(push(i));
    ASSERT_EQ(arrived(fd, 1), std::vector{numbered(i)});  // asleep or awake, it is woken
  }
  expect_all_back();
  stop_and_expect_ok();
  EXPECT_EQ(targets_[0].sent.get(), 500u);
}

TEST_F(InletTest, BurstsBesideAListener) {
  const Endpoint e = add_uds();
  const int fd = add_udp_target(/*listening=*/true);
  start_inlet(64);
  const Client client(e);
  size_t next = 0;
  size_t arrived_count = 0;
  for (int round = 0; round < 100; ++round) {
    for (int i = 0; i < 50; ++i) {
      while (!push(next)) arrived_count += rest(fd).size();
      ++next;
    }
    client.send("uds:1|c");
    take(1);
    arrived_count += rest(fd).size();
  }
  stop_and_expect_ok();
  arrived_count += rest(fd).size();
  expect_all_back();
  EXPECT_EQ(targets_[0].sent.get(), next + 100);
  EXPECT_EQ(arrived_count, next + 100);
}

TEST_F(InletTest, ABlockedTargetDoesNotKeepTheRingFromMovingOn) {
  const int blocked = add_target();
  const int open = add_udp_target(/*listening=*/true);
  start_inlet(64);
  constexpr size_t kSent = 2'000;
  for (size_t i = 0; i < kSent; ++i) {
    ASSERT_TRUE(push(i));
    ASSERT_EQ(arrived(open, 1), std::vector{numbered(i)});
  }
  ASSERT_TRUE(eventually([&] {
    reclaim();
    return inlet_.ring->in_flight() == 32;  // half of the ring
  }));
  EXPECT_EQ(offered(0) + 32, kSent);
  EXPECT_EQ(arrived(blocked, targets_[0].sent.get() + 32).back(), numbered(kSent - 1));
  expect_all_back();
  stop_and_expect_ok();
  EXPECT_EQ(offered(0), kSent);
  EXPECT_EQ(targets_[1].sent.get(), kSent);
}

TEST_F(InletTest, StopSendsWhatTheRingHolds) {
  const int fd = add_udp_target(/*listening=*/true);
  create_forwarding();
  inlet_ = loop_->add_inlet(256);
  for (size_t i = 0; i < 200; ++i) ASSERT_TRUE(push(i));
  stop_ = true;  // before the loop ever ran
  launch();
  stop_and_expect_ok();
  EXPECT_EQ(rest(fd).size(), 200u);
  expect_all_back();
}

}  // namespace
}  // namespace penstock::uring

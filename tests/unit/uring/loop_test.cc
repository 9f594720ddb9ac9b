#include "loop_fixture.h"

namespace penstock::uring {
namespace {

TEST_F(LoopTest, UdsBytesOrderAndCounts) {
  const Endpoint e = add_uds();
  start();
  const Client client(e);
  uint64_t bytes = 0;
  for (size_t round = 0; round < 50; ++round) {  // many times round the 64 buffers
    for (size_t i = 0; i < 9; ++i) client.send(numbered(round * 9 + i));
    const auto got = take(9);
    for (size_t i = 0; i < 9; ++i) {
      ASSERT_EQ(got[i], numbered(round * 9 + i));
      bytes += got[i].size();
    }
  }
  EXPECT_EQ(last_.source, Source::kUds);
  EXPECT_EQ(last_.flags, 0);
  EXPECT_EQ(last_.origin, 0u);
  EXPECT_NE(last_.owner, 0u);
  stop_and_expect_ok();
  EXPECT_EQ(sources_[0].received.get(), 450u);
  EXPECT_EQ(sources_[0].dispatched.get(), 450u);
  EXPECT_EQ(sources_[0].received_bytes.get(), bytes);
  EXPECT_EQ(sources_[0].truncated.get(), 0u);
  EXPECT_EQ(rings_[0]->in_flight(), 0u);
}

TEST_F(LoopTest, UdpOfBothFamilies) {
  const Endpoint v4 = add_udp(AF_INET);
  const Endpoint v6 = add_udp(AF_INET6);
  start();
  const Client four(v4);
  const Client six(v6);
  for (size_t i = 0; i < 200; ++i) {
    four.send(numbered(i));
    EXPECT_EQ(take(1), std::vector{numbered(i)});
    EXPECT_EQ(last_.source, Source::kUdp);
    six.send(numbered(1000 + i));
    EXPECT_EQ(take(1), std::vector{numbered(1000 + i)});
  }
  stop_and_expect_ok();
  for (const size_t i : {0, 1}) {
    EXPECT_EQ(sources_[i].received.get(), 200u);
    EXPECT_EQ(losses_[i].missed.get(), 0u);
  }
}

TEST_F(LoopTest, LongerThanBufferSizeIsRefusedWhole) {
  const Endpoint uds = add_uds();
  const Endpoint udp = add_udp();
  start();
  size_t listener = 0;
  for (const Endpoint& e : {uds, udp}) {
    const Client client(e);
    for (const size_t size : {kBufferSize + 1, 2 * kBufferSize, kBufferSize + 28}) {
      client.send(std::string(size, 'x'));
    }
    const std::string longest(kBufferSize, 'y');
    client.send(longest);
    EXPECT_EQ(take(1), std::vector{longest}) << "listener " << listener;
    EXPECT_TRUE(eventually([&] { return sources_[listener].received.get() == 4; }));
    ++listener;
  }
  stop_and_expect_ok();
  for (const size_t i : {0, 1}) {
    EXPECT_EQ(sources_[i].truncated.get(), 3u);
    EXPECT_EQ(sources_[i].dispatched.get(), 1u);
    EXPECT_EQ(sources_[i].received_bytes.get(), kBufferSize);
  }
  EXPECT_TRUE(all_.empty());
}

TEST_F(LoopTest, EmptyDatagramIsAnEmptyPacket) {
  const Endpoint uds = add_uds();
  const Endpoint udp = add_udp();
  start();
  size_t listener = 0;
  for (const Endpoint& e : {uds, udp}) {
    const Client client(e);
    for (int i = 0; i < 100; ++i) {  // each may end the multishot
      client.send("");
      EXPECT_EQ(take(1), std::vector{std::string()});
      client.send("after:1|c");
      EXPECT_EQ(take(1), std::vector{std::string("after:1|c")});
    }
    EXPECT_EQ(sources_[listener++].dispatched.get(), 200u);
  }
}

TEST_F(LoopTest, EolFlagIsTheListeners) {
  const Endpoint strict = add_uds(/*eol_required=*/true);
  const Endpoint plain = add_uds();
  start();
  Client(strict).send("a:1|c\n");
  take(1);
  EXPECT_EQ(last_.flags, kPacketEolRequired);
  Client(plain).send("a:1|c");
  take(1);
  EXPECT_EQ(last_.flags, 0);
}

TEST_F(LoopTest, SixtyFourBytesPastEachPacketAreReadable) {
  const Endpoint e = add_uds();
  start();
  const Client client(e);
  const std::string longest(kBufferSize, 'z');
  for (size_t i = 0; i < size_t{2} * plan_->io_buffers; ++i) {
    client.send(longest);
    take(1);
    unsigned sum = 0;  // AddressSanitizer or the last page would object
    for (size_t k = 0; k < kPacketPadding; ++k) sum += last_.data[last_.len + k];
    EXPECT_LE(sum, 255 * kPacketPadding);
  }
}

// A shard that does not finish makes UDS senders wait, and loses them nothing.
TEST_F(LoopTest, StarvedUdsHoldsSendersBack) {
  const Endpoint e = add_uds();
  start();
  const Client client(e);
  size_t sent = 0;
  // As long as the buffers and the socket's queue have room; then it must stop.
  const bool blocked = eventually([&] {
    while (client.try_send(numbered(sent))) ++sent;
    return sources_[0].received.get() == plan_->io_buffers && !client.try_send("extra:1|c");
  });
  ASSERT_TRUE(blocked);
  EXPECT_GT(sent, plan_->io_buffers);
  EXPECT_EQ(rings_[0]->peek(SIZE_MAX).size(), plan_->io_buffers) << "every buffer is in the ring";

  constexpr size_t kMore = 5'000;
  std::thread sender([&] {
    for (size_t i = 0; i < kMore; ++i) client.send(numbered(sent + i));
  });
  const auto got = take(sent + kMore);
  sender.join();
  for (size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], numbered(i));
  stop_and_expect_ok();
  EXPECT_EQ(sources_[0].received.get(), sent + kMore);
  EXPECT_EQ(sources_[0].dispatched.get(), sent + kMore);
}

// Whatever the kernel drops is in `missed`: what was sent is what was received plus that, exactly.
TEST_F(LoopTest, KernelDropsAreMissed) {
  const Endpoint e = add_udp(AF_INET, /*receive_bytes=*/4096);
  constexpr uint64_t kBefore = 300;
  const Client client(e);
  for (size_t i = 0; i < kBefore; ++i) client.send(numbered(i));  // nobody receives yet
  start();
  constexpr uint64_t kSent = 20'000;
  for (size_t i = 0; i < kSent; ++i) client.send(numbered(i));
  stop_and_expect_ok();
  EXPECT_GT(losses_[0].missed.get(), 0u);
  EXPECT_EQ(sources_[0].received.get() + losses_[0].missed.get(), kBefore + kSent);
  EXPECT_EQ(all_.size(), sources_[0].dispatched.get());
}

// The socket has outlived a data plane that counted some of them.
TEST_F(LoopTest, KernelDropsAreCountedOnce) {
  const Endpoint e = add_udp(AF_INET, 2'048);
  const Client client(e);
  constexpr uint64_t kSent = 500;
  constexpr uint32_t kCounted = 3;
  for (size_t i = 0; i < kSent; ++i) client.send(std::string(kBufferSize, 'x'));
  plan_->drops_counted[0] = kCounted;
  start();
  stop_and_expect_ok();
  EXPECT_EQ(sources_[0].received.get() + losses_[0].missed.get() + kCounted, kSent);
}

TEST_F(LoopTest, DropsShowWithinSecondsOfTraffic) {
  const Endpoint e = add_udp(AF_INET, /*receive_bytes=*/4096);
  start();
  const Client client(e);
  client.send("first:1|c");
  take(1);                                                      // so the look at start is past
  for (size_t i = 0; i < 1'000; ++i) client.send(numbered(i));  // 64 are taken, the rest is dropped
  EXPECT_TRUE(eventually([&] { return losses_[0].missed.get() != 0; }));
}

TEST_F(LoopTest, StopTakesInWhatTheSocketsHold) {
  const Endpoint uds = add_uds();
  const Endpoint udp = add_udp();
  const Client a(uds);
  const Client b(udp);
  size_t in_queue = 0;
  while (a.try_send(numbered(in_queue))) ++in_queue;
  for (size_t i = 0; i < 100; ++i) b.send(numbered(i));
  stop_ = true;  // before the loop ever ran
  start();
  loop_->wake();
  while (!returned_) finish_all();
  thread_.join();
  EXPECT_TRUE(result_.ok()) << result_;
  EXPECT_GT(in_queue, 1u);
  EXPECT_EQ(sources_[0].dispatched.get(), in_queue);
  EXPECT_EQ(sources_[1].dispatched.get(), 100u);
  EXPECT_EQ(all_.size(), in_queue + 100);
}

// What penstockd does before a stop: the sockets are shut to senders, and readable for ever after.
TEST_F(LoopTest, StopOfShutSocketsIsPrompt) {
  const Endpoint e = add_uds();
  const Fd socket(::dup(sockets_[0].get()));
  start();
  const Client client(e);
  for (size_t i = 0; i < 5; ++i) client.send(numbered(i));
  client.send("");  // empty is not the end
  client.send(numbered(5));
  ASSERT_EQ(::shutdown(socket.get(), SHUT_RD), 0);
  const auto begun = Clock::now();
  stop_and_expect_ok();
  EXPECT_LT(Clock::now() - begun, 1s);
  EXPECT_EQ(all_.size(), 7u);
}

// Stop under load: each packet is either in the ledger or still in the socket.
TEST_F(LoopTest, StopUnderLoadLosesNothing) {
  const Endpoint e = add_uds();
  const Fd socket(::dup(sockets_[0].get()));
  start();
  std::atomic<bool> sending{true};
  uint64_t sent = 0;
  std::thread sender([&] {
    const Client client(e);
    while (sending) {
      if (client.try_send("load:1|c")) ++sent;
    }
  });
  while (all_.size() < 1'000) finish_all();
  request_stop();
  while (!returned_) finish_all();
  sending = false;
  sender.join();
  uint64_t left = 0;
  std::array<char, kBufferSize> buffer;
  while (::recv(socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT) >= 0) ++left;
  EXPECT_EQ(sources_[0].dispatched.get() + left, sent);
  EXPECT_EQ(all_.size(), sources_[0].dispatched.get());
}

TEST_F(LoopTest, StopWaitsForTheShards) {
  const Endpoint e = add_uds();
  start();
  const Client client(e);
  for (int i = 0; i < 5; ++i) client.send("a:1|c");
  ASSERT_TRUE(eventually([&] { return sources_[0].dispatched.get() == 5; }));
  request_stop();
  EXPECT_FALSE(eventually([&] { return returned_.load(); }, 50ms)) << "five are unfinished";
  take(5);
  EXPECT_TRUE(eventually([&] { return returned_.load(); }));
  EXPECT_EQ(rings_[0]->in_flight(), 0u) << "returned before it had its buffers back";
}

TEST_F(LoopTest, UdpFlowsSpreadOverShardsAndKeepTheirs) {
  const Endpoint e = add_udp();
  start(kShards);
  std::vector<std::unique_ptr<Client>> clients;
  clients.reserve(64);
  for (int i = 0; i < 64; ++i) clients.push_back(std::make_unique<Client>(e));
  std::map<std::string, std::set<size_t>> shards_of;
  std::set<size_t> used;
  for (int round = 0; round < 3; ++round) {
    size_t seen = 0;
    for (size_t i = 0; i < clients.size(); ++i) {
      clients[i]->send(numbered(i));
      ASSERT_TRUE(eventually([&] {
        for (size_t s = 0; s < kShards; ++s) {
          const auto burst = rings_[s]->peek(64);
          for (const Packet& p : burst) {
            shards_of[std::string(reinterpret_cast<const char*>(p.data), p.len)].insert(s);
            used.insert(s);
            ++seen;
          }
          rings_[s]->finish(burst.size());
        }
        return seen == i + 1;
      }));
    }
  }
  EXPECT_EQ(used.size(), kShards) << "64 flows all on a few shards";
  for (const auto& [name, shards] : shards_of) EXPECT_EQ(shards.size(), 1u) << name;
}

TEST_F(LoopTest, SpreadGivesOneFlowToTheEmptiestShards) {
  const Endpoint e = add_udp();
  plan_->listeners[0].spread = 1;
  start(kShards);
  const Client client(e);
  const auto waiting = [&] {
    std::array<size_t, kShards> n;
    for (size_t s = 0; s < kShards; ++s) n[s] = rings_[s]->peek(SIZE_MAX).size();
    return n;
  };
  const auto send = [&](size_t count) {
    const uint64_t before = sources_[0].dispatched.get();
    for (size_t i = 0; i < count; ++i) client.send(numbered(i));
    ASSERT_TRUE(eventually([&] { return sources_[0].dispatched.get() == before + count; }));
  };
  send(64);  // all buffers: two runs
  EXPECT_EQ(waiting(), (std::array<size_t, kShards>{32, 32, 0, 0}));
  EXPECT_TRUE(came_after(rings_[1]->peek(1)[0].arrival, rings_[0]->peek(SIZE_MAX)[31].arrival));
  rings_[0]->finish(32);
  send(32);
  EXPECT_EQ(waiting(), (std::array<size_t, kShards>{0, 32, 32, 0}));
}

// One process's datagrams keep their order whatever sockets they come from: gauges depend on it.
TEST_F(LoopTest, UdsProcessKeepsToOneShard) {
  const Endpoint e = add_uds();
  start(kShards);
  for (int i = 0; i < 50; ++i) Client(e).send("g:1|g");
  ASSERT_TRUE(eventually([&] { return sources_[0].dispatched.get() == 50; }));
  std::array<size_t, kShards> counts;
  for (size_t s = 0; s < kShards; ++s) {
    counts[s] = rings_[s]->peek(64).size();
    rings_[s]->finish(counts[s]);
  }
  std::sort(counts.begin(), counts.end());
  EXPECT_EQ(counts, (std::array<size_t, kShards>{0, 0, 0, 50}));
}

TEST_F(LoopTest, StaleCompletionIsNotFollowed) {
  add_uds();
  create();
  const uint32_t kMoreAndBuffer = IORING_CQE_F_MORE | IORING_CQE_F_BUFFER;
  const uint64_t stale[] = {
      pack({Kind::kReceive, 0, 77}),          // another generation
      pack({Kind::kReceive, kListeners, 0}),  // no such slot
      pack({static_cast<Kind>(200), 0, 0}),   // no such kind
      pack({Kind::kCancel, 0, 0}),
  };
  for (const uint64_t d : stale) {
    loop_->complete(d, 100, kMoreAndBuffer | 3 << IORING_CQE_BUFFER_SHIFT);
    loop_->complete(d, -ENOBUFS, 0);
  }
  launch();
  stop_and_expect_ok();  // sends and counts what the completions left behind
  EXPECT_EQ(all_, std::vector<std::string>());
  EXPECT_EQ(sources_[0].received.get(), 0u);
}

TEST_F(LoopTest, WrongSocketIsNamed) {
  add_uds();
  plan_->listeners[0].kind = ListenerKind::kUdp;
  plan_->listeners[0].address = plan_->add_text("127.0.0.1:8125");
  finish_plan(*plan_);
  SourceStats* source = sources_.data();
  LossStats* loss = losses_.data();
  PacketRing ring(64);
  auto sleeper = *Sleeper::create();
  const Outlet outlet{&ring, sleeper.get()};
  const auto loop =
      Loop::create(*plan_, std::move(sockets_), {&source, 1}, {&loss, 1}, {&outlet, 1});
  EXPECT_EQ(loop.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(loop.status().message()).find("127.0.0.1:8125"), std::string::npos)
      << loop.status();
}

TEST(CheckBuffers, NamesKeyAndValue) {
  struct Case {
    uint32_t buffers, size;
    bool ok;
  };
  for (const Case c : {Case{1024, 8192, true},
                       {1, 1, true},
                       {32768, 65535, true},
                       {0, 8192, false},
                       {1000, 8192, false},
                       {65536, 8192, false},
                       {64, 0, false},
                       {64, 65536, false}}) {
    auto plan = make_plan();
    plan->io_buffers = c.buffers;
    plan->dogstatsd.buffer_size = c.size;
    EXPECT_EQ(check_buffers(*plan).ok(), c.ok) << c.buffers << " x " << c.size;
  }
}

TEST(CheckKernel, NeedsSixOne) {
  struct Case {
    std::string_view release;
    bool ok;
  };
  for (const Case c : {Case{"6.1.0-28-amd64", true},
                       {"6.18.44-fc", true},
                       {"7.0", true},
                       {"10.2.1", true},
                       {"6.0.19", false},
                       {"5.15.0-91-generic", false},
                       {"5.99", false},
                       {"6", false},
                       {"", false},
                       {"x.y", false}}) {
    const absl::Status s = check_kernel(c.release);
    EXPECT_EQ(s.ok(), c.ok) << c.release;
    if (!s.ok()) {
      EXPECT_NE(std::string(s.message()).find(c.release), std::string::npos);
    }
  }
}

TEST(UserData, PacksBothWays) {
  for (const UserData d : {UserData{Kind::kReceive, 0, 0},
                           {Kind::kWake, 65535, 1},
                           {Kind::kTimer, 7, 0xffffffff},
                           {Kind::kCancel, 1, 0x80000000}}) {
    EXPECT_EQ(unpack(pack(d)), d);
  }
}

}  // namespace
}  // namespace penstock::uring

#include <poll.h>
#include <sys/resource.h>

#include "loop_fixture.h"

namespace penstock::uring {
namespace {

// All of it is tested twice, the second time with the senders' credentials before each payload.
class StreamTest : public LoopTest {
 protected:
  StreamTest() {
#ifdef PENSTOCK_DETECT_ORIGINS
    detect("/proc");
#endif
  }

  [[nodiscard]] uint64_t open_connections() const {
    return sources_[0].connections.get() - sources_[0].connections_closed.get();
  }
};

TEST_F(StreamTest, FramesOfOneBufferShareIt) {
  const Endpoint e = add_stream();
  start();
  const StreamClient client(e);
  client.send(frame("a:1|c") + frame("b:2|c") + frame("c:3|c"));
  std::vector<uint64_t> owners;
  for (const char* expected : {"a:1|c", "b:2|c", "c:3|c"}) {
    EXPECT_EQ(take(1), std::vector<std::string>{expected});
    owners.push_back(last_.owner);
    EXPECT_EQ(last_.source, Source::kUdsStream);
  }
  EXPECT_EQ(owners[0], 0u);
  EXPECT_EQ(owners[1], 0u);
  EXPECT_NE(owners[2], 0u);
  stop_and_expect_ok();
  EXPECT_EQ(sources_[0].received.get(), 3u);
  EXPECT_EQ(sources_[0].received_bytes.get(), 15u);
  EXPECT_EQ(sources_[0].connections.get(), 1u);
  EXPECT_EQ(sources_[0].connections_closed.get(), 1u);
}

TEST_F(StreamTest, EveryFragmentationKeepsOrder) {
  const Endpoint e = add_stream();
  start();
  const std::string stream = frame("a:1|c") + frame("b") + frame("cc:2|g");
  for (size_t first = 1; first < stream.size(); ++first) {
    for (size_t second = first; second < stream.size(); second += 3) {
      const StreamClient client(e);
      size_t from = 0;
      for (const size_t to : {first, second, stream.size()}) {
        client.send(std::string_view(stream).substr(from, to - from));
        std::this_thread::yield();  // the loop may see it at once, or with what follows
        from = to;
      }
      ASSERT_EQ(take(3), (std::vector<std::string>{"a:1|c", "b", "cc:2|g"})) << first << second;
    }
  }
  stop_and_expect_ok();
  expect_exact();
  EXPECT_EQ(open_connections(), 0u);
}

TEST_F(StreamTest, ByteByByte) {
  const Endpoint e = add_stream();
  start();
  const StreamClient client(e);
  const std::string longest(kBufferSize, 'x');
  for (const char c : frame(longest)) {
    client.send({&c, 1});
    std::this_thread::yield();
  }
  EXPECT_EQ(take(1), std::vector{longest});
}

// Far more than the buffers and a ring hold, with frames of all lengths.
TEST_F(StreamTest, ManyFramesOfManyClientsKeepTheirOrder) {
  const Endpoint e = add_stream();
  start();
  constexpr size_t kClients = 8;
  constexpr size_t kFrames = 4'000;
  std::vector<std::thread> senders;
  for (size_t c = 0; c < kClients; ++c) {
    senders.emplace_back([&, c] {
      const StreamClient client(e);
      for (size_t i = 0; i < kFrames; ++i) {
        std::string payload = std::to_string(c) + ":" + std::to_string(i) + "|";
        payload.append((i * 7919 + c) % (kBufferSize - payload.size()), 'x');
        client.send(frame(payload));
      }
    });
  }
  std::array<size_t, kClients> next{};
  for (const std::string& p : take(kClients * kFrames)) {
    const auto c = static_cast<size_t>(p[0] - '0');
    ASSERT_EQ(std::stoul(p.substr(2)), next[c]++) << "client " << c;
  }
  for (std::thread& t : senders) t.join();
  stop_and_expect_ok();
  EXPECT_EQ(sources_[0].dispatched.get(), kClients * kFrames);
  expect_exact();
}

// A buffer full of tiny frames is more packets than a ring has room for; and a shard that does not
// finish makes clients wait, and loses them nothing.
TEST_F(StreamTest, FullRingHoldsClientsBack) {
  const Endpoint e = add_stream();
  start();
  std::string burst;
  constexpr size_t kFrames = 200'000;
  for (size_t i = 0; i < kFrames; ++i) burst += frame(std::to_string(i % 10));
  std::thread sender([&] { StreamClient(e).send(burst); });
  ASSERT_TRUE(eventually([&] { return sources_[0].dispatched.get() >= plan_->limits.ring_slots; }));
  const auto got = take(kFrames);
  sender.join();
  for (size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], std::to_string(i % 10));
  stop_and_expect_ok();
  EXPECT_EQ(sources_[0].dispatched.get(), kFrames);
}

// Frames of which a buffer holds little more than one: nearly all come together from two, and while
// a shard does not finish them, there is room for no more than so many.
TEST_F(StreamTest, FramesThatAreCutWaitForRoomToComeTogether) {
  const Endpoint e = add_stream(/*connections=*/1);
  start();
  constexpr size_t kFrames = 400;
  const auto payload = [](size_t i) {
    return std::string(kBufferSize - 3, 'x') + std::to_string(100 + i);
  };
  std::thread sender([&] {
    const StreamClient client(e);
    for (size_t i = 0; i < kFrames; ++i) client.send(frame(payload(i)));
  });
  ASSERT_TRUE(eventually([&] { return sources_[0].dispatched.get() >= plan_->io_buffers; }));
  EXPECT_LT(sources_[0].dispatched.get(), kFrames);
  const auto got = take(kFrames);
  sender.join();
  for (size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], payload(i));
  stop_and_expect_ok();
  expect_exact();
}

// A bad frame behind what waits: what came before it is taken, and then the connection is closed.
TEST_F(StreamTest, BadFrameBehindWhatWaits) {
  const Endpoint e = add_stream();
  start();
  constexpr size_t kFrames = 400;
  std::string burst;
  for (size_t i = 0; i < kFrames; ++i) burst += frame("x");
  const StreamClient client(e);
  client.send(burst + frame("") + burst);
  ASSERT_TRUE(eventually([&] { return sources_[0].dispatched.get() != 0; }));
  EXPECT_EQ(take(kFrames).size(), kFrames);
  EXPECT_TRUE(eventually([&] { return client.closed_by_server(); }));
  EXPECT_TRUE(eventually([&] { return open_connections() == 0; }));
  stop_and_expect_ok();
  EXPECT_TRUE(all_.empty());
  EXPECT_EQ(sources_[0].malformed_frame_empty.get(), 1u);
  expect_exact();
}

// What it has is what was not finished: a datagram is not held up by streams that are.
TEST_F(StreamTest, DatagramsPassStreamsThatWait) {
  const Endpoint stream = add_stream();
  const Endpoint datagrams = add_uds();
  plan_->io_buffers = 256;
  start();
  std::string burst;
  for (size_t i = 0; i < 300; ++i) burst += frame("x");  // more than ring_slots of one buffer
  StreamClient client(stream);
  client.send(burst);
  ASSERT_TRUE(eventually([&] { return sources_[0].dispatched.get() != 0; }));
  Client(datagrams).send("d:1|c");
  EXPECT_TRUE(eventually([&] { return sources_[1].dispatched.get() == 1; }));
  std::vector<std::string> got = take(301);
  EXPECT_EQ(std::count(got.begin(), got.end(), "d:1|c"), 1);
}

TEST_F(StreamTest, BadLengthClosesThatConnectionOnly) {
  const Endpoint e = add_stream();
  start();
  const StreamClient good(e);
  good.send(frame("a:1|c"));
  const StreamClient empty(e);
  empty.send(frame("b:1|c") + frame("") + frame("never:1|c"));
  const StreamClient too_long(e);
  too_long.send(frame("c:1|c") + frame(std::string(kBufferSize + 1, 'x')));
  const StreamClient huge(e);
  huge.send("\xff\xff\xff\xff");
  for (const StreamClient* bad : {&empty, &too_long, &huge}) {
    EXPECT_TRUE(eventually([&] { return bad->closed_by_server(); }));
  }
  std::vector<std::string> got = take(3);
  std::sort(got.begin(), got.end());
  EXPECT_EQ(got, (std::vector<std::string>{"a:1|c", "b:1|c", "c:1|c"}));
  good.send(frame("d:1|c"));
  EXPECT_EQ(take(1), std::vector<std::string>{"d:1|c"});
  EXPECT_EQ(open_connections(), 1u);
  stop_and_expect_ok();
  EXPECT_EQ(sources_[0].malformed_frame_empty.get(), 1u);
  EXPECT_EQ(sources_[0].malformed_frame_long.get(), 2u);
  EXPECT_EQ(sources_[0].received.get(), 7u);
  EXPECT_TRUE(all_.empty());
  expect_exact();
}

TEST_F(StreamTest, EndInAFrameIsCounted) {
  const Endpoint e = add_stream();
  start();
  for (const std::string_view cut : {"\1", "\5\0\0", "\5\0\0\0", "\5\0\0\0ab"}) {
    StreamClient(e).send(frame("a:1|c") + std::string(cut.data(), cut.size()));
    EXPECT_EQ(take(1), std::vector<std::string>{"a:1|c"});
  }
  StreamClient(e).send("");  // no byte: an end as it should be
  EXPECT_TRUE(eventually([&] { return sources_[0].connections_closed.get() == 5; }));
  stop_and_expect_ok();
  EXPECT_EQ(sources_[0].malformed_cut_off.get(), 4u);
  expect_exact();
}

TEST_F(StreamTest, BeyondTheLimitTheyWaitTheirTurn) {
  const Endpoint e = add_stream(/*connections=*/3);
  start();
  std::vector<std::unique_ptr<StreamClient>> clients;
  for (size_t i = 0; i < 5; ++i) {
    clients.push_back(std::make_unique<StreamClient>(e));
    clients.back()->send(frame(numbered(i)));
  }
  take(3);
  EXPECT_EQ(sources_[0].connections.get(), 3u);
  EXPECT_EQ(sources_[0].connections_full.get(), 1u);
  clients[1].reset();
  EXPECT_EQ(take(1), std::vector{numbered(3)});
  clients[0].reset();
  EXPECT_EQ(take(1), std::vector{numbered(4)});
  EXPECT_EQ(open_connections(), 3u);
  stop_and_expect_ok();
  EXPECT_EQ(sources_[0].connections_full.get(), 3u);
}

// Without descriptors who comes waits, and is accepted once there are some.
TEST_F(StreamTest, WithoutDescriptorsTheyWait) {
  const Endpoint e = add_stream();
  start();
  const StreamClient first(e);
  first.send(frame("a:1|c"));
  take(1);
  const Fd next(::dup(0));  // the lowest that is free
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const rlimit none{static_cast<rlim_t>(next.get()), limit.rlim_max};
  const Fd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  ASSERT_EQ(::connect(socket.get(), e.get(), e.size), 0);
  const std::string data = frame("b:1|c");
  ASSERT_EQ(::send(socket.get(), data.data(), data.size(), 0), static_cast<ssize_t>(data.size()));
  const bool failed = eventually([&] { return sources_[0].accept_failed.get() != 0; });
  ::setrlimit(RLIMIT_NOFILE, &limit);
  EXPECT_TRUE(failed);
  EXPECT_EQ(take(1), std::vector<std::string>{"b:1|c"});
  EXPECT_EQ(sources_[0].connections.get(), 2u);
}

TEST_F(StreamTest, AThousandConnections) {
  const Endpoint e = add_stream(/*connections=*/1'000);
  start();
  std::vector<std::unique_ptr<StreamClient>> clients;
  for (size_t i = 0; i < 1'000; ++i) {
    clients.push_back(std::make_unique<StreamClient>(e));
    clients.back()->send(frame(numbered(i)).substr(0, i % 10));  // stall in a frame
  }
  for (size_t i = 0; i < 1'000; ++i) clients[i]->send(frame(numbered(i)).substr(i % 10));
  const auto got = take(1'000);
  EXPECT_EQ(std::set(got.begin(), got.end()).size(), 1'000u);
  clients.clear();
  EXPECT_TRUE(eventually([&] { return open_connections() == 0; }));
  stop_and_expect_ok();
  EXPECT_EQ(sources_[0].connections.get(), 1'000u);
  EXPECT_EQ(sources_[0].malformed_cut_off.get(), 0u);
}

// More of them stop in a frame than there are receive buffers.
TEST_F(StreamTest, StalledClientsHoldNoBuffers) {
  const Endpoint e = add_stream(/*connections=*/200);
  start();
  std::vector<std::unique_ptr<StreamClient>> stalled;
  for (size_t i = 0; i < 199; ++i) {
    stalled.push_back(std::make_unique<StreamClient>(e));
    stalled.back()->send(frame(std::string(kBufferSize, 's')).substr(0, 300));
  }
  const StreamClient client(e);
  std::thread sender([&] {
    for (size_t i = 0; i < 2'000; ++i) client.send(frame(numbered(i)));
  });
  const auto got = take(2'000);
  sender.join();
  for (size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], numbered(i));
  stalled[7]->send(frame(std::string(kBufferSize, 's')).substr(300));
  EXPECT_EQ(take(1), std::vector{std::string(kBufferSize, 's')});
  stop_and_expect_ok();
  EXPECT_EQ(sources_[0].malformed_cut_off.get(), 198u);
  expect_exact();
}

// A connection stays with its shard, and not all are with one.
TEST_F(StreamTest, ConnectionsSpreadOverShardsAndKeepTheirs) {
  const Endpoint e = add_stream();
  start(kShards);
  std::vector<std::unique_ptr<StreamClient>> clients;
  for (size_t i = 0; i < 64; ++i) clients.push_back(std::make_unique<StreamClient>(e));
  for (size_t round = 0; round < 3; ++round) {
    for (size_t i = 0; i < 64; ++i) clients[i]->send(frame(numbered(i)));
  }
  std::map<std::string, std::set<size_t>> shards_of;
  std::set<size_t> used;
  size_t seen = 0;
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
    return seen == 192;
  }));
  EXPECT_EQ(used.size(), kShards);
  for (const auto& [name, shards] : shards_of) EXPECT_EQ(shards.size(), 1u) << name;
}

// What penstockd does before a stop: the socket is shut; who had connected is read to the end.
TEST_F(StreamTest, StopTakesInWhatClientsHaveSent) {
  const Endpoint e = add_stream();
  const Fd socket(::dup(sockets_[0].get()));
  std::vector<std::unique_ptr<StreamClient>> clients;
  for (size_t i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<StreamClient>(e));
    clients.back()->send(frame(numbered(i)));  // nobody has accepted it yet
  }
  ASSERT_EQ(::shutdown(socket.get(), SHUT_RD), 0);
  stop_ = true;
  start();
  loop_->wake();
  while (!returned_) finish_all();
  thread_.join();
  EXPECT_TRUE(result_.ok()) << result_;
  EXPECT_EQ(all_.size(), 20u);
  EXPECT_EQ(clients[3]->try_send("x"), 0u) << "the client is told";
}

// Stop under load: what the client could write is what was taken in, to the frame it was in.
TEST_F(StreamTest, StopUnderLoadLosesNothing) {
  const Endpoint e = add_stream();
  const Fd socket(::dup(sockets_[0].get()));
  start();
  std::atomic<bool> sending{true};
  size_t written = 0;
  const std::string one = frame("load:1|c");
  std::thread sender([&] {
    const StreamClient client(e);
    while (sending) {
      written += client.try_send(std::string_view(one).substr(written % one.size()));
    }
  });
  while (all_.size() < 1'000) finish_all();
  ::shutdown(socket.get(), SHUT_RD);
  request_stop();
  while (!returned_) finish_all();
  sending = false;
  sender.join();
  thread_.join();
  EXPECT_TRUE(result_.ok()) << result_;
  EXPECT_EQ(sources_[0].dispatched.get(), written / one.size());
  EXPECT_EQ(sources_[0].malformed_cut_off.get(), written % one.size() == 0 ? 0u : 1u);
  EXPECT_EQ(all_.size(), sources_[0].dispatched.get());
  expect_exact();
}

// A data plane that ends alone leaves who has not been accepted to the next one.
TEST_F(StreamTest, StopLeavesTheOpenSocketItsClients) {
  const Endpoint e = add_stream();
  const Fd socket(::dup(sockets_[0].get()));
  start();
  const StreamClient first(e);
  first.send(frame("a:1|c"));
  take(1);
  const auto begun = Clock::now();
  stop_and_expect_ok();
  EXPECT_LT(Clock::now() - begun, 1s);
  const StreamClient second(e);
  second.send(frame("b:1|c"));
  EXPECT_EQ(Fd(::accept(socket.get(), nullptr, nullptr)).valid(), true);
}

TEST_F(StreamTest, StaleCompletionsAreNotFollowed) {
  add_stream();
  add_pipe();
  create();
  const uint32_t kBuffer = IORING_CQE_F_BUFFER | 3 << IORING_CQE_BUFFER_SHIFT;
  int fds[2];
  ASSERT_EQ(::pipe(fds), 0);
  const Fd reader(fds[0]);
  loop_->complete(pack({Kind::kAccept, 0, 77}), fds[1], 0);
  loop_->complete(pack({Kind::kAccept, 9, 0}), -EMFILE, 0);
  loop_->complete(pack({Kind::kConnection, 5, 77}), 100, kBuffer);
  loop_->complete(pack({Kind::kConnection, 60'000, 0}), 100, 0);
  loop_->complete(pack({Kind::kPipePoll, 0, 77}), POLLIN, 0);
  loop_->complete(pack({Kind::kPipeRead, 9, 0}), -EAGAIN, 0);
  char byte;
  EXPECT_EQ(::read(reader.get(), &byte, 1), 0) << "what it had accepted is closed";
  launch();
  stop_and_expect_ok();
  EXPECT_EQ(all_, std::vector<std::string>());
  EXPECT_EQ(sources_[0].received.get(), 0u);
  EXPECT_EQ(sources_[0].connections.get(), 0u);
}

}  // namespace
}  // namespace penstock::uring

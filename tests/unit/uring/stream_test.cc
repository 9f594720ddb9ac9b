#include <poll.h>
#include <sys/ioctl.h>
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

  // Every packet that was received is in one bucket.
  void expect_exact(size_t listener = 0) {
    const SourceStats& s = sources_[listener];
    EXPECT_EQ(s.received.get(), s.dispatched.get() + s.truncated.get() +
                                    s.malformed_frame_empty.get() + s.malformed_frame_long.get() +
                                    s.malformed_cut_off.get());
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

class PipeTest : public StreamTest {
 protected:
  static Fd writer(const std::string& path) {
    return Fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  }
  static void write(const Fd& to, std::string_view bytes) {
    ASSERT_EQ(::write(to.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()))
        << strerror(errno);
  }
  // Joined packets, until they are `bytes` long.
  std::string take_bytes(size_t bytes) {
    std::string out;
    while (out.size() < bytes) {
      const auto one = take(1);
      if (one.empty()) break;
      EXPECT_EQ(one[0].back(), '\n');
      out += one[0];
    }
    return out;
  }
};

TEST_F(PipeTest, LinesAcrossReads) {
  const std::string path = add_pipe();
  start();
  const Fd w = writer(path);
  write(w, "a:1|c\nb:2|c\nc:");
  EXPECT_EQ(take(1), std::vector<std::string>{"a:1|c\nb:2|c\n"});
  EXPECT_EQ(last_.source, Source::kPipe);
  write(w, "3|c");
  write(w, "\nd:4|c\n");
  EXPECT_EQ(take_bytes(12), "c:3|c\nd:4|c\n");
  const auto begun = Clock::now();
  stop_and_expect_ok();
  EXPECT_LT(Clock::now() - begun, 1s) << "it knows that the pipe is empty";
  EXPECT_EQ(sources_[0].received_bytes.get(), 24u);
  EXPECT_EQ(sources_[0].malformed_cut_off.get(), 0u);
  expect_exact();
}

TEST_F(PipeTest, WritersComeAndGo) {
  const std::string path = add_pipe();
  start();
  for (size_t i = 0; i < 100; ++i) {
    write(writer(path), numbered(i) + "\n");
    EXPECT_EQ(take(1), std::vector{numbered(i) + "\n"});
  }
}

TEST_F(PipeTest, SeveralWritersMixByTheLine) {
  const std::string path = add_pipe();
  start();
  constexpr size_t kWriters = 4;
  constexpr size_t kLines = 5'000;
  std::vector<std::thread> writers;
  for (size_t k = 0; k < kWriters; ++k) {
    writers.emplace_back([&, k] {
      const Fd w = writer(path);
      for (size_t i = 0; i < kLines; ++i) {
        write(w, std::to_string(k) + ":" + std::to_string(10'000 + i) + "|c\n");
      }
    });
  }
  const std::string all = take_bytes(kWriters * kLines * 10);
  for (std::thread& t : writers) t.join();
  std::array<size_t, kWriters> next{};
  for (size_t at = 0; at < all.size(); at += 10) {
    const auto k = static_cast<size_t>(all[at] - '0');
    ASSERT_EQ(std::stoul(all.substr(at + 2, 5)), 10'000 + next[k]++) << all.substr(at, 10);
  }
  stop_and_expect_ok();
  expect_exact();
}

TEST_F(PipeTest, LongLinesAreTruncated) {
  const std::string path = add_pipe();
  start();
  const Fd w = writer(path);
  const std::string longest = std::string(kBufferSize - 1, 'y') + "\n";
  write(w, "a\n" + std::string(kBufferSize, 'x') + "\n" + longest);
  write(w, std::string(3 * kBufferSize, 'z') + "\nb\n");
  EXPECT_EQ(take_bytes(longest.size() + 4), "a\n" + longest + "b\n");
  stop_and_expect_ok();
  EXPECT_EQ(sources_[0].truncated.get(), 2u);
  expect_exact();
}

TEST_F(PipeTest, StopReadsWhatIsThereAndLosesTheTail) {
  const std::string path = add_pipe(/*eol_required=*/true);
  const Fd w = writer(path);
  std::string lines;
  for (size_t i = 0; i < 1'000; ++i) lines += numbered(i) + "\n";
  write(w, lines + "tail:1|c");
  stop_ = true;  // before the loop ever ran
  start();
  loop_->wake();
  while (!returned_) finish_all();
  thread_.join();
  EXPECT_TRUE(result_.ok()) << result_;
  std::string got;
  for (const std::string& p : all_) got += p;
  EXPECT_EQ(got, lines);
  EXPECT_EQ(sources_[0].malformed_cut_off.get(), 1u);
  expect_exact();
}

#ifndef PENSTOCK_DETECT_ORIGINS  // it takes as long as a drain may
// The end of a line waits behind a stream for a shard that does not finish before the drain is
// over: the line's beginning is kept until it is through.
TEST_F(PipeTest, ALineThatWaitsWhenTheDrainIsOverIsWhole) {
  const Endpoint e = add_stream();
  const std::string path = add_pipe();
  start();
  const Fd w = writer(path);
  write(w, "pipe:1");
  std::string burst;
  for (size_t i = 0; i < 300; ++i) burst += frame("x");  // more than ring_slots
  const StreamClient client(e);
  client.send(burst);
  ASSERT_TRUE(eventually([&] { return sources_[0].dispatched.get() >= plan_->limits.ring_slots; }));
  write(w, "|c\nlost");
  int left = 0;
  EXPECT_TRUE(eventually([&] { return ::ioctl(w.get(), FIONREAD, &left) == 0 && left == 0; }));
  request_stop();
  std::this_thread::sleep_for(2100ms);  // the limit of a drain
  while (!returned_) finish_all();
  thread_.join();
  EXPECT_TRUE(result_.ok()) << result_;
  EXPECT_EQ(all_.size(), 301u);
  EXPECT_EQ(std::count(all_.begin(), all_.end(), "pipe:1|c\n"), 1);
  EXPECT_EQ(sources_[1].malformed_cut_off.get(), 1u);
  expect_exact(1);
}
#endif

TEST_F(PipeTest, RestOfALostLineIsThrownAway) {
  const std::string path = add_pipe();
  plan_->line_lost[0] = 1;
  start();
  write(writer(path), "est:1|c\nb:2|c\n");
  EXPECT_EQ(take(1), std::vector<std::string>{"b:2|c\n"});
  EXPECT_EQ(sources_[0].malformed_cut_off.get(), 1u);
}

// A shard that does not finish makes writers wait.
TEST_F(PipeTest, FullRingHoldsWritersBack) {
  const std::string path = add_pipe();
  start();
  constexpr size_t kLines = 60'000;
  std::thread sender([&] {
    const Fd w = writer(path);
    for (size_t i = 0; i < kLines; ++i) write(w, std::to_string(100'000 + i) + "\n");
  });
  ASSERT_TRUE(eventually([&] { return sources_[0].dispatched.get() >= plan_->io_buffers / 2; }));
  const std::string all = take_bytes(kLines * 7);
  sender.join();
  for (size_t i = 0; i < kLines; ++i) ASSERT_EQ(std::stoul(all.substr(i * 7, 6)), 100'000 + i);
}

TEST_F(PipeTest, WrongDescriptorsAreNamed) {
  struct Case {
    ListenerKind kind;
    const char* what;
  };
  for (const Case c : {Case{ListenerKind::kPipe, "not a pipe"},
                       {ListenerKind::kUdsStream, "not a listening Unix stream socket"}}) {
    plan_->listener_count = 0;
    sockets_.clear();
    add_uds();
    plan_->listeners[0].kind = c.kind;
    plan_->listeners[0].connections = 1;
    plan_->listeners[0].address = plan_->add_text("/the/path");
    SourceStats* source = sources_.data();
    LossStats* loss = losses_.data();
    PacketRing ring(io_ring_slots(*plan_));
    auto sleeper = *Sleeper::create();
    const Outlet outlet{&ring, sleeper.get()};
    const auto loop =
        Loop::create(*plan_, std::move(sockets_), {&source, 1}, {&loss, 1}, {&outlet, 1});
    const std::string message(loop.status().message());
    EXPECT_NE(message.find(c.what), std::string::npos) << message;
    EXPECT_NE(message.find("/the/path"), std::string::npos) << message;
    ::unlink(dir_.file("0").c_str());
  }
}

}  // namespace
}  // namespace penstock::uring

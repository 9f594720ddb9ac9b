#include <sys/ioctl.h>

#include "loop_fixture.h"

namespace penstock::uring {
namespace {

class PipeTest : public LoopTest {
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

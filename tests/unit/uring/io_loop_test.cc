#include "dataplane/uring/io_loop.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <string>
#include <thread>

#include "tests/support/small_plan.h"

namespace penstock {
namespace {

std::unique_ptr<Plan> two_shards() {
  auto plan = small_plan(2);
  plan->listener_count = 2;
  plan->listeners[0].kind = plan->listeners[1].kind = ListenerKind::kUdsDatagram;
  plan->listeners[1].eol_required = 1;
  plan->io_buffers = 32;
  finish_plan(*plan);
  return plan;
}

// A datagram socket with an abstract name, and one connected to it.
std::array<Fd, 2> socket_pair(int index) {
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  const std::string name =
      "penstock-io-test-" + std::to_string(::getpid()) + "-" + std::to_string(index);
  std::memcpy(a.sun_path + 1, name.data(), name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  std::array<Fd, 2> out = {Fd(::socket(AF_UNIX, SOCK_DGRAM, 0)),
                           Fd(::socket(AF_UNIX, SOCK_DGRAM, 0))};
  EXPECT_EQ(::bind(out[0].get(), reinterpret_cast<const sockaddr*>(&a), size), 0);
  EXPECT_EQ(::connect(out[1].get(), reinterpret_cast<const sockaddr*>(&a), size), 0);
  return out;
}

// Sockets, io thread, rings, shards: every line sent is in exactly one counter, stop included.
TEST(IoLoop, FeedsShardsAndDrains) {
  constexpr uint64_t kEach = 5'000;
  const auto plan = two_shards();
  std::array<ShardStats, 2> shard_stats;
  std::array<SourceStats, 2> sources;
  std::array<LossStats, 2> losses;
  ShardWorker first(*plan, 0, shard_stats[0], *Sleeper::create());
  ShardWorker second(*plan, 1, shard_stats[1], *Sleeper::create());
  auto plain = socket_pair(0);
  auto strict = socket_pair(1);
  std::vector<Fd> sockets;
  sockets.push_back(std::move(plain[0]));
  sockets.push_back(std::move(strict[0]));
  auto io = IoLoop::create(*plan, std::move(sockets), {&sources[0], &sources[1]},
                           {&losses[0], &losses[1]}, {&first, &second});
  ASSERT_TRUE(io.ok()) << io.status();

  std::atomic<bool> stop_io{false};
  std::atomic<bool> stop_shards{false};
  absl::Status ended;
  std::thread io_thread([&] { ended = (*io)->run(stop_io); });
  std::thread first_thread([&] { first.run(stop_shards, IdleMode::kAdaptive); });
  std::thread second_thread([&] { second.run(stop_shards, IdleMode::kAdaptive); });
  constexpr std::string_view kLines = "a:1|c\nb:2|g";  // the second has no end of line
  for (uint64_t i = 0; i < kEach; ++i) {
    for (const Fd* to : {&plain[1], &strict[1]}) {
      ASSERT_EQ(::send(to->get(), kLines.data(), kLines.size(), 0),
                static_cast<ssize_t>(kLines.size()));
    }
  }
  stop_io = true;
  (*io)->wake();
  io_thread.join();
  stop_shards = true;
  first.sleeper().wake();
  second.sleeper().wake();
  first_thread.join();
  second_thread.join();

  EXPECT_TRUE(ended.ok()) << ended;
  const auto total = [&](Counter ShardStats::*c) {
    return (shard_stats[0].*c).get() + (shard_stats[1].*c).get();
  };
  EXPECT_EQ(sources[0].dispatched.get(), kEach);
  EXPECT_EQ(sources[1].dispatched.get(), kEach);
  EXPECT_EQ(total(&ShardStats::packets), 2 * kEach);
  EXPECT_EQ(total(&ShardStats::bytes), 2 * kEach * kLines.size());
  EXPECT_EQ(total(&ShardStats::lines), 4 * kEach);
  EXPECT_EQ(total(&ShardStats::lines_ok), 3 * kEach);
  EXPECT_EQ(total(&ShardStats::rejected_unterminated), kEach) << "the strict listener's";
}

TEST(IoLoop, RefusesBuffersItCannotHave) {
  auto plan = two_shards();
  plan->listener_count = 0;
  plan->io_buffers = 48;
  ShardStats stats;
  ShardWorker worker(*plan, 0, stats, *Sleeper::create());
  const auto io = IoLoop::create(*plan, {}, {}, {}, {&worker});
  EXPECT_EQ(io.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(io.status().message()).find("io_buffers: 48"), std::string::npos);
}

}  // namespace
}  // namespace penstock

#include "dataplane/keeper/endpoint.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <string>
#include <vector>

namespace penstock {
namespace {

std::vector<std::byte> bytes_of(size_t size) { return std::vector<std::byte>(size, std::byte{7}); }

HeldSegment segment(uint64_t sequence, uint64_t points = 1, uint64_t samples = 1) {
  return {sequence, static_cast<int64_t>(sequence) * 10, points, samples, 0, Fd()};
}

// An abstract listening socket and clients of it, as penstockd would be.
class EndpointTest : public testing::Test {
 protected:
  EndpointTest() {
    limits_.segments_held = 3;
    limits_.segment_bytes_held = 1 << 20;
    outbox_.emplace(limits_, stats_);
    address_.sun_family = AF_UNIX;
    const std::string name = "penstock-endpoint-test-" + std::to_string(::getpid());
    std::memcpy(address_.sun_path + 1, name.data(), name.size());
    length_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    Fd listening(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    EXPECT_EQ(0, ::bind(listening.get(), reinterpret_cast<sockaddr*>(&address_), length_));
    EXPECT_EQ(0, ::listen(listening.get(), 4));
    agent::Hello hello{};
    hello.header = {agent::Type::kHello, agent::kVersion};
    hello.instance = 42;
    endpoint_.emplace(std::move(listening), hello, std::vector<int>{0, 1}, *outbox_);
  }

  Fd connect() {
    Fd client(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    EXPECT_EQ(0, ::connect(client.get(), reinterpret_cast<sockaddr*>(&address_), length_));
    endpoint_->accept();
    return client;
  }

  static agent::Received next(const Fd& client) {
    absl::StatusOr<agent::Received> r = agent::receive(client.get());
    EXPECT_TRUE(r.ok()) << r.status();
    return r.ok() ? *std::move(r) : agent::Received{};
  }

  void add(uint64_t sequence) {
    ASSERT_TRUE(outbox_->add(segment(sequence), bytes_of(100)).ok());
    endpoint_->announce(false, 0);
  }

  sockaddr_un address_{};
  socklen_t length_ = 0;
  LimitsPlan limits_{};
  KeeperStats stats_;
  std::optional<Outbox> outbox_;
  std::optional<Endpoint> endpoint_;
};

TEST_F(EndpointTest, GreetsWithItsDescriptors) {
  const Fd client = connect();
  const agent::Received hello = next(client);
  EXPECT_EQ(hello.message.hello.instance, 42u);
  EXPECT_EQ(hello.fds.size(), 2u);
}

TEST_F(EndpointTest, AnnouncesEachSegmentOncePerConnectionUntilAcknowledged) {
  Fd client = connect();
  next(client);
  add(1);
  add(2);
  EXPECT_EQ(next(client).message.segment_ready.sequence, 1u);
  const agent::Received second = next(client);
  EXPECT_EQ(second.message.segment_ready.sequence, 2u);
  ASSERT_EQ(second.fds.size(), 1u);
  EXPECT_EQ(Mapping::map(second.fds[0].get(), false)->bytes().size(), 100u);

  const agent::SegmentAck ack{{agent::Type::kSegmentAck, agent::kVersion}, 1};
  ASSERT_TRUE(agent::send(client.get(), ack.header).ok());
  EXPECT_FALSE(endpoint_->receive());
  EXPECT_EQ(outbox_->held().size(), 1u);

  client = connect();  // the next penstockd hears again of what was not acknowledged
  next(client);
  endpoint_->announce(false, 0);
  EXPECT_EQ(next(client).message.segment_ready.sequence, 2u);
}

TEST_F(EndpointTest, GivesUpTheOldestAtTheBoundAndCountsIt) {
  for (uint64_t i = 1; i <= 5; ++i) {
    ASSERT_TRUE(outbox_->add(segment(i, 10, 100), bytes_of(64)).ok());
  }
  EXPECT_EQ(outbox_->held().front().sequence, 3u);
  EXPECT_EQ(stats_.segments_given_up.get(), 2u);
  EXPECT_EQ(stats_.points_given_up.get(), 20u);
  EXPECT_EQ(stats_.samples_given_up.get(), 200u);
}

TEST_F(EndpointTest, GivesUpByBytesButKeepsTheNewest) {
  limits_.segment_bytes_held = 150;
  ASSERT_TRUE(outbox_->add(segment(1), bytes_of(100)).ok());
  ASSERT_TRUE(outbox_->add(segment(2), bytes_of(400)).ok());
  ASSERT_EQ(outbox_->held().size(), 1u);
  EXPECT_EQ(outbox_->held().front().sequence, 2u);
}

TEST_F(EndpointTest, APeerThatDoesNotReadBlocksNothing) {
  limits_.segments_held = 100000;
  limits_.segment_bytes_held = 1 << 30;
  Fd client = connect();
  uint64_t sequence = 0;
  while (!endpoint_->wants_to_write() && sequence < 5000) add(++sequence);
  ASSERT_TRUE(endpoint_->wants_to_write());
  EXPECT_GE(endpoint_->connection(), 0);
  next(client);
  for (uint64_t expected = 1; expected <= sequence; ++expected) {
    endpoint_->announce(false, 0);
    ASSERT_EQ(next(client).message.segment_ready.sequence, expected);
  }
}

TEST_F(EndpointTest, TellsOfTheEndOnceAllIsAnnounced) {
  const Fd client = connect();
  next(client);
  ASSERT_TRUE(outbox_->add(segment(1), bytes_of(64)).ok());
  endpoint_->announce(/*drained=*/true, 1);
  EXPECT_EQ(next(client).message.header.type, agent::Type::kSegmentReady);
  EXPECT_EQ(next(client).message.drained.last_sequence, 1u);
}

TEST_F(EndpointTest, StopIsReportedAndNonsenseHangsUp) {
  Fd client = connect();
  next(client);
  const agent::Stop stop{{agent::Type::kStop, agent::kVersion}};
  ASSERT_TRUE(agent::send(client.get(), stop.header).ok());
  EXPECT_TRUE(endpoint_->receive());
  ASSERT_EQ(3, ::send(client.get(), "abc", 3, 0));
  EXPECT_FALSE(endpoint_->receive());
  EXPECT_EQ(endpoint_->connection(), -1);
}

TEST_F(EndpointTest, PortStatesAreRepeatedToEveryPeer) {
  agent::PortState state{};
  state.header = {agent::Type::kPortState, agent::kVersion};
  state.up = 1;
  endpoint_->set_port_state(state);
  for (int i = 0; i < 2; ++i) {
    const Fd client = connect();
    next(client);
    endpoint_->announce(false, 0);
    EXPECT_EQ(next(client).message.port_state.up, 1);
  }
}

}  // namespace
}  // namespace penstock

#include "tools/pktgen/run.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>

#include "dataplane/base/fd.h"

namespace penstock::pktgen {
namespace {

Deck small_deck() { return *Deck::make({.contexts = 20, .lines_per_packet = 1, .tags = 0}); }

uint64_t sum(const std::vector<uint64_t>& times) {
  uint64_t total = 0;
  for (const uint64_t t : times) total += t;
  return total;
}

// Takes what `accept` says of each batch.
class FakeOutput : public Output {
 public:
  explicit FakeOutput(std::vector<SendResult> script) : script_(std::move(script)) {}
  absl::StatusOr<SendResult> send(std::span<const std::string_view> packets, uint64_t) override {
    if (calls_ == script_.size()) return SendResult{packets.size(), false, false};
    return script_[calls_++];
  }
  std::vector<SendResult> script_;
  size_t calls_ = 0;
};

TEST(Run, CountsWhatTheOutputTookAndNothingElse) {
  const Deck deck = small_deck();
  FakeOutput output({{3, false, false}, {0, true, false}, {2, false, true}, {0, false, false}});
  const std::atomic<bool> stop{false};
  const RunResult result = run(deck, output, {.packets = 100}, stop);
  EXPECT_TRUE(result.status.ok());
  EXPECT_EQ(result.refused, 1u);
  EXPECT_EQ(result.waits, 1u);
  EXPECT_EQ(sum(result.times), 100u);
  for (size_t i = 0; i < 100; ++i) EXPECT_EQ(result.times[i], 1u) << i;
}

TEST(Run, StopEndsIt) {
  const Deck deck = small_deck();
  FakeOutput output({});
  const std::atomic<bool> stop{true};
  EXPECT_EQ(sum(run(deck, output, {.packets = 100}, stop).times), 0u);
}

TEST(Run, KeepsTheScheduleAndReportsWhatItCouldNotSend) {
  const Deck deck = small_deck();
  FakeOutput fast({});
  const std::atomic<bool> stop{false};
  const RunResult kept = run(deck, fast, {.rate = 10000, .seconds = 0.1}, stop);
  EXPECT_EQ(sum(kept.times) + kept.unsent, 1000u);
  FakeOutput deaf(std::vector<SendResult>(100'000'000 / 1000, {0, true, false}));
  const RunResult late = run(deck, deaf, {.rate = 1000, .seconds = 0.01}, stop);
  EXPECT_EQ(sum(late.times) + late.unsent, 10u);
}

TEST(Run, SendersTogetherSendWhatOneWould) {
  const Deck deck = small_deck();
  FakeOutput one({}), first({}), second({}), third({});
  const std::atomic<bool> stop{false};
  const RunResult alone = run(deck, one, {.packets = deck.size() + 7}, stop);
  Output* const three[] = {&first, &second, &third};
  EXPECT_EQ(run(deck, three, {.packets = deck.size() + 7}, stop).times, alone.times);
}

TEST(Run, RampsAndLinesFollowTheSchedule) {
  const Deck deck = *Deck::make({.contexts = 100});
  FakeOutput output({});
  const std::atomic<bool> stop{false};
  const RunOptions ramp{.rate = {0, 20000}, .in_lines = true, .seconds = 0.1};
  const RunResult result = run(deck, output, ramp, stop);
  const uint64_t lines = deck.tally(result.times).lines;
  EXPECT_GE(lines + result.unsent, 1000u);
  EXPECT_LT(lines + result.unsent, 1030u);  // a packet is due with its first line
}

// Reads datagrams until `expected` came or 5 s passed.
std::vector<std::string> receive(int fd, size_t expected) {
  std::vector<std::string> out;
  std::string buffer(65536, '\0');
  pollfd p{fd, POLLIN, 0};
  while (out.size() < expected && ::poll(&p, 1, 5000) == 1) {
    const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (n < 0) break;
    out.emplace_back(buffer.data(), n);
  }
  return out;
}

void expect_deck_in_order(const Deck& deck, const std::vector<std::string>& got, size_t count) {
  ASSERT_EQ(got.size(), count);
  for (size_t i = 0; i < count; ++i) EXPECT_EQ(got[i], deck.packet(i % deck.size())) << i;
}

TEST(Run, UdpArrives) {
  Fd fd(::socket(AF_INET, SOCK_DGRAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  auto output = open_udp("127.0.0.1:" + std::to_string(ntohs(address.sin_port)), 1);
  ASSERT_TRUE(output.ok()) << output.status();
  const Deck deck = small_deck();
  const std::atomic<bool> stop{false};
  EXPECT_EQ(sum(run(deck, **output, {.packets = 100}, stop).times), 100u);
  expect_deck_in_order(deck, receive(fd.get(), 100), 100);
}

TEST(Run, UdpToAClosedPortIsCounted) {
  auto output = open_udp("127.0.0.1:1", 1);
  ASSERT_TRUE(output.ok()) << output.status();
  const std::atomic<bool> stop{false};
  const RunResult result = run(small_deck(), **output, {.rate = 1000, .packets = 50}, stop);
  EXPECT_TRUE(result.status.ok());
  EXPECT_GT(result.refused, 0u);
  EXPECT_EQ(sum(result.times), 50u);
}

class UdsReceiver {
 public:
  UdsReceiver() : path_(testing::TempDir() + "pktgen_" + std::to_string(::getpid()) + ".sock") {
    ::unlink(path_.c_str());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
    fd_.reset(::socket(AF_UNIX, SOCK_DGRAM, 0));
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~UdsReceiver() { ::unlink(path_.c_str()); }
  std::string path_;
  Fd fd_;
};

TEST(Run, UdsWaitsForASlowReceiverAndLosesNothing) {
  UdsReceiver receiver;
  auto output = open_uds(receiver.path_, 1);
  ASSERT_TRUE(output.ok()) << output.status();
  const Deck deck = small_deck();
  const std::atomic<bool> stop{false};
  RunResult result;
  std::thread sender([&] { result = run(deck, **output, {.packets = 5000}, stop); });
  const auto got = receive(receiver.fd_.get(), 5000);
  sender.join();
  expect_deck_in_order(deck, got, 5000);
  EXPECT_EQ(sum(result.times), 5000u);
  EXPECT_GT(result.waits, 0u);
}

TEST(Run, UdsReceiverThatGoesAwayIsAnError) {
  UdsReceiver receiver;
  auto output = open_uds(receiver.path_, 1);
  ASSERT_TRUE(output.ok());
  receiver.fd_.reset();
  const std::atomic<bool> stop{false};
  const RunResult result = run(small_deck(), **output, {.packets = 10}, stop);
  EXPECT_NE(result.status.ToString().find("closed the socket"), std::string::npos) << result.status;
}

TEST(Open, ErrorsNameTheTarget) {
  EXPECT_NE(open_udp("nocolon", 1).status().ToString().find("nocolon"), std::string::npos);
  EXPECT_NE(open_udp("127.0.0.1:", 1).status().ToString().find("HOST:PORT"), std::string::npos);
  EXPECT_NE(open_uds("/nonexistent/s", 1).status().ToString().find("/nonexistent/s"),
            std::string::npos);
  EXPECT_FALSE(open_uds(std::string(200, 'x'), 1).ok());
}

TEST(Report, HoldsTheTally) {
  const Deck deck = small_deck();
  RunResult result;
  result.times.assign(deck.size(), 2);
  result.unsent = 7;
  const auto json = nlohmann::json::parse(report_json(deck, result));
  const Tally tally = deck.tally(result.times);
  EXPECT_EQ(json["packets"], tally.packets);
  EXPECT_EQ(json["unsent"], 7);
  EXPECT_EQ(json["samples"]["c"], tally.samples[0]);
  EXPECT_EQ(json["counters"].get<decltype(tally.counters)>(), tally.counters);
}

}  // namespace
}  // namespace penstock::pktgen

#include "dataplane/nic/rx_loop.h"

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "dataplane/core/clock.h"
#include "tests/unit/nic/rx_loop_fixture.h"
#include "tests/unit/parsers/packet_pieces.h"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using namespace penstock::testing;

constexpr uint64_t kGoodSums = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;

struct FateCase {
  const char* name;
  Counter SourceStats::*counter;  // where the frame has to end
  Bytes frame;
  uint64_t flags = 0;
};

std::vector<FateCase> fate_cases() {
  using S = SourceStats;
  const auto udp6 = [] { return Pkt().ip6("fd00::2", "fd00::1").udp(40000, 8125).text("a:1|c"); };
  const std::string full(1000, 'x');
  return {
      {"IPv4", &S::dispatched, metric().build()},
      {"IPv6", &S::dispatched, udp6().build()},
      {"one VLAN tag", &S::dispatched, metric().vlan(7).build()},
      {"two VLAN tags", &S::dispatched, metric().vlan(7, 0x88a8).vlan(8).build()},
      {"IPv4 options", &S::dispatched, metric().options({1, 1, 1, 0}).build()},
      {"no UDP checksum, IPv4", &S::dispatched, metric().no_udp_sum().build()},
      {"Ethernet padding", &S::dispatched, metric().pad(20).build()},
      {"empty datagram", &S::dispatched, Pkt().ip4("10.0.0.2", "10.0.0.1").udp(1, 8125).build()},
      {"exactly the buffer size", &S::dispatched,
       Pkt().ip4("10.0.0.2", "10.0.0.1").udp(1, 8125).text(full).build()},
      {"one byte more", &S::truncated,
       Pkt().ip4("10.0.0.2", "10.0.0.1").udp(1, 8125).text(full + "x").build()},
      {"another port", &S::not_ours,
       Pkt().ip4("10.0.0.2", "10.0.0.1").udp(1, 8126).text("a:1|c").build()},
      {"our port as the source", &S::not_ours,
       Pkt().ip4("10.0.0.2", "10.0.0.1").udp(8125, 53).text("a:1|c").build()},
      {"another address", &S::not_ours,
       Pkt().ip4("10.0.0.2", "10.0.0.9").udp(1, 8125).text("a:1|c").build()},
      {"another IPv6 address", &S::not_ours,
       Pkt().ip6("fd00::2", "fd00::9").udp(1, 8125).text("a:1|c").build()},
      {"TCP", &S::not_ours, Pkt().ip4("10.0.0.2", "10.0.0.1").protocol(6).build()},
      {"unknown EtherType", &S::not_ours, Pkt().ether_type(0x88cc).build()},
      {"ARP for somebody else", &S::not_ours,
       Pkt()
           .eth(kClient, "ff:ff:ff:ff:ff:ff")
           .arp(1, kClient, "10.0.0.2", "00:00:00:00:00:00", "10.0.0.9")
           .build()},
      {"fragment of something", &S::malformed_fragment, metric().fragment(0, true).build()},
      {"short frame", &S::malformed_ethernet, metric().truncate(13).build()},
      {"IPv4 header too short", &S::malformed_ipv4, metric().ihl(4).build()},
      {"IPv4 length outside", &S::malformed_ipv4, metric().ip_length(900).build()},
      {"IPv6 length outside", &S::malformed_ipv6, udp6().ip_length(900).build()},
      {"UDP length outside", &S::malformed_udp, metric().udp_length(900).build()},
      {"IPv4 header checksum", &S::malformed_checksum, metric().bad_ip_sum().build()},
      {"UDP checksum", &S::malformed_checksum, metric().bad_l4_sum().build()},
      {"no UDP checksum, IPv6", &S::malformed_checksum, udp6().no_udp_sum().build()},
      {"NIC says good", &S::dispatched, metric().bad_ip_sum().bad_l4_sum().build(), kGoodSums},
      {"NIC says intact", &S::dispatched, metric().bad_ip_sum().bad_l4_sum().build(),
       RTE_MBUF_F_RX_IP_CKSUM_NONE | RTE_MBUF_F_RX_L4_CKSUM_NONE},
      {"NIC says header bad", &S::malformed_checksum, metric().build(),
       RTE_MBUF_F_RX_IP_CKSUM_BAD | RTE_MBUF_F_RX_L4_CKSUM_GOOD},
      {"NIC says UDP bad", &S::malformed_checksum, metric().build(),
       RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_BAD},
      {"NIC knows the header only", &S::malformed_checksum, metric().bad_l4_sum().build(),
       RTE_MBUF_F_RX_IP_CKSUM_GOOD},
  };
}

TEST_F(RxLoopTest, EveryFrameEndsInOneCounter) {
  start(Wiring::kInline, 1);
  auto loop = inline_loop();
  uint64_t received = 0;
  for (const FateCase& c : fate_cases()) {
    const uint64_t before = (stats_->*c.counter).get();
    wire_->send(c.frame, c.flags);
    EXPECT_EQ(loop.pass(), 1u) << c.name;
    EXPECT_EQ((stats_->*c.counter).get(), before + 1) << c.name;
    EXPECT_EQ(stats_->received.get(), ++received) << c.name;
    EXPECT_EQ(unaccounted(*stats_), 0) << c.name;
  }
  EXPECT_EQ(shards_->packets(), stats_->dispatched.get());
  EXPECT_EQ(shards_->stats[0]->bytes.get(), stats_->received_bytes.get());
}

TEST_F(RxLoopTest, RefusesWhatASimdReadWouldLeave) {
  start(Wiring::kInline, 1);
  auto loop = inline_loop();
  const Bytes whole = metric().build();
  wire_->send_chained(Bytes(whole.begin(), whole.begin() + 40),
                      Bytes(whole.begin() + 40, whole.end()));
  wire_->send(metric().pad(2048 - whole.size() - 63).build());  // 63 bytes of tailroom
  wire_->send(metric().pad(2048 - whole.size() - 64).build());
  EXPECT_EQ(loop.pass(), 3u);
  EXPECT_EQ(stats_->malformed_ethernet.get(), 2u);
  EXPECT_EQ(stats_->dispatched.get(), 1u);
}

TEST_F(RxLoopTest, NoAddressesMeansAny) {
  start(Wiring::kInline, 1, [](Plan& p) { p.ports[0].address_count = 0; });
  auto loop = inline_loop();
  wire_->send(Pkt().ip4("10.0.0.2", "10.9.9.9").udp(1, 8125).text("a:1|c").build());
  loop.pass();
  EXPECT_EQ(stats_->dispatched.get(), 1u);
}

TEST_F(RxLoopTest, SeveralPortsAndAddresses) {
  start(Wiring::kInline, 1, [](Plan& p) {
    PortPlan& port = p.ports[0];
    port.udp_ports[port.udp_port_count++] = 9125;
    port.addresses[port.address_count++] = {.bytes = {10, 0, 0, 3}, .family = 4};
  });
  auto loop = inline_loop();
  const auto ours = [&](const std::string& address, uint16_t port) {
    const uint64_t before = stats_->dispatched.get();
    const std::string from = address.find(':') == std::string::npos ? "10.0.0.2" : "fd00::2";
    Pkt packet;
    if (from == "10.0.0.2") {
      packet.ip4(from, address);
    } else {
      packet.ip6(from, address);
    }
    wire_->send(packet.udp(40000, port).text("a:1|c").build());
    loop.pass();
    return stats_->dispatched.get() == before + 1;
  };
  for (const char* address : {"10.0.0.1", "10.0.0.3", "fd00::1"}) {
    EXPECT_TRUE(ours(address, 8125)) << address;
    EXPECT_TRUE(ours(address, 9125)) << address;
    EXPECT_FALSE(ours(address, 8126)) << address;
  }
  EXPECT_FALSE(ours("10.0.0.4", 8125));
  EXPECT_FALSE(ours("fd00::3", 9125));
  EXPECT_EQ(stats_->not_ours.get(), 5u);
}

TEST_F(RxLoopTest, TakesBurstsUntilTheNicIsEmpty) {
  start(Wiring::kInline, 1);
  auto loop = inline_loop();
  for (int i = 0; i < 500; ++i) wire_->send(metric().build());
  size_t handled = 0;
  while (const size_t n = loop.pass()) {
    EXPECT_LE(n, kRxBurst);
    handled += n;
  }
  EXPECT_EQ(handled, 500u);
  EXPECT_EQ(shards_->packets(), 500u);
  EXPECT_EQ(stats_->received_bytes.get(), 2500u);
}

TEST_F(RxLoopTest, AnswersArpNeighbourSolicitationAndEcho) {
  start(Wiring::kInline, 1);
  auto loop = inline_loop();
  const std::string us = our_mac();
  wire_->send(Pkt()
                  .eth(kClient, "ff:ff:ff:ff:ff:ff")
                  .arp(1, kClient, "10.0.0.2", "00:00:00:00:00:00", "10.0.0.1")
                  .build());
  wire_->send(Pkt()
                  .eth(kClient, "33:33:ff:00:00:01")
                  .ip6("fd00::2", "ff02::1:ff00:1")
                  .solicit("fd00::1", {1, 1, 2, 0, 0, 0, 0, 10})
                  .build());
  wire_->send(Pkt()
                  .eth(kClient, us)
                  .ip4("10.0.0.2", "10.0.0.1")
                  .icmp(8, 0, {0, 1, 0, 1, 'h', 'i'})
                  .build());
  wire_->send(Pkt()
                  .eth(kClient, us)
                  .ip6("fd00::2", "fd00::1")
                  .icmp(128, 0, {0, 1, 0, 1, 'h', 'i'})
                  .build());
  EXPECT_EQ(loop.pass(), 4u);
  const std::vector<Bytes> sent = wire_->sent();
  ASSERT_EQ(sent.size(), 4u);
  for (const Bytes& reply : sent) {
    EXPECT_EQ(Bytes(reply.begin(), reply.begin() + 6), mac(kClient));
    EXPECT_EQ(Bytes(reply.begin() + 6, reply.begin() + 12), mac(us));
  }
  EXPECT_EQ(sent[0][21], 2);    // ARP reply
  EXPECT_EQ(sent[1][54], 136);  // neighbour advertisement
  EXPECT_EQ(sent[2][34], 0);    // echo replies
  EXPECT_EQ(sent[3][54], 129);
  EXPECT_EQ(stats_->replies.get(), 4u);
  EXPECT_EQ(stats_->not_ours.get(), 4u);
}

TEST_F(RxLoopTest, LimitsTheRateOfReplies) {
  start(Wiring::kInline, 1);
  auto loop = inline_loop();
  const Bytes request = Pkt()
                            .eth(kClient, "ff:ff:ff:ff:ff:ff")
                            .arp(1, kClient, "10.0.0.2", "00:00:00:00:00:00", "10.0.0.1")
                            .build();
  const int64_t started = read_clock().unix_ms;
  constexpr uint64_t kAsked = 1000;
  for (uint64_t i = 0; i < kAsked; ++i) wire_->send(request);
  while (loop.pass() != 0) {
  }
  const int64_t elapsed = read_clock().unix_ms - started + 1;
  const uint64_t most =
      ReplySender::kRepliesBurst + elapsed * ReplySender::kRepliesPerSecond / 1000;
  const uint64_t replies = wire_->sent().size();
  EXPECT_EQ(stats_->replies.get(), replies);
  EXPECT_EQ(stats_->replies.get() + stats_->replies_limited.get(), kAsked);
  EXPECT_GE(replies, static_cast<uint64_t>(ReplySender::kRepliesBurst));
  EXPECT_LE(replies, most);
}

TEST_F(RxLoopTest, AnnouncesItsAddressesWhenTheLinkComesUp) {
  start(Wiring::kInline, 1);
  auto loop = inline_loop();
  loop.pass();
  EXPECT_TRUE(wire_->sent().empty());
  EXPECT_TRUE(port_->watch_link());
  loop.pass();
  loop.pass();
  const std::vector<Bytes> sent = wire_->sent();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(Bytes(sent[0].begin(), sent[0].begin() + 6), mac("ff:ff:ff:ff:ff:ff"));
  EXPECT_EQ(Bytes(sent[1].begin(), sent[1].begin() + 6), mac("33:33:00:00:00:01"));
  EXPECT_EQ(stats_->replies.get(), 2u);
  EXPECT_TRUE(port_->watch_link());  // and not again, as it stayed up
  loop.pass();
  EXPECT_TRUE(wire_->sent().empty());
}

TEST_F(RxLoopTest, AnnouncesTwiceAndForEachLinkUp) {
  start(Wiring::kInline, 1);
  std::atomic<uint32_t> link_ups{0};
  RxQueue q = queue();
  q.link_ups = &link_ups;
  ReplySender sender(q);
  const auto announced = [&](int64_t now_ms) {
    Tally tally;
    while (sender.announcement_due(now_ms)) sender.announce(now_ms, tally);
    return wire_->sent().size();
  };
  EXPECT_EQ(announced(10'000), 0u);
  ++link_ups;
  EXPECT_EQ(announced(10'000), 2u);
  EXPECT_EQ(announced(11'999), 0u);
  EXPECT_EQ(announced(12'000), 2u);
  EXPECT_EQ(announced(99'000), 0u);
  ++link_ups;
  EXPECT_EQ(announced(99'000), 2u);
  EXPECT_EQ(announced(50'000), 2u);  // the clock was set back
  EXPECT_EQ(announced(98'000), 0u);
  q.link_ups = nullptr;
  EXPECT_FALSE(ReplySender(q).announcement_due(0));
}

TEST_F(RxLoopTest, EachQueueIsALoopOfItsOwn) {
  start(Wiring::kPipeline, 1, [](Plan& p) { p.ports[0].queues = 2; });
  EXPECT_NE(port_->text().find("2 queues"), std::string::npos) << port_->text();
  // net_ring has no flow rules, and says so.
  EXPECT_NE(port_->text().find("found by software (flow rules: "), std::string::npos)
      << port_->text();
  EXPECT_NE(port_->pool(0), port_->pool(1));
  auto first = pipeline_loop();
  PacketRing* const to_first = rings_[0];
  PacketRing& to_second = shards_->pointers[0]->add_ring(64);
  const PipelineSink::Target target{shards_->pointers[0], &to_second};
  SourceStats& second_stats = builder_->add_source(StatsBlock::kRxQueue, "wire0/1");
  RxQueue q = queue(1);
  q.stats = &second_stats;
  RxLoop<PipelineSink> second(q, IdleMode::kBusy, PipelineSink({&target, 1}, false));
  for (int i = 0; i < 3; ++i) wire_->send(metric().build(), 0, 0, 1);
  wire_->send(metric().build());
  wire_->send(Pkt()
                  .eth(kClient, "ff:ff:ff:ff:ff:ff")
                  .arp(1, kClient, "10.0.0.2", "00:00:00:00:00:00", "10.0.0.1")
                  .build(),
              0, 0, 1);
  EXPECT_EQ(first.pass(), 1u);
  EXPECT_EQ(second.pass(), 4u);
  EXPECT_EQ(stats_->dispatched.get(), 1u);
  EXPECT_EQ(second_stats.dispatched.get(), 3u);
  EXPECT_EQ(wire_->sent(0).size(), 0u);
  EXPECT_EQ(wire_->sent(1).size(), 1u);  // each answers on its own transmit queue
  EXPECT_EQ(unaccounted(second_stats), 0);
  to_first->finish(to_first->peek(8).size());
  to_second.finish(to_second.peek(8).size());
  first.pass();
  second.pass();
}

TEST_F(RxLoopTest, SaysNothingWhereTheKernelAnswers) {
  start(Wiring::kInline, 1, [](Plan& p) { p.ports[0].responder = 0; });
  auto loop = inline_loop();
  wire_->send(Pkt()
                  .eth(kClient, "ff:ff:ff:ff:ff:ff")
                  .arp(1, kClient, "10.0.0.2", "00:00:00:00:00:00", "10.0.0.1")
                  .build());
  loop.pass();
  EXPECT_TRUE(wire_->sent().empty());
  EXPECT_EQ(stats_->not_ours.get(), 1u);
}

TEST_F(RxLoopTest, PipelineSpreadsFlowsAndKeepsEachOnOneShard) {
  start(Wiring::kPipeline, 4);
  auto loop = pipeline_loop();
  constexpr int kFlows = 32;
  for (int round = 0; round < 2; ++round) {
    for (uint16_t f = 0; f < kFlows; ++f) {
      wire_->send(
          Pkt().ip4("10.0.0.2", "10.0.0.1").udp(static_cast<uint16_t>(40000 + f), 8125).build());
    }
  }
  while (loop.pass() != 0) {
  }
  std::set<uint32_t> seen;
  size_t packets = 0;
  for (PacketRing* ring : rings_) {
    std::set<uint32_t> here;
    for (auto burst = ring->peek(64); !burst.empty(); burst = ring->peek(64)) {
      for (const Packet& p : burst) here.insert(p.flow);
      packets += burst.size();
      ring->finish(burst.size());
    }
    EXPECT_GE(here.size(), 2u);  // of 32 flows over 4 shards
    for (const uint32_t flow : here) EXPECT_TRUE(seen.insert(flow).second);
  }
  EXPECT_EQ(packets, 2u * kFlows);
  EXPECT_EQ(seen.size(), static_cast<size_t>(kFlows));
  loop.pass();  // reclaims
}

TEST_F(RxLoopTest, SpreadGivesABurstOfOneFlowToTheEmptiestShard) {
  start(Wiring::kPipeline, 3, [](Plan& p) { p.ports[0].spread = 1; });
  auto loop = pipeline_loop();
  const auto burst = [&] {
    for (size_t i = 0; i < kRxBurst; ++i) wire_->send(metric().build());
    loop.pass();
    std::vector<size_t> waiting;
    for (PacketRing* ring : rings_) waiting.push_back(ring->in_flight());
    return waiting;
  };
  EXPECT_EQ(burst(), (std::vector<size_t>{0, kRxBurst, 0}));
  EXPECT_EQ(burst(), (std::vector<size_t>{0, kRxBurst, kRxBurst}));
  EXPECT_EQ(burst(), (std::vector<size_t>{kRxBurst, kRxBurst, kRxBurst}));
  rings_[2]->finish(rings_[2]->peek(kRxBurst).size());
  EXPECT_EQ(burst(), (std::vector<size_t>{kRxBurst, kRxBurst, kRxBurst}));  // shard 2 again
  for (PacketRing* ring : rings_) ring->finish(ring->peek(kRxBurst).size());
  loop.pass();
}

TEST_F(RxLoopTest, PacketsOfABurstKeepTheirOrderInArrival) {
  start(Wiring::kPipeline, 1);
  auto loop = pipeline_loop();
  for (uint16_t i = 0; i < 3; ++i) wire_->send(metric(i).build());
  loop.pass();
  const auto burst = rings_[0]->peek(3);
  EXPECT_TRUE(came_after(burst[1].arrival, burst[0].arrival));
  EXPECT_TRUE(came_after(burst[2].arrival, burst[1].arrival));
  rings_[0]->finish(3);
  loop.pass();
}

TEST_F(RxLoopTest, PipelineUsesTheHashOfTheNic) {
  start(Wiring::kPipeline, 1);
  auto loop = pipeline_loop();
  wire_->send(metric(1).build(), RTE_MBUF_F_RX_RSS_HASH, 77);
  wire_->send(metric(2).build(), RTE_MBUF_F_RX_RSS_HASH, 77);
  loop.pass();
  const auto burst = rings_[0]->peek(2);
  ASSERT_EQ(burst.size(), 2u);
  EXPECT_EQ(burst[0].flow, remix(77));
  EXPECT_EQ(burst[1].flow, remix(77));
  rings_[0]->finish(2);
  loop.pass();
}

TEST_F(RxLoopTest, PipelineDropsTheNewestWhenARingIsFull) {
  start(Wiring::kPipeline, 1);
  auto loop = pipeline_loop();
  for (int i = 0; i < 100; ++i) wire_->send(metric().build());
  while (loop.pass() != 0) {
  }
  EXPECT_EQ(stats_->dispatched.get(), 64u);  // ring_slots
  EXPECT_EQ(stats_->ring_full.get(), 36u);
  EXPECT_EQ(stats_->received_bytes.get(), 64u * 5);
  EXPECT_EQ(wire_->buffers_out(), 64u);
  for (size_t left = 64; left != 0;) {
    const size_t n = rings_[0]->peek(64).size();
    rings_[0]->finish(n);
    left -= n;
  }
  loop.pass();
  EXPECT_EQ(wire_->buffers_out(), 0u);
  wire_->send(metric().build());
  loop.pass();
  EXPECT_EQ(stats_->dispatched.get(), 65u);
  rings_[0]->finish(rings_[0]->peek(1).size());
  loop.pass();
}

// Of an inline and a pipeline loop: what is not refused also goes to the forwarder, whether or not
// its shard has room, and a buffer is free when both are done with it.
class ForwardingRxLoopTest : public RxLoopTest {
 protected:
  void start_forwarding(Wiring wiring, uint32_t slots) {
    start(wiring, 1);
    forward_ = {&ring_.emplace(slots), sleeper_.get()};
  }
  size_t finish_forwarded() {
    size_t n = 0;
    for (auto burst = ring_->peek(64); !burst.empty(); burst = ring_->peek(64)) {
      n += burst.size();
      ring_->finish(burst.size());
    }
    return n;
  }
  std::optional<PacketRing> ring_;
  std::unique_ptr<Sleeper> sleeper_ = *Sleeper::create();
};

TEST_F(ForwardingRxLoopTest, InlineKeepsTheBufferForTheForwarder) {
  start_forwarding(Wiring::kInline, 64);
  auto loop = inline_loop();
  for (int i = 0; i < 3; ++i) wire_->send(metric().build());
  wire_->send(metric().bad_l4_sum().build());
  loop.pass();
  EXPECT_EQ(shards_->packets(), 3u);
  EXPECT_EQ(wire_->buffers_out(), 3u);
  const auto waiting = ring_->peek(64);
  ASSERT_EQ(waiting.size(), 3u);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(waiting[0].data), waiting[0].len), "a:1|c");
  ring_->finish(2);
  loop.pass();
  EXPECT_EQ(wire_->buffers_out(), 1u);
  ring_->finish(1);
  loop.pass();
  EXPECT_EQ(wire_->buffers_out(), 0u);
  EXPECT_EQ(stats_->forward_full.get(), 0u);
}

TEST_F(ForwardingRxLoopTest, AFullForwarderSlowsNoShard) {
  start_forwarding(Wiring::kInline, 64);
  auto loop = inline_loop();
  for (int i = 0; i < 200; ++i) wire_->send(metric().build());
  while (loop.pass() != 0) {
  }
  EXPECT_EQ(stats_->dispatched.get(), 200u);
  EXPECT_EQ(shards_->packets(), 200u);
  EXPECT_EQ(stats_->forward_full.get(), 200u - 64);
  EXPECT_EQ(finish_forwarded(), 64u);
  loop.pass();
}

// The buffers of joined datagrams are few, and joining needs its half.
TEST_F(ForwardingRxLoopTest, TheForwarderKeepsFewJoinedDatagrams) {
  start_forwarding(Wiring::kInline, 64);
  auto loop = inline_loop();
  const auto send_in_two = [&](uint16_t id) {
    for (const Bytes& piece : pieces(metric().build(), 8, id)) wire_->send(piece);
  };
  for (uint16_t id = 1; id <= 3; ++id) send_in_two(id);
  wire_->send(metric().build());
  while (loop.pass() != 0) {
  }
  EXPECT_EQ(stats_->dispatched.get(), 4u);
  EXPECT_EQ(stats_->forward_full.get(), 1u);
  EXPECT_EQ(finish_forwarded(), 3u);
  send_in_two(4);
  while (loop.pass() != 0) {
  }
  EXPECT_EQ(stats_->forward_full.get(), 1u);
  EXPECT_EQ(finish_forwarded(), 1u);
  loop.pass();
}

TEST_F(ForwardingRxLoopTest, PipelineFreesABufferWhenBothAreDone) {
  start_forwarding(Wiring::kPipeline, 64);
  auto loop = pipeline_loop();
  wire_->send(metric(1).build());
  wire_->send(metric(2).build());
  loop.pass();
  ring_->finish(ring_->peek(1).size());  // the forwarder is first with one
  loop.pass();
  EXPECT_EQ(wire_->buffers_out(), 2u);
  rings_[0]->finish(rings_[0]->peek(2).size());  // the shard with the other
  loop.pass();
  EXPECT_EQ(wire_->buffers_out(), 1u);
  EXPECT_EQ(finish_forwarded(), 1u);
  loop.pass();
  EXPECT_EQ(wire_->buffers_out(), 0u);
}

TEST_F(ForwardingRxLoopTest, WhatItsShardHasNoRoomForIsForwardedAllTheSame) {
  start_forwarding(Wiring::kPipeline, 128);
  auto loop = pipeline_loop();
  for (int i = 0; i < 100; ++i) wire_->send(metric().build());
  while (loop.pass() != 0) {
  }
  EXPECT_EQ(stats_->ring_full.get(), 36u);
  EXPECT_EQ(stats_->dispatched.get() + stats_->ring_full.get(), finish_forwarded());
  for (size_t left = 64; left != 0;) {
    const size_t n = rings_[0]->peek(64).size();
    rings_[0]->finish(n);
    left -= n;
  }
  loop.pass();
}

TEST_F(RxLoopTest, StopDrainsTheNicThenTheRings) {
  start(Wiring::kInline, 1);
  auto loop = inline_loop();
  PacketRing& io = shards_->pointers[0]->add_ring(64);
  std::atomic<bool> stop_receiving{true};
  std::atomic<bool> stop_shards{false};
  std::atomic<size_t> drained{0};
  for (int i = 0; i < 300; ++i) wire_->send(metric().build());
  std::thread thread([&] { loop.run({stop_receiving, stop_shards, drained}); });
  while (drained.load() == 0) std::this_thread::yield();
  EXPECT_EQ(stats_->dispatched.get(), 300u);
  static constexpr uint8_t kPadded[128] = {'b', ':', '1', '|', 'c'};
  const Packet p{.data = kPadded,
                 .owner = 1,
                 .origin = 0,
                 .flow = 0,
                 .arrival = 0,
                 .len = 5,
                 .source = Source::kUds,
                 .flags = 0};
  EXPECT_EQ(io.push({&p, 1}), 1u);
  shards_->pointers[0]->sleeper().wake();
  stop_shards = true;
  shards_->pointers[0]->sleeper().wake();
  thread.join();
  EXPECT_EQ(shards_->packets(), 301u);
}

TEST_F(RxLoopTest, UnterminatedTailIsDroppedWhereTheEndOfLineIsRequired) {
  start(Wiring::kInline, 1, [](Plan& plan) { plan.ports[0].eol_required = 1; });
  auto loop = inline_loop();
  wire_->send(Pkt().ip4("10.0.0.2", "10.0.0.1").udp(1, 8125).text("a:1|c\nb:1|c").build());
  loop.pass();
  EXPECT_EQ(shards_->stats[0]->rejected_unterminated.get(), 1u);
  EXPECT_EQ(shards_->stats[0]->lines_ok.get(), 1u);
}

TEST_F(RxLoopTest, StopOfAPortThatNeverRunsDryEnds) {
  start(Wiring::kInline, 1);
  RxQueue q = queue();
  q.in_nic_max = 100;
  RxLoop<InlineSink> loop(q, IdleMode::kBusy, InlineSink(*shards_->pointers[0]));
  std::atomic<bool> stop{true};
  std::atomic<size_t> drained{0};
  for (int i = 0; i < 300; ++i) wire_->send(metric().build());
  loop.run({stop, stop, drained});
  EXPECT_GE(stats_->received.get(), 100u);
  EXPECT_LT(stats_->received.get(), 100u + kRxBurst);
  while (loop.pass() != 0) {
  }
}

TEST_F(RxLoopTest, AdaptiveLoopStillHearsTheNicAndTheRings) {
  start(Wiring::kInline, 1);
  RxLoop<InlineSink> loop(queue(), IdleMode::kAdaptive, InlineSink(*shards_->pointers[0]));
  std::atomic<bool> stop_receiving{false};
  std::atomic<bool> stop_shards{false};
  std::atomic<size_t> drained{0};
  std::thread thread([&] { loop.run({stop_receiving, stop_shards, drained}); });
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  for (uint64_t i = 1; i <= 20; ++i) {
    wire_->send(metric().build());
    while (shards_->packets() != i && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::yield();
    }
    ASSERT_EQ(shards_->packets(), i);
  }
  stop_receiving = true;
  stop_shards = true;
  shards_->pointers[0]->sleeper().wake();
  thread.join();
}

}  // namespace
}  // namespace penstock

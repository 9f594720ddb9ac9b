#include "parsers/packet/reply.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "parsers/packet/decode.h"
#include "tests/unit/parsers/packet_builder.h"

namespace penstock::packet {
namespace {

using penstock::testing::Bytes;
using penstock::testing::Pkt;
using penstock::testing::to_array;

constexpr std::string_view kOurMac = "02:00:00:00:00:01";
constexpr std::string_view kPeerMac = "02:00:00:00:00:0a";
constexpr std::string_view kBroadcast = "ff:ff:ff:ff:ff:ff";
constexpr std::string_view kZeroMac = "00:00:00:00:00:00";
constexpr std::string_view kGroup = "33:33:ff:00:00:01";  // of fd00::1 and fe80::1
const Bytes kSourceOption = {1, 1, 2, 0, 0, 0, 0, 10};

class Us {
 public:
  [[nodiscard]] Responder get() const {
    return {to_array<6>(penstock::testing::mac(kOurMac)), ipv4_, ipv6_};
  }

 private:
  std::vector<std::array<uint8_t, 4>> ipv4_ = {to_array<4>(penstock::testing::ip("10.0.0.1")),
                                               to_array<4>(penstock::testing::ip("10.9.0.1"))};
  std::vector<std::array<uint8_t, 16>> ipv6_ = {to_array<16>(penstock::testing::ip("fd00::1")),
                                                to_array<16>(penstock::testing::ip("fe80::1"))};
};

Bytes reply(const Pkt& request, size_t room = 2048) {
  const Us us;
  Bytes frame = request.build();
  frame.shrink_to_fit();
  Bytes out(room);
  out.resize(make_reply(frame, us.get(), out));
  return out;
}

// The least Ethernet frame.
Bytes padded(Bytes frame) {
  if (frame.size() < kReplyBytesMin) frame.resize(kReplyBytesMin);
  return frame;
}

Pkt ask_arp(std::string_view dst, const std::string& sender, const std::string& target) {
  return Pkt().eth(kPeerMac, dst).arp(1, kPeerMac, sender, kZeroMac, target);
}
Pkt told_arp(const std::string& us, const std::string& them) {
  return Pkt().eth(kOurMac, kPeerMac).arp(2, kOurMac, us, kPeerMac, them);
}
Pkt ping4(const std::string& src = "10.0.0.2", const std::string& dst = "10.0.0.1") {
  return Pkt().eth(kPeerMac, kOurMac).ip4(src, dst).icmp(8, 0, {0x12, 0x34, 0, 7}).text("payload");
}
Pkt ping6(const std::string& src = "fd00::2", const std::string& dst = "fd00::1") {
  return Pkt()
      .eth(kPeerMac, kOurMac)
      .ip6(src, dst)
      .icmp(128, 0, {0x12, 0x34, 0, 7})
      .text("payload");
}
Pkt solicit(std::string_view dst_mac, const std::string& src, const std::string& dst,
            const std::string& target, const Bytes& options = kSourceOption) {
  return Pkt().eth(kPeerMac, dst_mac).ip6(src, dst).solicit(target, options);
}
Bytes solicitation(const std::string& target) {
  Bytes body(4);
  Pkt::append(body, penstock::testing::ip(target));
  return body;
}
Pkt advertise(std::string_view dst_mac, const std::string& src, const std::string& dst,
              uint8_t flags) {
  Bytes body = {flags, 0, 0, 0};
  Pkt::append(body, penstock::testing::ip(src));
  Pkt::append(body, {2, 1});
  Pkt::append(body, penstock::testing::mac(kOurMac));
  return Pkt().eth(kOurMac, dst_mac).ip6(src, dst).hop_limit(255).icmp(136, 0, body);
}

TEST(Reply, Arp) {
  EXPECT_EQ(reply(ask_arp(kBroadcast, "10.0.0.2", "10.0.0.1")),
            padded(told_arp("10.0.0.1", "10.0.0.2").build()));
  EXPECT_EQ(reply(ask_arp(kOurMac, "10.0.0.2", "10.9.0.1")),
            padded(told_arp("10.9.0.1", "10.0.0.2").build()))
      << "unicast, another address";
  EXPECT_EQ(reply(ask_arp(kBroadcast, "10.0.0.2", "10.0.0.1").vlan(5)),
            padded(told_arp("10.0.0.1", "10.0.0.2").vlan(5).build()))
      << "VLAN";
  EXPECT_EQ(reply(ask_arp(kBroadcast, "0.0.0.0", "10.0.0.1")),
            padded(told_arp("10.0.0.1", "0.0.0.0").build()))
      << "probe";
  EXPECT_EQ(reply(ask_arp(kBroadcast, "10.0.0.2", "10.0.0.1").pad(18)),
            padded(told_arp("10.0.0.1", "10.0.0.2").build()))
      << "padded request: its padding is not sent back";
}

// ping's reply keeps identifier, sequence and payload; the header is ours and may not be
// fragmented.
TEST(Reply, Echo4) {
  const auto pong = [] {
    return Pkt().eth(kOurMac, kPeerMac).ip4("10.0.0.1", "10.0.0.2").dont_fragment();
  };
  const Bytes id = {0x12, 0x34, 0, 7};
  EXPECT_EQ(reply(ping4()), padded(pong().icmp(0, 0, id).text("payload").build()));
  EXPECT_EQ(reply(ping4().vlan(9, 0x88a8).vlan(5)),
            padded(pong().vlan(9, 0x88a8).vlan(5).icmp(0, 0, id).text("payload").build()));
  EXPECT_EQ(reply(ping4().options(Bytes(8, 1)).pad(3)),
            padded(pong().icmp(0, 0, id).text("payload").build()))
      << "without options and padding";
  const std::string large(1465, 'z');
  EXPECT_EQ(reply(ping4().text(large)), pong().icmp(0, 0, id).text("payload" + large).build());
}

TEST(Reply, Echo6) {
  const auto pong = [] { return Pkt().eth(kOurMac, kPeerMac).ip6("fd00::1", "fd00::2"); };
  const Bytes id = {0x12, 0x34, 0, 7};
  EXPECT_EQ(reply(ping6()), pong().icmp(129, 0, id).text("payload").build());
  EXPECT_EQ(reply(ping6().vlan(5)), pong().vlan(5).icmp(129, 0, id).text("payload").build());
  EXPECT_EQ(reply(ping6().ext(60).pad(2)), pong().icmp(129, 0, id).text("payload").build())
      << "without extensions and padding";
}

TEST(Reply, Ndp) {
  EXPECT_EQ(reply(solicit(kGroup, "fd00::2", "ff02::1:ff00:1", "fd00::1")),
            advertise(kPeerMac, "fd00::1", "fd00::2", 0x60).build());
  EXPECT_EQ(reply(solicit(kGroup, "fe80::2", "ff02::1:ff00:1", "fe80::1")),
            advertise(kPeerMac, "fe80::1", "fe80::2", 0x60).build());
  EXPECT_EQ(reply(solicit(kOurMac, "fd00::2", "fd00::1", "fd00::1", {})),
            advertise(kPeerMac, "fd00::1", "fd00::2", 0x60).build())
      << "unicast, without options";
  EXPECT_EQ(reply(solicit(kGroup, "fd00::2", "ff02::1:ff00:1", "fd00::1").vlan(9).vlan(5)),
            advertise(kPeerMac, "fd00::1", "fd00::2", 0x60).vlan(9).vlan(5).build());
  EXPECT_EQ(reply(solicit(kGroup, "::", "ff02::1:ff00:1", "fd00::1", {})),
            advertise("33:33:00:00:00:01", "fd00::1", "ff02::1", 0x20).build())
      << "duplicate address detection goes to all nodes, unsolicited";
}

TEST(Reply, Nothing) {
  const struct {
    const char* what;
    Pkt request;
  } cases[] = {
      {"UDP", Pkt().eth(kPeerMac, kOurMac).ip4("10.0.0.2", "10.0.0.1").udp(1, 7).text("x")},
      {"nothing", Pkt().truncate(0)},
      {"ARP for another", ask_arp(kBroadcast, "10.0.0.2", "10.0.0.3")},
      {"ARP to another MAC", ask_arp("02:00:00:00:00:99", "10.0.0.2", "10.0.0.1")},
      {"ARP to a group", ask_arp("01:00:5e:00:00:01", "10.0.0.2", "10.0.0.1")},
      {"ARP reply", Pkt().eth(kPeerMac, kOurMac).arp(2, kPeerMac, "10.0.0.2", kOurMac, "10.0.0.1")},
      {"ARP cut", ask_arp(kBroadcast, "10.0.0.2", "10.0.0.1").truncate(41)},
      {"ARP of another hardware", ask_arp(kBroadcast, "10.0.0.2", "10.0.0.1").poke(15, 6)},
      {"ARP of another protocol", ask_arp(kBroadcast, "10.0.0.2", "10.0.0.1").poke(17, 6)},
      {"ARP with long MACs", ask_arp(kBroadcast, "10.0.0.2", "10.0.0.1").poke(18, 8)},
      {"ARP with long addresses", ask_arp(kBroadcast, "10.0.0.2", "10.0.0.1").poke(19, 16)},
      {"ARP for a third station", ask_arp(kBroadcast, "10.0.0.2", "10.0.0.1").poke(27, 99)},
      {"ARP from a group", Pkt()
                               .eth("03:00:00:00:00:0a", kBroadcast)
                               .arp(1, "03:00:00:00:00:0a", "10.0.0.2", kZeroMac, "10.0.0.1")},
      {"ARP from broadcast",
       Pkt().eth(kBroadcast, kBroadcast).arp(1, kBroadcast, "10.0.0.2", kZeroMac, "10.0.0.1")},
      {"ARP from nobody",
       Pkt().eth(kZeroMac, kBroadcast).arp(1, kZeroMac, "10.0.0.2", kZeroMac, "10.0.0.1")},
      {"our own ARP",
       Pkt().eth(kOurMac, kBroadcast).arp(1, kOurMac, "10.0.0.2", kZeroMac, "10.0.0.1")},
      {"ARP announcement of our address", ask_arp(kBroadcast, "10.0.0.1", "10.0.0.1")},
      {"ARP from a multicast address", ask_arp(kBroadcast, "224.0.0.1", "10.0.0.1")},
      {"ARP from 255.255.255.255", ask_arp(kBroadcast, "255.255.255.255", "10.0.0.1")},

      {"echo to another address", ping4("10.0.0.2", "10.0.0.3")},
      {"echo to broadcast", ping4("10.0.0.2", "255.255.255.255")},
      {"echo to multicast", ping4("10.0.0.2", "224.0.0.1")},
      {"echo to another MAC", ping4().eth(kPeerMac, "02:00:00:00:00:99")},
      {"echo in a broadcast frame", ping4().eth(kPeerMac, kBroadcast)},
      {"echo from a group MAC", ping4().eth("01:00:5e:00:00:01", kOurMac)},
      {"echo from our MAC", ping4().eth(kOurMac, kOurMac)},
      {"echo from broadcast", ping4("255.255.255.255", "10.0.0.1")},
      {"echo from multicast", ping4("224.0.0.1", "10.0.0.1")},
      {"echo from class E", ping4("240.0.0.1", "10.0.0.1")},
      {"echo from loopback", ping4("127.0.0.1", "10.0.0.1")},
      {"echo from nobody", ping4("0.0.0.0", "10.0.0.1")},
      {"echo from us", ping4("10.9.0.1", "10.0.0.1")},
      {"echo with a bad ICMP checksum", ping4().bad_l4_sum()},
      {"echo with a bad IPv4 checksum", ping4().bad_ip_sum()},
      {"echo with a code", ping4().icmp(8, 1, Bytes(4))},
      {"echo reply", ping4().icmp(0, 0, Bytes(4))},
      {"timestamp request", ping4().icmp(13, 0, Bytes(16))},
      {"echo, cut", ping4().truncate(44)},
      {"echo, too short", ping4().icmp(8, 0, Bytes(3))},
      {"echo, fragment", ping4().fragment(0, true)},

      {"echo6 to another address", ping6("fd00::2", "fd00::3")},
      {"echo6 to all nodes", ping6("fd00::2", "ff02::1").eth(kPeerMac, "33:33:00:00:00:01")},
      {"echo6 in a group frame", ping6().eth(kPeerMac, kGroup)},
      {"echo6 from multicast", ping6("ff02::2", "fd00::1")},
      {"echo6 from nobody", ping6("::", "fd00::1")},
      {"echo6 from loopback", ping6("::1", "fd00::1")},
      {"echo6 from us", ping6("fe80::1", "fd00::1")},
      {"echo6 with a bad checksum", ping6().bad_l4_sum()},
      {"echo6 with a code", ping6().icmp(128, 3, Bytes(4))},
      {"echo6 reply", ping6().icmp(129, 0, Bytes(4))},
      {"echo6, cut", ping6().truncate(64)},
      {"echo6, fragment", ping6().ext(44, {0, 1, 0, 0, 0, 1})},

      {"NS for another", solicit(kGroup, "fd00::2", "ff02::1:ff00:1", "fd00::9:1")},
      {"NS to another's group", solicit(kGroup, "fd00::2", "ff02::1:ff00:2", "fd00::1")},
      {"NS to all nodes", solicit("33:33:00:00:00:01", "fd00::2", "ff02::1", "fd00::1")},
      {"NS in another group's frame",
       solicit("33:33:ff:00:00:02", "fd00::2", "ff02::1:ff00:1", "fd00::1")},
      {"NS to another MAC", solicit("02:00:00:00:00:99", "fd00::2", "fd00::1", "fd00::1")},
      {"NS in a broadcast frame", solicit(kBroadcast, "fd00::2", "fd00::1", "fd00::1")},
      {"NS to another address", solicit(kOurMac, "fd00::2", "fd00::3", "fd00::1")},
      {"NS that a router passed on",
       solicit(kGroup, "fd00::2", "ff02::1:ff00:1", "fd00::1").hop_limit(254)},
      {"NS with a bad checksum",
       solicit(kGroup, "fd00::2", "ff02::1:ff00:1", "fd00::1").bad_l4_sum()},
      {"NS from multicast", solicit(kGroup, "ff02::2", "ff02::1:ff00:1", "fd00::1")},
      {"NS from us", solicit(kGroup, "fe80::1", "ff02::1:ff00:1", "fd00::1")},
      {"NS from our MAC",
       solicit(kGroup, "fd00::2", "ff02::1:ff00:1", "fd00::1").eth(kOurMac, kGroup)},
      {"NS with an option of length 0",
       solicit(kGroup, "fd00::2", "ff02::1:ff00:1", "fd00::1", {1, 0, 0, 0, 0, 0, 0, 0})},
      {"NS with half an option",
       solicit(kGroup, "fd00::2", "ff02::1:ff00:1", "fd00::1", {1, 1, 0, 0})},
      {"NS with an option too long",
       solicit(kGroup, "fd00::2", "ff02::1:ff00:1", "fd00::1", {1, 2, 0, 0, 0, 0, 0, 0})},
      {"probe with a source option", solicit(kGroup, "::", "ff02::1:ff00:1", "fd00::1")},
      {"unicast probe", solicit(kOurMac, "::", "fd00::1", "fd00::1", {})},
      {"neighbour advertisement",
       advertise(kOurMac, "fd00::2", "fd00::1", 0x60).eth(kPeerMac, kOurMac)},
      {"router solicitation", Pkt()
                                  .eth(kPeerMac, kOurMac)
                                  .ip6("fd00::2", "fd00::1")
                                  .hop_limit(255)
                                  .icmp(133, 0, Bytes(20))},
      {"NS, cut target", Pkt()
                             .eth(kPeerMac, kOurMac)
                             .ip6("fd00::2", "fd00::1")
                             .hop_limit(255)
                             .icmp(135, 0, Bytes(19))},
      {"NS with a code",
       solicit(kOurMac, "fd00::2", "fd00::1", "fd00::1", {}).icmp(135, 1, solicitation("fd00::1"))},
  };
  for (const auto& c : cases) EXPECT_EQ(reply(c.request), Bytes{}) << c.what;
}

TEST(Announcement, OfEachAddress) {
  const Us us;
  const auto announcement = [&](size_t address, size_t room = 2048) {
    Bytes out(room);
    out.resize(make_announcement(us.get(), address, out));
    return out;
  };
  const auto arp = [](const std::string& ip) {
    return padded(Pkt().eth(kOurMac, kBroadcast).arp(1, kOurMac, ip, kZeroMac, ip).build());
  };
  constexpr uint8_t kOverride = 0x20;
  EXPECT_EQ(announcement(0), arp("10.0.0.1"));
  EXPECT_EQ(announcement(1), arp("10.9.0.1"));
  EXPECT_EQ(announcement(2),
            advertise("33:33:00:00:00:01", "fd00::1", "ff02::1", kOverride).build());
  EXPECT_EQ(announcement(3),
            advertise("33:33:00:00:00:01", "fe80::1", "ff02::1", kOverride).build());
  EXPECT_EQ(announcement(4), Bytes());
  for (size_t room = 0; room < kReplyBytesMin; ++room) EXPECT_EQ(announcement(0, room), Bytes());
  EXPECT_EQ(announcement(2, 85), Bytes());
}

TEST(Reply, TakesNoMoreRoomThanThereIs) {
  const Pkt requests[] = {ask_arp(kBroadcast, "10.0.0.2", "10.0.0.1"), ping4().vlan(5), ping6(),
                          solicit(kGroup, "fd00::2", "ff02::1:ff00:1", "fd00::1").vlan(9).vlan(5)};
  for (const Pkt& request : requests) {
    const Bytes full = reply(request);
    ASSERT_FALSE(full.empty());
    EXPECT_LE(full.size(), std::max(request.build().size(), kReplyBytesMax));
    for (size_t room = 0; room < full.size(); ++room) ASSERT_TRUE(reply(request, room).empty());
    EXPECT_EQ(reply(request, full.size()), full);
  }
}

// Answers to answers would go round for ever.
TEST(Reply, NeverToAReply) {
  for (const Pkt& request : {ask_arp(kBroadcast, "10.0.0.2", "10.0.0.1"), ping4(), ping6(),
                             solicit(kGroup, "fd00::2", "ff02::1:ff00:1", "fd00::1")}) {
    const Responder peer = {to_array<6>(penstock::testing::mac(kPeerMac)), {}, {}};
    const Bytes first = reply(request);
    ASSERT_FALSE(first.empty());
    Bytes out(2048);
    EXPECT_EQ(make_reply(first, peer, out), 0U);
    EXPECT_EQ(make_reply(first, Us().get(), out), 0U);
  }
}

TEST(Responder, IsOurs) {
  const Us us;
  const auto ours = [&](const std::string& text) {
    const Bytes address = penstock::testing::ip(text);
    return is_ours(us.get(), address.size() == 4 ? 4 : 6, address.data());
  };
  EXPECT_TRUE(ours("10.0.0.1"));
  EXPECT_TRUE(ours("10.9.0.1"));
  EXPECT_FALSE(ours("10.0.0.2"));
  EXPECT_TRUE(ours("fd00::1"));
  EXPECT_FALSE(ours("fd00::2"));
  EXPECT_FALSE(ours("::ffff:10.0.0.1"));
}

}  // namespace
}  // namespace penstock::packet

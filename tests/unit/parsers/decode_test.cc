#include "parsers/packet/decode.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>

#include "parsers/packet/checksum.h"
#include "tests/unit/parsers/packet_builder.h"

namespace penstock::packet {
namespace {

using penstock::testing::Bytes;
using penstock::testing::Pkt;

constexpr ChecksumCheck kTrustAll = {.ip = Check::kTrust, .l4 = Check::kTrust};
constexpr const char* kNames[] = {"udp",     "not-ours",     "arp",     "ndp",
                                  "echo",    "bad-ethernet", "bad-ip4", "bad-ip6",
                                  "bad-udp", "bad-sum",      "fragment"};
static_assert(std::size(kNames) == kVerdicts);

// From a buffer of exactly the frame's size, so that AddressSanitizer sees a read past its end.
struct Result {
  Bytes frame;
  Decoded decoded;
  std::string verdict;
};
Result decoded(Bytes bytes, ChecksumCheck check = {}) {
  bytes.shrink_to_fit();
  Result out{std::move(bytes), {}, {}};
  out.verdict = kNames[static_cast<size_t>(decode(out.frame, check, out.decoded))];
  return out;
}
std::string verdict(const Pkt& packet, ChecksumCheck check = {}) {
  return decoded(packet.build(), check).verdict;
}

Pkt udp4() { return Pkt().ip4("10.0.0.2", "10.0.0.1").udp(40000, 8125).text("a:1|c"); }
Pkt udp6() { return Pkt().ip6("fd00::2", "fd00::1").udp(40000, 8125).text("a:1|c"); }
Pkt ip4() { return Pkt().ip4("10.0.0.2", "10.0.0.1"); }
Pkt ip6() { return Pkt().ip6("fd00::2", "fd00::1"); }

void expect_udp(const Pkt& packet, std::string_view payload, size_t l3_offset, size_t l4_offset,
                const char* what) {
  const Result r = decoded(packet.build());
  ASSERT_EQ(r.verdict, "udp") << what;
  const std::string_view got(reinterpret_cast<const char*>(r.decoded.payload),
                             r.decoded.payload_len);
  EXPECT_EQ(got, payload) << what;
  EXPECT_EQ(r.decoded.src_port, 40000) << what;
  EXPECT_EQ(r.decoded.dst_port, 8125) << what;
  EXPECT_EQ(r.decoded.l3_offset, l3_offset) << what;
  EXPECT_EQ(r.decoded.l4_offset, l4_offset) << what;
  EXPECT_EQ(r.decoded.src_ip, r.frame.data() + l3_offset + (r.decoded.ip_version == 4 ? 12 : 8));
  EXPECT_EQ(r.decoded.dst_ip, r.frame.data() + l3_offset + (r.decoded.ip_version == 4 ? 16 : 24));
}

TEST(Decode, Udp) {
  expect_udp(udp4(), "a:1|c", 14, 34, "IPv4");
  expect_udp(udp6(), "a:1|c", 14, 54, "IPv6");
  expect_udp(udp4().vlan(5), "a:1|c", 18, 38, "one tag");
  expect_udp(udp4().vlan(7, 0x88a8).vlan(5), "a:1|c", 22, 42, "802.1ad, two tags");
  expect_udp(udp6().vlan(7, 0x9100).vlan(5), "a:1|c", 22, 62, "old QinQ, IPv6");
  expect_udp(udp4().options(Bytes(4, 1)), "a:1|c", 14, 38, "IPv4 options");
  expect_udp(udp4().options(Bytes(40, 1)), "a:1|c", 14, 74, "longest IPv4 header");
  expect_udp(udp4().dont_fragment(), "a:1|c", 14, 34, "DF");
  expect_udp(udp4().no_udp_sum(), "a:1|c", 14, 34, "IPv4 without UDP checksum");
  expect_udp(udp4().pad(13), "a:1|c", 14, 34, "Ethernet padding");
  expect_udp(udp6().pad(1), "a:1|c", 14, 54, "Ethernet padding, IPv6");
  expect_udp(udp4().text("xyz").udp_length(13), "a:1|c", 14, 34, "padding after UDP");
  expect_udp(udp6().text("xyz").udp_length(13), "a:1|c", 14, 54, "padding after UDP, IPv6");
  expect_udp(ip4().udp(40000, 8125), "", 14, 34, "empty");
  expect_udp(udp4().text("d"), "a:1|cd", 14, 34, "even length");
  expect_udp(udp6().ext(0), "a:1|c", 14, 62, "hop-by-hop");
  expect_udp(udp6().ext(60, Bytes(14)), "a:1|c", 14, 70, "destination options");
  expect_udp(udp6().ext(43, Bytes(6)), "a:1|c", 14, 62, "routing, arrived");
  expect_udp(udp6().ext(51, Bytes(10), 1), "a:1|c", 14, 66, "authentication counts in 4 bytes");
  expect_udp(udp6().ext(44, Bytes(6)), "a:1|c", 14, 62, "atomic fragment");
  expect_udp(udp6().ext(0).ext(60).ext(43).ext(44).ext(60).ext(60).ext(60).ext(60), "a:1|c", 14,
             118, "as many extensions as we walk");
}

TEST(Decode, ChecksumOfZeroIsSentAsOnes) {
  // Search the payload that makes the sum 0xffff: its complement, 0, is transmitted as 0xffff.
  for (int i = 0; i < 0x10000; ++i) {
    Pkt packet = ip4().udp(1, 2);
    packet.text(std::string{static_cast<char>(i >> 8), static_cast<char>(i)});
    const Bytes frame = packet.build();
    if (frame[40] != 0xff || frame[41] != 0xff) continue;
    EXPECT_EQ(decoded(frame).verdict, "udp");
    return;
  }
  FAIL() << "no such payload";
}

TEST(Decode, LargestDatagram) {
  const std::string payload(65507, 'x');
  expect_udp(ip4().udp(40000, 8125).text(payload), payload, 14, 34, "IPv4");
  expect_udp(ip6().udp(40000, 8125).text(payload + std::string(20, 'y')),
             payload + std::string(20, 'y'), 14, 54, "IPv6");
}

TEST(Decode, Malformed) {
  const struct {
    const char* what;
    Pkt packet;
    const char* expected;
  } cases[] = {
      {"no byte", udp4().truncate(0), "bad-ethernet"},
      {"short Ethernet", udp4().truncate(13), "bad-ethernet"},
      {"Ethernet only", udp4().truncate(14), "bad-ip4"},
      {"cut VLAN tag", udp4().vlan(5).truncate(17), "bad-ethernet"},
      {"cut second tag", udp4().vlan(5).vlan(6).truncate(21), "bad-ethernet"},
      {"tag and nothing", udp4().vlan(5).truncate(18), "bad-ip4"},
      {"three tags", udp4().vlan(5).vlan(6).vlan(7), "not-ours"},
      {"short IPv4", udp4().truncate(33), "bad-ip4"},
      {"version 5", udp4().ip_version(5), "bad-ip4"},
      {"version 6 as IPv4", udp4().ip_version(6), "bad-ip4"},
      {"header of 16", udp4().ihl(4), "bad-ip4"},
      {"header of 0", udp4().ihl(0), "bad-ip4"},
      {"header beyond packet", ip4().protocol(17).ihl(15), "bad-ip4"},
      {"total below header", udp4().ip_length(19), "bad-ip4"},
      {"total of 0", udp4().ip_length(0), "bad-ip4"},
      {"total beyond frame", udp4().ip_length(34), "bad-ip4"},
      {"total of 65535", udp4().ip_length(65535), "bad-ip4"},
      {"cut by one", udp4().truncate(46), "bad-ip4"},
      {"options cut by total", udp4().options(Bytes(8, 1)).ip_length(24), "bad-ip4"},
      {"IPv4 checksum", udp4().bad_ip_sum(), "bad-sum"},
      {"IPv4 checksum, options", udp4().options(Bytes(8, 1)).bad_ip_sum(), "bad-sum"},
      {"changed address", udp4().poke(29, 9), "bad-sum"},
      {"first fragment", udp4().fragment(0, true), "fragment"},
      {"middle fragment", udp4().fragment(185, true), "fragment"},
      {"last fragment", udp4().fragment(185, false), "fragment"},
      {"last possible fragment", udp4().fragment(0x1fff, false), "fragment"},
      {"fragment, bad checksum", udp4().fragment(185, false).bad_ip_sum(), "bad-sum"},
      {"no room for UDP", ip4().protocol(17).text("1234567"), "bad-udp"},
      {"no UDP at all", ip4().protocol(17), "bad-udp"},
      {"UDP only in padding", ip4().protocol(17).pad(20), "bad-udp"},
      {"UDP length 7", udp4().udp_length(7), "bad-udp"},
      {"UDP length 0", udp4().udp_length(0), "bad-udp"},
      {"UDP length too long", udp4().udp_length(14), "bad-udp"},
      {"UDP length into padding", udp4().udp_length(14).pad(10), "bad-udp"},
      {"UDP length 65535", udp4().udp_length(65535), "bad-udp"},
      {"UDP checksum", udp4().bad_l4_sum(), "bad-sum"},
      {"changed payload", udp4().poke(46, 'g'), "bad-sum"},
      {"changed port", udp4().poke(37, 0), "bad-sum"},
      {"checksum over short UDP", udp4().text("xyz").udp_length(13).bad_l4_sum(), "bad-sum"},
      {"short IPv6", udp6().truncate(53), "bad-ip6"},
      {"version 4 as IPv6", udp6().ip_version(4), "bad-ip6"},
      {"payload beyond frame", udp6().ip_length(14), "bad-ip6"},
      {"IPv6 cut by one", udp6().truncate(66), "bad-ip6"},
      {"payload of 0, jumbo or not", udp6().ip_length(0), "bad-udp"},
      {"IPv6 payload below UDP", udp6().ip_length(7), "bad-udp"},
      {"IPv6 UDP length 7", udp6().udp_length(7), "bad-udp"},
      {"IPv6 UDP length too long", udp6().udp_length(14).pad(4), "bad-udp"},
      {"IPv6 without UDP checksum", udp6().no_udp_sum(), "bad-sum"},
      {"IPv6 UDP checksum", udp6().bad_l4_sum(), "bad-sum"},
      {"IPv6 changed address", udp6().poke(37, 9), "bad-sum"},
      {"extension cut", ip6().ext(60).protocol(17).ip_length(7), "bad-ip6"},
      {"extension beyond packet", udp6().ext(60, Bytes(6), 200), "bad-ip6"},
      {"extension into padding", ip6().ext(60, Bytes(6), 1).protocol(17).pad(64), "bad-ip6"},
      {"hop-by-hop not first", udp6().ext(60).ext(0), "bad-ip6"},
      {"too many extensions",
       udp6().ext(60).ext(60).ext(60).ext(60).ext(60).ext(60).ext(60).ext(60).ext(60), "bad-ip6"},
      {"authentication beyond packet", udp6().ext(51, Bytes(10), 255), "bad-ip6"},
      {"IPv6 first fragment", udp6().ext(44, {0, 1, 0, 0, 0, 1}), "fragment"},
      {"IPv6 last fragment", udp6().ext(44, {0, 8, 0, 0, 0, 1}), "fragment"},
      {"IPv6 fragment of 1", ip6().ext(44, {0, 8, 0, 0, 0, 1}).protocol(17).text("x"), "fragment"},
      {"fragment header cut", ip6().ext(44).protocol(17).ip_length(7), "bad-ip6"},
  };
  for (const auto& c : cases) EXPECT_EQ(verdict(c.packet), c.expected) << c.what;
}

TEST(Decode, NotUdp) {
  const struct {
    const char* what;
    Pkt packet;
    const char* expected;
  } cases[] = {
      {"ARP", Pkt().arp(1, "02:00:00:00:00:0a", "10.0.0.2", "00:00:00:00:00:00", "10.0.0.1"),
       "arp"},
      {"ARP, tagged", Pkt().ether_type(0x0806).vlan(5), "arp"},
      {"LLDP", Pkt().ether_type(0x88cc), "not-ours"},
      {"802.3 length", Pkt().ether_type(60), "not-ours"},
      {"MACsec", Pkt().ether_type(0x88e5), "not-ours"},
      {"TCP", ip4().protocol(6).text(std::string(20, 'x')), "not-ours"},
      {"TCP over IPv6", ip6().protocol(6).text(std::string(20, 'x')), "not-ours"},
      {"IGMP", ip4().protocol(2), "not-ours"},
      {"ESP", ip6().protocol(50), "not-ours"},
      {"no next header", ip6().protocol(59), "not-ours"},
      {"ICMPv6 over IPv4", ip4().protocol(58).text(std::string("\x80\0\0\0\0\0\0\0", 8)),
       "not-ours"},
      {"ICMP over IPv6", ip6().protocol(1).text(std::string("\x08\0\0\0\0\0\0\0", 8)), "not-ours"},
      {"to be routed on", udp6().ext(43, {0, 1, 0, 0, 0, 0}), "not-ours"},
      {"echo", ip4().icmp(8, 0, Bytes(4)), "echo"},
      {"echo reply", ip4().icmp(0, 0, Bytes(4)), "not-ours"},
      {"unreachable", ip4().icmp(3, 1, Bytes(32)), "not-ours"},
      {"short ICMP", ip4().icmp(8, 0, Bytes(3)), "not-ours"},
      {"ICMPv6 echo", ip6().icmp(128, 0, Bytes(4)), "echo"},
      {"ICMPv6 echo behind options", ip6().ext(0).icmp(128, 0, Bytes(4)), "echo"},
      {"ICMPv6 echo reply", ip6().icmp(129, 0, Bytes(4)), "not-ours"},
      {"short ICMPv6", ip6().icmp(128, 0, Bytes(3)), "not-ours"},
      {"multicast listener report", ip6().ext(0).icmp(143, 0, Bytes(4)), "not-ours"},
      {"router solicitation", ip6().icmp(133, 0, Bytes(4)), "ndp"},
      {"neighbour solicitation", ip6().solicit("fd00::1"), "ndp"},
      {"redirect", ip6().icmp(137, 0, Bytes(36)), "ndp"},
  };
  for (const auto& c : cases) EXPECT_EQ(verdict(c.packet), c.expected) << c.what;
}

TEST(Decode, TrustsTheNicPerLayer) {
  constexpr ChecksumCheck kTrustIp = {.ip = Check::kTrust, .l4 = Check::kVerify};
  constexpr ChecksumCheck kTrustL4 = {.ip = Check::kVerify, .l4 = Check::kTrust};
  EXPECT_EQ(verdict(udp4().bad_ip_sum(), kTrustIp), "udp");
  EXPECT_EQ(verdict(udp4().bad_ip_sum(), kTrustL4), "bad-sum");
  EXPECT_EQ(verdict(udp4().bad_l4_sum(), kTrustL4), "udp");
  EXPECT_EQ(verdict(udp4().bad_l4_sum(), kTrustIp), "bad-sum");
  EXPECT_EQ(verdict(udp6().bad_l4_sum(), kTrustAll), "udp");
  EXPECT_EQ(verdict(udp4().udp_length(14), kTrustAll), "bad-udp");
}

TEST(Decode, FillsInWhatItAccepted) {
  EXPECT_EQ(decoded(udp4().truncate(20).build()).decoded.ip_version, 0);
  EXPECT_EQ(decoded(udp4().truncate(20).build()).decoded.src_ip, nullptr);
  const Result fragment = decoded(udp6().ext(44, {0, 1, 0, 0, 0, 1}).build());
  EXPECT_EQ(fragment.decoded.ip_version, 6);
  EXPECT_EQ(fragment.decoded.payload, nullptr);
  const Result echo = decoded(ip4().icmp(8, 0, Bytes(20)).pad(9).build());
  EXPECT_EQ(echo.decoded.l4_offset, 34);
  EXPECT_EQ(echo.decoded.l4_len, 24);
}

// Every prefix and every single-byte change of good frames: nothing outside may be read, and what
// is accepted lies inside.
TEST(Decode, StaysInside) {
  const Pkt packets[] = {udp4().vlan(5).options(Bytes(4, 1)), udp6().ext(0).ext(60, Bytes(14)),
                         ip6().ext(51, Bytes(10), 1).ext(44).icmp(128, 0, Bytes(9))};
  const auto check = [](const Bytes& frame) {
    const auto exact = std::make_unique<uint8_t[]>(frame.size());
    std::copy(frame.begin(), frame.end(), exact.get());
    Decoded d;
    const Verdict v = decode({exact.get(), frame.size()}, kTrustAll, d);
    if (v != Verdict::kUdp) return;
    ASSERT_GE(d.payload, exact.get() + 42);
    ASSERT_LE(d.payload + d.payload_len, exact.get() + frame.size());
  };
  for (const Pkt& packet : packets) {
    const Bytes good = packet.build();
    for (size_t size = 0; size <= good.size(); ++size)
      check(Bytes(good.begin(), good.begin() + size));
    for (size_t at = 0; at < good.size(); ++at) {
      Bytes bad = good;
      for (int value = 0; value < 256; ++value) {
        bad[at] = static_cast<uint8_t>(value);
        check(bad);
      }
    }
  }
}

TEST(Checksum, AsTheSlowOne) {
  std::mt19937 random(3);
  for (size_t size = 0; size < 300; ++size) {
    Bytes bytes(size);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(size % 3 == 0 ? 0xff : random());
    EXPECT_EQ(internet_checksum(bytes), Pkt::checksum(bytes)) << size;
    const size_t half = size / 4 * 2;
    const std::span<const uint8_t> all(bytes);
    EXPECT_EQ(internet_checksum(all.subspan(half), checksum_add(all.first(half))),
              Pkt::checksum(bytes))
        << size;
  }
  EXPECT_EQ(internet_checksum(Bytes{}), 0xffff);
  EXPECT_EQ(internet_checksum(Bytes(65536, 0xff)), 0);
}

// The example of RFC 1071, section 3.
TEST(Checksum, Rfc1071) {
  EXPECT_EQ(internet_checksum(Bytes{0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7}), 0xffff & ~0xddf2);
}

}  // namespace
}  // namespace penstock::packet

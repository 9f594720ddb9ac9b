#include "parsers/packet/reply.h"

#include <algorithm>
#include <cstring>

#include "parsers/packet/bytes.h"
#include "parsers/packet/checksum.h"
#include "parsers/packet/decode.h"

namespace penstock::packet {
namespace {

constexpr uint8_t kHopLimit = 64;
constexpr uint8_t kNdpHopLimit = 255;  // proof that no router passed it on (RFC 4861)
constexpr std::array<uint8_t, kMacBytes> kBroadcastMac = {255, 255, 255, 255, 255, 255};
constexpr std::array<uint8_t, kMacBytes> kAllNodesMac = {0x33, 0x33, 0, 0, 0, 1};
constexpr std::array<uint8_t, 16> kAllNodes = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
constexpr std::array<uint8_t, 16> kUnspecified = {};

bool equal(const uint8_t* a, const uint8_t* b, size_t n) { return std::memcmp(a, b, n) == 0; }

// The reply under construction: Ethernet header and VLAN tags first, then what is appended.
class Frame {
 public:
  explicit Frame(std::span<uint8_t> out) : out_(out) {}

  // Room for `bytes` more, zeroed, or null if they do not fit.
  uint8_t* append(size_t bytes) {
    if (bytes > out_.size() - size_) return nullptr;
    uint8_t* at = out_.data() + size_;
    if (bytes != 0) std::memset(at, 0, bytes);
    size_ += bytes;
    return at;
  }

  // The request's Ethernet header and VLAN tags, turned round.
  bool ethernet(std::span<const uint8_t> header, const uint8_t* dst, const Responder& us) {
    uint8_t* at = append(header.size());
    if (at == nullptr) return false;
    std::memcpy(at, header.data(), header.size());
    std::memcpy(at, dst, kMacBytes);
    std::memcpy(at + kMacBytes, us.mac.data(), kMacBytes);
    return true;
  }

  // Pads to the least Ethernet frame and returns the length; 0 if it does not fit.
  size_t finish() {
    if (size_ < kReplyBytesMin && append(kReplyBytesMin - size_) == nullptr) return 0;
    return size_;
  }

 private:
  std::span<uint8_t> out_;
  size_t size_ = 0;
};

struct Request {
  std::span<const uint8_t> frame;
  const Decoded& decoded;
  const Responder& us;

  [[nodiscard]] std::span<const uint8_t> ethernet() const { return frame.first(decoded.l3_offset); }
  [[nodiscard]] std::span<const uint8_t> l4() const {
    return frame.subspan(decoded.l4_offset, decoded.l4_len);
  }
  [[nodiscard]] const uint8_t* dst_mac() const { return frame.data(); }
  [[nodiscard]] const uint8_t* src_mac() const { return frame.data() + kMacBytes; }
  [[nodiscard]] bool to_our_mac() const { return equal(dst_mac(), us.mac.data(), kMacBytes); }
};

// A station that can be answered: not a group, not nobody, not ourselves.
bool is_answerable_mac(const uint8_t* mac, const Responder& us) {
  constexpr std::array<uint8_t, kMacBytes> kNobody = {};
  return (mac[0] & 1) == 0 && !equal(mac, kNobody.data(), kMacBytes) &&
         !equal(mac, us.mac.data(), kMacBytes);
}

// Not 0/8, loopback, multicast, reserved or broadcast, and not ourselves.
bool is_answerable_ipv4(const uint8_t* ip, const Responder& us) {
  return ip[0] != 0 && ip[0] != 127 && ip[0] < 224 && !is_ours(us, 4, ip);
}

// Not unspecified, loopback or multicast, and not ourselves.
bool is_answerable_ipv6(const uint8_t* ip, const Responder& us) {
  constexpr std::array<uint8_t, 16> kLoopback = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return ip[0] != 0xff && !equal(ip, kUnspecified.data(), 16) && !equal(ip, kLoopback.data(), 16) &&
         !is_ours(us, 6, ip);
}

constexpr size_t kArpBytes = 28;
// Ethernet, IPv4, address lengths, operation "request".
constexpr std::array<uint8_t, 8> kAsk = {0, 1, 8, 0, 6, 4, 0, 1};

size_t reply_to_arp(const Request& request, std::span<uint8_t> out) {
  const std::span<const uint8_t> arp = request.frame.subspan(request.decoded.l3_offset);
  if (arp.size() < kArpBytes || !equal(arp.data(), kAsk.data(), kAsk.size())) return 0;
  if (!request.to_our_mac() && !equal(request.dst_mac(), kBroadcastMac.data(), kMacBytes)) return 0;
  const uint8_t* sender_mac = &arp[8];
  const uint8_t* sender_ip = &arp[14];
  const uint8_t* target_ip = &arp[24];
  if (!equal(sender_mac, request.src_mac(), kMacBytes) || !is_ours(request.us, 4, target_ip)) {
    return 0;
  }
  constexpr std::array<uint8_t, 4> kProbe = {};  // "is this address taken?" (RFC 5227)
  if (!equal(sender_ip, kProbe.data(), 4) && !is_answerable_ipv4(sender_ip, request.us)) return 0;

  Frame reply(out);
  if (!reply.ethernet(request.ethernet(), request.src_mac(), request.us)) return 0;
  uint8_t* at = reply.append(kArpBytes);
  if (at == nullptr) return 0;
  std::memcpy(at, kAsk.data(), kAsk.size());
  at[7] = 2;  // operation "reply"
  std::memcpy(at + 8, request.us.mac.data(), kMacBytes);
  std::memcpy(at + 14, target_ip, 4);
  std::memcpy(at + 18, sender_mac, kMacBytes);
  std::memcpy(at + 24, sender_ip, 4);
  return reply.finish();
}

// Type 0 and a fresh checksum in front of what the request carried.
void write_echo(uint8_t* at, std::span<const uint8_t> echo, uint8_t type, uint64_t pseudo) {
  std::memcpy(at, echo.data(), echo.size());
  at[0] = type;
  store_be16(at + 2, 0);
  store_be16(at + 2, internet_checksum({at, echo.size()}, pseudo));
}

size_t reply_to_echo4(const Request& request, std::span<uint8_t> out) {
  const Decoded& in = request.decoded;
  const std::span<const uint8_t> echo = request.l4();
  if (!request.to_our_mac() || echo[1] != 0 || internet_checksum(echo) != 0) return 0;
  if (!is_ours(request.us, 4, in.dst_ip) || !is_answerable_ipv4(in.src_ip, request.us)) return 0;

  Frame reply(out);
  if (!reply.ethernet(request.ethernet(), request.src_mac(), request.us)) return 0;
  uint8_t* ip = reply.append(kIpv4Bytes);
  uint8_t* icmp = reply.append(echo.size());
  if (ip == nullptr || icmp == nullptr) return 0;
  ip[0] = 0x45;  // options of the request are not returned
  ip[1] = request.frame[in.l3_offset + 1U];
  store_be16(ip + 2, static_cast<uint16_t>(kIpv4Bytes + echo.size()));
  store_be16(ip + 6, 0x4000);  // not to be fragmented, so the identification means nothing
  ip[8] = kHopLimit;
  ip[9] = kProtocolIcmp;
  std::memcpy(ip + 12, in.dst_ip, 4);
  std::memcpy(ip + 16, in.src_ip, 4);
  store_be16(ip + 10, internet_checksum({ip, kIpv4Bytes}));
  write_echo(icmp, echo, 0, 0);
  return reply.finish();
}

// A header for `length` bytes of ICMPv6.
void write_ipv6(uint8_t* ip, size_t length, uint8_t hop_limit, const uint8_t* src,
                const uint8_t* dst) {
  ip[0] = 0x60;
  store_be16(ip + 4, static_cast<uint16_t>(length));
  ip[6] = kProtocolIcmpv6;
  ip[7] = hop_limit;
  std::memcpy(ip + 8, src, 16);
  std::memcpy(ip + 24, dst, 16);
}

bool is_good_icmpv6(const Request& request) {
  const Decoded& in = request.decoded;
  const std::span<const uint8_t> icmp = request.l4();
  return icmp[1] == 0 &&
         internet_checksum(
             icmp, pseudo_header_sum(6, in.src_ip, in.dst_ip, kProtocolIcmpv6, icmp.size())) == 0;
}

size_t reply_to_echo6(const Request& request, std::span<uint8_t> out) {
  constexpr uint8_t kEchoReply = 129;
  const Decoded& in = request.decoded;
  const std::span<const uint8_t> echo = request.l4();
  if (!request.to_our_mac() || !is_good_icmpv6(request)) return 0;
  if (!is_ours(request.us, 6, in.dst_ip) || !is_answerable_ipv6(in.src_ip, request.us)) return 0;

  Frame reply(out);
  if (!reply.ethernet(request.ethernet(), request.src_mac(), request.us)) return 0;
  uint8_t* ip = reply.append(kIpv6Bytes);
  uint8_t* icmp = reply.append(echo.size());
  if (ip == nullptr || icmp == nullptr) return 0;
  write_ipv6(ip, echo.size(), kHopLimit, in.dst_ip, in.src_ip);
  write_echo(icmp, echo, kEchoReply,
             pseudo_header_sum(6, in.dst_ip, in.src_ip, kProtocolIcmpv6, echo.size()));
  return reply.finish();
}

// ff02::1:ffXX:XXXX of `target`.
bool is_solicited_node(const uint8_t* ip, const uint8_t* target) {
  constexpr std::array<uint8_t, 13> kPrefix = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};
  return equal(ip, kPrefix.data(), kPrefix.size()) && equal(ip + 13, target + 13, 3);
}

// The checks of RFC 4861, section 7.1.1, and that it concerns us.
bool is_solicitation_for_us(const Request& request) {
  constexpr uint8_t kNeighbourSolicitation = 135;
  constexpr size_t kFixedBytes = 24;
  constexpr uint8_t kSourceLinkLayerAddress = 1;
  const Decoded& in = request.decoded;
  const std::span<const uint8_t> icmp = request.l4();
  if (icmp[0] != kNeighbourSolicitation || icmp.size() < kFixedBytes) return false;
  if (request.frame[in.l3_offset + 7U] != kNdpHopLimit || !is_good_icmpv6(request)) return false;

  const uint8_t* target = &icmp[8];
  if (!is_ours(request.us, 6, target)) return false;
  const bool to_group = is_solicited_node(in.dst_ip, target);
  if (to_group) {
    const std::array<uint8_t, kMacBytes> group = {0x33,       0x33,       0xff,
                                                  target[13], target[14], target[15]};
    if (!equal(request.dst_mac(), group.data(), kMacBytes) && !request.to_our_mac()) return false;
  } else if (!request.to_our_mac() || !is_ours(request.us, 6, in.dst_ip)) {
    return false;
  }
  const bool probe = equal(in.src_ip, kUnspecified.data(), 16);  // duplicate address detection
  if (probe ? !to_group : !is_answerable_ipv6(in.src_ip, request.us)) return false;

  for (size_t at = kFixedBytes; at < icmp.size();) {
    if (icmp.size() - at < 8) return false;
    const size_t length = static_cast<size_t>(icmp[at + 1]) * 8;
    if (length == 0 || length > icmp.size() - at) return false;
    if (probe && icmp[at] == kSourceLinkLayerAddress) return false;
    at += length;
  }
  return true;
}

constexpr uint8_t kSolicited = 0x40;
constexpr uint8_t kOverride = 0x20;

// Behind the Ethernet header: that `target` is at our MAC address.
size_t finish_advertisement(Frame& frame, const uint8_t* target, const uint8_t* dst_ip,
                            uint8_t flags, const Responder& us) {
  constexpr uint8_t kNeighbourAdvertisement = 136;
  constexpr uint8_t kTargetLinkLayerAddress = 2;
  constexpr size_t kAdvertisementBytes = 32;
  uint8_t* ip = frame.append(kIpv6Bytes);
  uint8_t* icmp = frame.append(kAdvertisementBytes);
  if (ip == nullptr || icmp == nullptr) return 0;
  write_ipv6(ip, kAdvertisementBytes, kNdpHopLimit, target, dst_ip);
  icmp[0] = kNeighbourAdvertisement;
  icmp[4] = flags;
  std::memcpy(icmp + 8, target, 16);
  icmp[24] = kTargetLinkLayerAddress;
  icmp[25] = 1;  // in units of 8 bytes
  std::memcpy(icmp + 26, us.mac.data(), kMacBytes);
  store_be16(icmp + 2, internet_checksum({icmp, kAdvertisementBytes},
                                         pseudo_header_sum(6, target, dst_ip, kProtocolIcmpv6,
                                                           kAdvertisementBytes)));
  return frame.finish();
}

size_t reply_to_ndp(const Request& request, std::span<uint8_t> out) {
  if (!is_solicitation_for_us(request)) return 0;
  const uint8_t* target = &request.l4()[8];
  const bool probe = equal(request.decoded.src_ip, kUnspecified.data(), 16);
  const uint8_t* dst_ip = probe ? kAllNodes.data() : request.decoded.src_ip;
  const uint8_t* dst_mac = probe ? kAllNodesMac.data() : request.src_mac();

  Frame reply(out);
  if (!reply.ethernet(request.ethernet(), dst_mac, request.us)) return 0;
  return finish_advertisement(reply, target, dst_ip, probe ? kOverride : kSolicited | kOverride,
                              request.us);
}

}  // namespace

bool is_ours(const Responder& us, uint8_t ip_version, const uint8_t* ip) {
  const auto matches = [ip](const auto& ours) { return equal(ours.data(), ip, ours.size()); };
  return ip_version == 4 ? std::any_of(us.ipv4.begin(), us.ipv4.end(), matches)
                         : std::any_of(us.ipv6.begin(), us.ipv6.end(), matches);
}

size_t make_reply(std::span<const uint8_t> frame, const Responder& us, std::span<uint8_t> out) {
  Decoded decoded;
  const Verdict verdict = decode(frame, ChecksumCheck{}, decoded);
  if (verdict != Verdict::kArp && verdict != Verdict::kNdp && verdict != Verdict::kIcmpEcho) {
    return 0;
  }
  const Request request{frame, decoded, us};
  if (!is_answerable_mac(request.src_mac(), us)) return 0;
  if (verdict == Verdict::kArp) return reply_to_arp(request, out);
  if (verdict == Verdict::kNdp) return reply_to_ndp(request, out);
  return decoded.ip_version == 4 ? reply_to_echo4(request, out) : reply_to_echo6(request, out);
}

size_t make_announcement(const Responder& us, size_t address, std::span<uint8_t> out) {
  const bool arp = address < us.ipv4.size();
  if (address >= us.ipv4.size() + us.ipv6.size()) return 0;
  std::array<uint8_t, kEthernetBytes> header{};
  store_be16(&header[12], arp ? kEtherTypeArp : kEtherTypeIpv6);
  Frame frame(out);
  if (!frame.ethernet(header, arp ? kBroadcastMac.data() : kAllNodesMac.data(), us)) return 0;
  if (!arp) {
    const uint8_t* target = us.ipv6[address - us.ipv4.size()].data();
    return finish_advertisement(frame, target, kAllNodes.data(), kOverride, us);
  }
  uint8_t* at = frame.append(kArpBytes);
  if (at == nullptr) return 0;
  std::memcpy(at, kAsk.data(), kAsk.size());
  std::memcpy(at + 8, us.mac.data(), kMacBytes);
  std::memcpy(at + 14, us.ipv4[address].data(), 4);  // the target's MAC address stays zero
  std::memcpy(at + 24, us.ipv4[address].data(), 4);
  return frame.finish();
}

}  // namespace penstock::packet

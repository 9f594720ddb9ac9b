#include "parsers/packet/decode.h"

#include "parsers/packet/bytes.h"
#include "parsers/packet/checksum.h"

namespace penstock::packet {
namespace {

constexpr size_t kVlanTagBytes = 4;
constexpr size_t kVlanTagsMax = 2;

bool is_vlan(uint16_t ether_type) {
  return ether_type == 0x8100 || ether_type == 0x88a8 || ether_type == 0x9100;
}

// `l4_offset` and `l4_len` are set and lie inside the frame.
Verdict decode_udp(std::span<const uint8_t> frame, ChecksumCheck check, Decoded& out) {
  if (out.l4_len < kUdpBytes) return Verdict::kMalformedUdp;
  const uint8_t* udp = frame.data() + out.l4_offset;
  const uint16_t length = load_be16(udp + 4);
  if (length < kUdpBytes || length > out.l4_len) return Verdict::kMalformedUdp;
  if (check.l4 == Check::kVerify) {
    const bool absent = load_be16(udp + 6) == 0;
    if (absent && out.ip_version == 6) return Verdict::kMalformedChecksum;
    if (!absent &&
        internet_checksum({udp, length}, pseudo_header_sum(out.ip_version, out.src_ip, out.dst_ip,
                                                           kProtocolUdp, length)) != 0) {
      return Verdict::kMalformedChecksum;
    }
  }
  out.src_port = load_be16(udp);
  out.dst_port = load_be16(udp + 2);
  out.payload = udp + kUdpBytes;
  out.payload_len = static_cast<uint16_t>(length - kUdpBytes);
  return Verdict::kUdp;
}

Verdict decode_icmp(std::span<const uint8_t> frame, const Decoded& out) {
  constexpr uint8_t kEchoRequest = 8;
  if (out.l4_len < kIcmpBytes) return Verdict::kNotOurs;
  return frame[out.l4_offset] == kEchoRequest ? Verdict::kIcmpEcho : Verdict::kNotOurs;
}

Verdict decode_icmpv6(std::span<const uint8_t> frame, const Decoded& out) {
  constexpr uint8_t kEchoRequest = 128;
  constexpr uint8_t kRouterSolicitation = 133;
  constexpr uint8_t kRedirect = 137;
  if (out.l4_len < kIcmpBytes) return Verdict::kNotOurs;
  const uint8_t type = frame[out.l4_offset];
  if (type == kEchoRequest) return Verdict::kIcmpEcho;
  return type >= kRouterSolicitation && type <= kRedirect ? Verdict::kNdp : Verdict::kNotOurs;
}

Verdict decode_ipv4(std::span<const uint8_t> frame, ChecksumCheck check, Decoded& out) {
  const std::span<const uint8_t> l3 = frame.subspan(out.l3_offset);
  if (l3.size() < kIpv4Bytes || l3[0] >> 4 != 4) return Verdict::kMalformedIpv4;
  const size_t header = static_cast<size_t>(l3[0] & 15) * 4;
  const size_t total = load_be16(&l3[2]);
  if (header < kIpv4Bytes || total < header || total > l3.size()) return Verdict::kMalformedIpv4;
  if (check.ip == Check::kVerify && internet_checksum(l3.first(header)) != 0) {
    return Verdict::kMalformedChecksum;
  }
  out.ip_version = 4;
  out.src_ip = &l3[12];
  out.dst_ip = &l3[16];
  out.l4_offset = static_cast<uint16_t>(out.l3_offset + header);
  out.l4_len = static_cast<uint16_t>(total - header);
  constexpr uint16_t kMore = 0x2000;
  constexpr uint16_t kOffset = 0x1fff;  // in 8 bytes
  if (const uint16_t field = load_be16(&l3[6]); (field & (kMore | kOffset)) != 0) {
    out.protocol = l3[9];
    out.fragment = static_cast<uint16_t>((field & kOffset) << 3 | ((field & kMore) != 0 ? 1 : 0));
    return Verdict::kFragment;
  }
  switch (l3[9]) {
    case kProtocolUdp:
      return decode_udp(frame, check, out);
    case kProtocolIcmp:
      return decode_icmp(frame, out);
    default:
      return Verdict::kNotOurs;
  }
}

// Walks the extension headers of the IPv6 packet `l3` (RFC 8200 section 4). kUdp: go on with
// `protocol` at `offset`. kFragment: they are those of the piece, and `fragment` is set.
Verdict skip_extensions(std::span<const uint8_t> l3, uint8_t& protocol, size_t& offset,
                        uint16_t& fragment) {
  constexpr uint8_t kHopByHop = 0;
  constexpr uint8_t kRouting = 43;
  constexpr uint8_t kFragmentHeader = 44;
  constexpr uint8_t kAuthentication = 51;
  constexpr uint8_t kDestination = 60;
  for (size_t i = 0; i <= kExtensionsMax; ++i) {
    if (protocol != kHopByHop && protocol != kRouting && protocol != kFragmentHeader &&
        protocol != kAuthentication && protocol != kDestination) {
      return Verdict::kUdp;
    }
    if (l3.size() - offset < 8) return Verdict::kMalformedIpv6;
    const uint8_t* extension = &l3[offset];
    size_t length = 8 + static_cast<size_t>(extension[1]) * 8;
    if (protocol == kHopByHop && i != 0) return Verdict::kMalformedIpv6;
    // With segments left the packet is for another host, and we are no router.
    if (protocol == kRouting && extension[3] != 0) return Verdict::kNotOurs;
    if (protocol == kAuthentication) length = 8 + static_cast<size_t>(extension[1]) * 4;
    if (protocol == kFragmentHeader) {
      constexpr uint16_t kOffsetAndMore = 0xfff9;  // both 0: a whole packet after all (RFC 6946)
      fragment = load_be16(extension + 2) & kOffsetAndMore;
      length = 8;
    }
    if (length > l3.size() - offset) return Verdict::kMalformedIpv6;
    protocol = extension[0];
    offset += length;
    if (fragment != 0) return Verdict::kFragment;
  }
  return Verdict::kMalformedIpv6;
}

Verdict decode_ipv6(std::span<const uint8_t> frame, ChecksumCheck check, Decoded& out) {
  std::span<const uint8_t> l3 = frame.subspan(out.l3_offset);
  if (l3.size() < kIpv6Bytes || l3[0] >> 4 != 6) return Verdict::kMalformedIpv6;
  const size_t payload = load_be16(&l3[4]);
  if (payload > l3.size() - kIpv6Bytes) return Verdict::kMalformedIpv6;
  l3 = l3.first(kIpv6Bytes + payload);
  out.ip_version = 6;
  out.src_ip = &l3[8];
  out.dst_ip = &l3[24];
  uint8_t protocol = l3[6];
  size_t offset = kIpv6Bytes;
  const Verdict verdict = skip_extensions(l3, protocol, offset, out.fragment);
  if (verdict != Verdict::kUdp && verdict != Verdict::kFragment) return verdict;
  out.l4_offset = static_cast<uint16_t>(out.l3_offset + offset);
  out.l4_len = static_cast<uint16_t>(l3.size() - offset);
  if (verdict == Verdict::kFragment) {
    out.protocol = protocol;
    return verdict;
  }
  switch (protocol) {
    case kProtocolUdp:
      return decode_udp(frame, check, out);
    case kProtocolIcmpv6:
      return decode_icmpv6(frame, out);
    default:
      return Verdict::kNotOurs;
  }
}

}  // namespace

Verdict decode(std::span<const uint8_t> frame, ChecksumCheck check, Decoded& out) {
  out = Decoded{};
  if (frame.size() < kEthernetBytes) return Verdict::kMalformedEthernet;
  size_t offset = kEthernetBytes;
  uint16_t ether_type = load_be16(&frame[12]);
  for (size_t tags = 0; is_vlan(ether_type); ++tags) {
    if (tags == kVlanTagsMax) return Verdict::kNotOurs;
    if (frame.size() - offset < kVlanTagBytes) return Verdict::kMalformedEthernet;
    ether_type = load_be16(&frame[offset + 2]);
    offset += kVlanTagBytes;
  }
  out.l3_offset = static_cast<uint16_t>(offset);
  switch (ether_type) {
    case kEtherTypeIpv4:
      return decode_ipv4(frame, check, out);
    case kEtherTypeIpv6:
      return decode_ipv6(frame, check, out);
    case kEtherTypeArp:
      return Verdict::kArp;
    default:
      return Verdict::kNotOurs;
  }
}

}  // namespace penstock::packet

#include "dataplane/nic/frame_gate.h"

#include <rte_hash_crc.h>

#include <algorithm>
#include <cstring>
#include <span>

namespace penstock {
namespace {

using packet::Check;
using packet::Decoded;
using packet::Verdict;

constexpr uint64_t kBad = RTE_MBUF_F_RX_IP_CKSUM_BAD | RTE_MBUF_F_RX_L4_CKSUM_BAD;

// BAD and GOOD both set means "none, but the data is known to be intact": no need to verify, and
// not bad either.
bool flagged_bad(uint64_t flags) {
  if ((flags & kBad) == 0) [[likely]]
    return false;
  return (flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_BAD ||
         (flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_BAD;
}

packet::ChecksumCheck checks_left(uint64_t flags) {
  return {flags & RTE_MBUF_F_RX_IP_CKSUM_MASK ? Check::kTrust : Check::kVerify,
          flags & RTE_MBUF_F_RX_L4_CKSUM_MASK ? Check::kTrust : Check::kVerify};
}

uint32_t load32(const uint8_t* p) {
  uint32_t v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

uint64_t load64(const uint8_t* p) {
  uint64_t v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

uint32_t tuple_hash(const Decoded& d) {
  uint32_t h = rte_hash_crc_4byte(uint32_t{d.src_port} << 16 | d.dst_port, 0);
  if (d.ip_version == 4) {
    return rte_hash_crc_8byte(uint64_t{load32(d.src_ip)} << 32 | load32(d.dst_ip), h);
  }
  for (const uint8_t* ip : {d.src_ip, d.dst_ip}) {
    h = rte_hash_crc_8byte(load64(ip), h);
    h = rte_hash_crc_8byte(load64(ip + 8), h);
  }
  return h;
}

}  // namespace

bool FrameGate::is_our_port(uint16_t udp_port) const {
  const PortPlan& port = *queue_.port;
  const auto ports = std::span(port.udp_ports).first(port.udp_port_count);
  return std::find(ports.begin(), ports.end(), udp_port) != ports.end();
}

bool FrameGate::is_our_address(const Decoded& d) const {
  const PortPlan& port = *queue_.port;
  if (port.address_count == 0) return true;
  const auto addresses = std::span(port.addresses).first(port.address_count);
  return std::any_of(addresses.begin(), addresses.end(), [&](const IpAddress& a) {
    return a.family == d.ip_version &&
           std::memcmp(a.bytes.data(), d.dst_ip, a.family == 4 ? 4 : 16) == 0;
  });
}

FrameGate::Fate FrameGate::judge(rte_mbuf& frame, uint32_t arrival, Packet& packet,
                                 Tally& tally) const {
  // Chained buffers are never asked for, and without the padding a shard could read past the pool.
  if (frame.nb_segs != 1 || rte_pktmbuf_tailroom(&frame) < kPacketPadding) [[unlikely]] {
    ++tally.malformed_ethernet;
    return Fate::kRefuse;
  }
  const std::span<const uint8_t> bytes(rte_pktmbuf_mtod(&frame, const uint8_t*), frame.data_len);
  Decoded d;
  switch (packet::decode(bytes, checks_left(frame.ol_flags), d)) {
    case Verdict::kUdp:
      return admit(frame, d, arrival, packet, tally);
    case Verdict::kArp:
    case Verdict::kNdp:
    case Verdict::kIcmpEcho:
      ++tally.not_ours;
      return Fate::kAnswer;
    case Verdict::kNotOurs:
      ++tally.not_ours;
      break;
    case Verdict::kMalformedEthernet:
      ++tally.malformed_ethernet;
      break;
    case Verdict::kMalformedIpv4:
      ++tally.malformed_ipv4;
      break;
    case Verdict::kMalformedIpv6:
      ++tally.malformed_ipv6;
      break;
    case Verdict::kMalformedUdp:
      ++tally.malformed_udp;
      break;
    case Verdict::kMalformedChecksum:
      ++tally.malformed_checksum;
      break;
    case Verdict::kFragment:
      return admit_fragment(frame, d, tally);
    case Verdict::kCount:
      __builtin_unreachable();
  }
  return Fate::kRefuse;
}

FrameGate::Fate FrameGate::admit(const rte_mbuf& frame, const Decoded& d, uint32_t arrival,
                                 Packet& packet, Tally& tally) const {
  if (flagged_bad(frame.ol_flags)) [[unlikely]] {
    ++tally.malformed_checksum;
    return Fate::kRefuse;
  }
  if (!is_our_port(d.dst_port) || !is_our_address(d)) {
    ++tally.not_ours;
    return Fate::kRefuse;
  }
  if (d.payload_len > queue_.buffer_size) [[unlikely]] {
    ++tally.truncated;  // ruling 11
    return Fate::kRefuse;
  }
  const uint32_t hash = frame.ol_flags & RTE_MBUF_F_RX_RSS_HASH ? frame.hash.rss : tuple_hash(d);
  packet = {.data = d.payload,
            .owner = reinterpret_cast<uint64_t>(&frame),
            .origin = 0,
            .flow = remix(hash),
            .arrival = arrival,
            .len = d.payload_len,
            .source = Source::kUdp,
            .flags = packet_flags_};
  return Fate::kDispatch;
}

// Only what can become part of a datagram of ours may take room. Lengths are as the library that
// joins them expects them: it does not look whether pieces are empty, end between two multiples of
// 8, or reach beyond the longest packet, and it takes the IPv6 fragment header to be the only
// extension.
FrameGate::Fate FrameGate::admit_fragment(rte_mbuf& frame, const Decoded& d, Tally& tally) const {
  constexpr uint8_t kUdp = 17;
  constexpr size_t kPacketBytesMax = 65535;
  constexpr size_t kIpv6HeaderAndFragment = 48;
  const bool first = d.fragment_offset() == 0;
  const size_t header = d.l4_offset - size_t{d.l3_offset};
  const size_t packet_header = d.ip_version == 4 ? header : 0;  // IPv6 does not count its own
  if (flagged_bad(frame.ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK)) {
    ++tally.malformed_checksum;
    return Fate::kRefuse;
  }
  if (d.protocol != kUdp || !is_our_address(d)) {
    ++tally.not_ours;
    return Fate::kRefuse;
  }
  if (d.l4_len == 0 || (d.more_fragments() && d.l4_len % 8 != 0) ||
      packet_header + d.fragment_offset() + d.l4_len > kPacketBytesMax ||
      (d.ip_version == 6 && header != kIpv6HeaderAndFragment)) {
    ++tally.malformed_fragment;
    return Fate::kRefuse;
  }
  // The first one has others behind it, and so the 8 bytes of a UDP header.
  const auto* udp = rte_pktmbuf_mtod_offset(&frame, const uint8_t*, d.l4_offset);
  if (first && !is_our_port(static_cast<uint16_t>(udp[2] << 8 | udp[3]))) {
    ++tally.not_ours;
    return Fate::kRefuse;
  }
  frame.l2_len = d.l3_offset;
  frame.l3_len = header;
  return Fate::kFragment;
}

}  // namespace penstock

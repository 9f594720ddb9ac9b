#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace penstock::packet {

// Ethernet frames: bytes in, views out. Nothing here allocates or throws, every pointer leads into
// the frame, and no byte outside the frame is read. Any thread.

// What a frame is; each value indexes one counter.
enum class Verdict : uint8_t {
  kUdp,       // a whole, valid UDP datagram
  kNotOurs,   // another protocol, or a message of these that nobody here reads
  kArp,       // not looked into; see make_reply
  kNdp,       // ICMPv6 neighbour discovery, types 133 to 137; not looked into
  kIcmpEcho,  // echo request, ICMP or ICMPv6; its checksum is not yet verified
  kMalformedEthernet,
  kMalformedIpv4,
  kMalformedIpv6,
  kMalformedUdp,
  kMalformedChecksum,  // IPv4 header or UDP; also UDP over IPv6 without one (RFC 8200 section 8.1)
  kFragment,           // part of an IP packet of any protocol, to be joined with the others
  kCount
};
inline constexpr size_t kVerdicts = static_cast<size_t>(Verdict::kCount);

enum class Check : uint8_t { kVerify, kTrust };

// Which checksums to compute. kTrust: the NIC said they are good.
struct ChecksumCheck {
  Check ip = Check::kVerify;  // IPv4 header
  Check l4 = Check::kVerify;  // UDP
};

// Addresses are in network order, 4 or 16 bytes as `ip_version` says.
struct Decoded {
  const uint8_t* payload;  // kUdp only: what the UDP length covers
  uint16_t payload_len;
  uint16_t src_port, dst_port;     // kUdp only; host order
  uint8_t ip_version;              // 4, 6, or 0 where no IP header was accepted
  uint8_t protocol;                // kFragment only: of the packet it is part of
  const uint8_t *src_ip, *dst_ip;  // null where `ip_version` is 0
  uint16_t l3_offset;              // first byte after the Ethernet header and its VLAN tags
  uint16_t l4_offset;              // kUdp, kNdp, kIcmpEcho: of the header after IP;
                                   // kFragment: of its piece
  uint16_t l4_len;                 // bytes from there to the end of the IP packet
  uint16_t fragment;               // kFragment only; see the two functions

  // Where in the packet the piece belongs, in bytes, and whether others follow it.
  [[nodiscard]] size_t fragment_offset() const { return fragment & 0xfff8U; }
  [[nodiscard]] bool more_fragments() const { return (fragment & 1) != 0; }
};

// Reads Ethernet with at most two VLAN tags, IPv4 with options, IPv6 with at most kExtensionsMax
// extension headers, and UDP. Bytes after the IP packet (Ethernet padding) and after the UDP
// datagram (up to the IP length) are legal; a header or length that leads outside is not.
// MAC and IP addresses are not compared with anything. Always fills in `out` completely.
Verdict decode(std::span<const uint8_t> frame, ChecksumCheck check, Decoded& out);

inline constexpr size_t kExtensionsMax = 8;

}  // namespace penstock::packet

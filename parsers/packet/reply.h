#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace penstock::packet {

// Who we are on a port that has no kernel behind it. The lists belong to the caller.
struct Responder {
  std::array<uint8_t, 6> mac;
  std::span<const std::array<uint8_t, 4>> ipv4;
  std::span<const std::array<uint8_t, 16>> ipv6;
};

// True if the address (4 or 16 bytes, network order) is in `us`.
bool is_ours(const Responder& us, uint8_t ip_version, const uint8_t* ip);

// The answer to a frame, stateless and a pure function (any thread, nothing kept): ARP requests and
// neighbour solicitations (RFC 826, 5227, 4861) for our addresses, and ICMP and ICMPv6 echo
// requests to them. VLAN tags are kept; replies go to the Ethernet source and are padded to
// kReplyBytesMin. Every checksum of the request is verified, whatever the NIC said.
//
// Returns the length of the frame written to `out`, or 0 if there is nothing to say: another kind
// of frame, malformed, a wrong checksum, a multicast, broadcast, loopback or own source, another
// MAC or IP address than ours, or `out` too small. A reply is never longer than the larger of
// the request and kReplyBytesMax.
size_t make_reply(std::span<const uint8_t> frame, const Responder& us, std::span<uint8_t> out);

// An announcement that `us` has an address, for all neighbours: a gratuitous ARP request (RFC 5227
// section 2.3) or an unsolicited neighbour advertisement (RFC 4861 section 7.2.6). `address` counts
// through `us.ipv4` and then `us.ipv6`. Returns its length, or 0 if there is no such address or
// `out` is shorter than kReplyBytesMax. Untagged: we know no VLAN before somebody asks in it.
size_t make_announcement(const Responder& us, size_t address, std::span<uint8_t> out);

inline constexpr size_t kReplyBytesMin = 60;  // the least Ethernet frame, less its FCS
inline constexpr size_t kReplyBytesMax = 94;  // a neighbour advertisement behind two VLAN tags

}  // namespace penstock::packet

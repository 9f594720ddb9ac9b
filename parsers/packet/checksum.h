#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace penstock::packet {

// Adds the 16-bit words of `bytes` to a running one's-complement sum (RFC 1071). The sum is kept in
// the machine's byte order and not folded; pieces but the last must have an even length. At most
// 64 KiB may go into one sum.
uint64_t checksum_add(std::span<const uint8_t> bytes, uint64_t sum = 0);

// The sum of the pseudo header of UDP and ICMPv6 (RFC 768, RFC 8200 section 8.1). `ip_version` is 4
// or 6; `length` is that of the upper-layer packet.
uint64_t pseudo_header_sum(uint8_t ip_version, const uint8_t* src_ip, const uint8_t* dst_ip,
                           uint8_t protocol, size_t length);

// The internet checksum of `bytes` on top of `sum`, in host order: store it big-endian. It is 0 if
// `bytes` hold a correct checksum already.
uint16_t internet_checksum(std::span<const uint8_t> bytes, uint64_t sum = 0);

}  // namespace penstock::packet

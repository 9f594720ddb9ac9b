#include "parsers/packet/checksum.h"

#include <bit>
#include <cstring>

namespace penstock::packet {
namespace {

// The value of a big-endian 16-bit word when it is loaded in the machine's byte order.
uint64_t as_loaded(size_t value) {
  const auto word = static_cast<uint16_t>(value);
  return std::endian::native == std::endian::little ? __builtin_bswap16(word) : word;
}

}  // namespace

uint64_t checksum_add(std::span<const uint8_t> bytes, uint64_t sum) {
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  // 32-bit words into a 64-bit sum cannot overflow here and need no carries, so this vectorises;
  // folding to 16 bits at the end gives the same sum.
  for (; left >= 4; at += 4, left -= 4) {
    uint32_t word;
    std::memcpy(&word, at, 4);
    sum += word;
  }
  if (left >= 2) {
    uint16_t word;
    std::memcpy(&word, at, 2);
    sum += word;
    at += 2;
    left -= 2;
  }
  if (left != 0) sum += as_loaded(static_cast<size_t>(*at) << 8);
  return sum;
}

uint64_t pseudo_header_sum(uint8_t ip_version, const uint8_t* src_ip, const uint8_t* dst_ip,
                           uint8_t protocol, size_t length) {
  const size_t bytes = ip_version == 4 ? 4 : 16;
  const uint64_t sum = checksum_add({dst_ip, bytes}, checksum_add({src_ip, bytes}));
  return sum + as_loaded(protocol) + as_loaded(length);
}

uint16_t internet_checksum(std::span<const uint8_t> bytes, uint64_t sum) {
  sum = checksum_add(bytes, sum);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(as_loaded(static_cast<uint16_t>(~sum)));
}

}  // namespace penstock::packet

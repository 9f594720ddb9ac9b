#pragma once

#include <cstddef>
#include <cstdint>

// Big-endian fields in packets, at any alignment. For the files of this folder only.
namespace penstock::packet {

inline uint16_t load_be16(const uint8_t* at) { return static_cast<uint16_t>(at[0] << 8 | at[1]); }

inline void store_be16(uint8_t* at, uint16_t value) {
  at[0] = static_cast<uint8_t>(value >> 8);
  at[1] = static_cast<uint8_t>(value);
}

inline constexpr uint16_t kEtherTypeIpv4 = 0x0800;
inline constexpr uint16_t kEtherTypeArp = 0x0806;
inline constexpr uint16_t kEtherTypeIpv6 = 0x86dd;

inline constexpr uint8_t kProtocolIcmp = 1;
inline constexpr uint8_t kProtocolUdp = 17;
inline constexpr uint8_t kProtocolIcmpv6 = 58;

inline constexpr size_t kMacBytes = 6;
inline constexpr size_t kEthernetBytes = 14;
inline constexpr size_t kIpv4Bytes = 20;  // without options
inline constexpr size_t kIpv6Bytes = 40;  // without extension headers
inline constexpr size_t kUdpBytes = 8;
inline constexpr size_t kIcmpBytes = 8;

}  // namespace penstock::packet

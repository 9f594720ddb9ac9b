#include "tools/pktgen/frame.h"

#include <arpa/inet.h>

#include <charconv>
#include <cstring>

#include "dataplane/base/strings.h"

namespace penstock::pktgen {
namespace {

constexpr size_t kEthernet = 14;
constexpr size_t kIpv4 = 20;
constexpr size_t kIpv6 = 40;
constexpr size_t kUdp = 8;
constexpr uint16_t kUdpProtocol = 17;
constexpr uint8_t kHops = 64;
constexpr uint32_t kFirstSourcePort = 20000;
constexpr uint32_t kSourcePortsMax = 65535 - kFirstSourcePort;
constexpr std::array<uint8_t, 12> kMacs = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};  // to, from

void put16(uint8_t* p, size_t v) {
  p[0] = static_cast<uint8_t>(v >> 8);
  p[1] = static_cast<uint8_t>(v);
}

// RFC 1071: the sum of 16-bit words, an odd last byte padded with zero.
uint32_t add_words(const uint8_t* p, size_t size, uint32_t sum) {
  for (; size > 1; p += 2, size -= 2) sum += static_cast<uint32_t>(p[0] << 8 | p[1]);
  return size == 1 ? sum + static_cast<uint32_t>(p[0] << 8) : sum;
}

uint16_t fold(uint32_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

// "ADDRESS" or "[ADDRESS]"; the size of the address, 0 if it is none.
size_t parse_address(std::string_view text, std::array<uint8_t, 16>& out) {
  if (text.starts_with('[') && text.ends_with(']')) {
    const std::string inside(text.substr(1, text.size() - 2));
    return ::inet_pton(AF_INET6, inside.c_str(), out.data()) == 1 ? 16 : 0;
  }
  return ::inet_pton(AF_INET, std::string(text).c_str(), out.data()) == 1 ? 4 : 0;
}

}  // namespace

absl::StatusOr<FrameMaker> FrameMaker::to(std::string_view option, const Wire& wire) {
  const std::string_view target = wire.to;
  const size_t colon = target.rfind(':');
  FrameMaker maker;
  maker.flows_ = wire.flows;
  maker.source_ports_ =
      wire.source_ports != 0 ? wire.source_ports : std::min(wire.flows, kSourcePortsMax);
  if (colon != std::string_view::npos) {
    maker.address_size_ = parse_address(target.substr(0, colon), maker.address_);
    const char* const end = target.data() + target.size();
    if (std::from_chars(target.data() + colon + 1, end, maker.port_).ptr != end) maker.port_ = 0;
  }
  if (maker.address_size_ == 0 || maker.port_ == 0)
    return absl::InvalidArgumentError(
        cat("--", option, " \"", target,
            "\": must be an IP address and a port, 10.0.0.2:8125 or [fd00::2]:8125"));
  return maker;
}

Headers FrameMaker::headers(std::string_view payload, uint64_t number) const {
  Headers frame;
  std::memcpy(frame.bytes.data(), kMacs.data(), kMacs.size());
  uint8_t* const ip = frame.bytes.data() + kEthernet;
  const size_t ip_size = ipv4() ? kIpv4 : kIpv6;
  put16(ip - 2, ipv4() ? 0x0800 : 0x86dd);
  if (ipv4()) {
    fill_ipv4(ip, kIpv4 + kUdp + payload.size(), number);
  } else {
    fill_ipv6(ip, kUdp + payload.size(), number);
  }
  fill_udp(ip + ip_size, payload, number);
  frame.count = kEthernet + ip_size + kUdp;
  return frame;
}

void FrameMaker::fill_ipv4(uint8_t* ip, size_t total, uint64_t number) const {
  ip[0] = 0x45;
  put16(ip + 2, total);
  put16(ip + 4, number & 0xffff);  // identification
  put16(ip + 6, 0x4000);           // do not fragment
  ip[8] = kHops;
  ip[9] = kUdpProtocol;
  std::memcpy(ip + 12, source(number).data(), 4);
  std::memcpy(ip + 16, address_.data(), 4);
  put16(ip + 10, fold(add_words(ip, kIpv4, 0)));
}

void FrameMaker::fill_ipv6(uint8_t* ip, size_t udp_size, uint64_t number) const {
  ip[0] = 0x60;
  put16(ip + 4, udp_size);
  ip[6] = kUdpProtocol;
  ip[7] = kHops;
  std::memcpy(ip + 8, source(number).data(), 16);
  std::memcpy(ip + 24, address_.data(), 16);
}

std::array<uint8_t, 16> FrameMaker::source(uint64_t number) const {
  const uint64_t more = number % flows_ / source_ports_;
  if (ipv4()) return {10, static_cast<uint8_t>(more >> 8), static_cast<uint8_t>(more), 1};
  std::array<uint8_t, 16> out = {0xfd};
  put16(&out[12], more);
  out[15] = 1;
  return out;
}

void FrameMaker::fill_udp(uint8_t* udp, std::string_view payload, uint64_t number) const {
  const size_t size = kUdp + payload.size();
  put16(udp, kFirstSourcePort + number % flows_ % source_ports_);
  put16(udp + 2, port_);
  put16(udp + 4, size);
  uint32_t sum = kUdpProtocol + static_cast<uint32_t>(size);  // the pseudo header: RFC 768, 8200
  sum = add_words(source(number).data(), address_size_, sum);
  sum = add_words(address_.data(), address_size_, sum);
  sum = add_words(udp, kUdp, sum);
  sum = add_words(reinterpret_cast<const uint8_t*>(payload.data()), payload.size(), sum);
  const uint16_t checksum = fold(sum);
  put16(udp + 6, checksum == 0 ? 0xffff : checksum);  // RFC 768: 0 means none
}

}  // namespace penstock::pktgen

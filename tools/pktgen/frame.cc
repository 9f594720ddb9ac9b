#include "tools/pktgen/frame.h"

#include <arpa/inet.h>

#include <charconv>
#include <cstring>
#include <string>

#include "dataplane/base/strings.h"

namespace penstock::pktgen {
namespace {

constexpr size_t kEthernet = 14;
constexpr size_t kIpv4 = 20;
constexpr size_t kUdp = 8;
constexpr uint16_t kFirstSourcePort = 20000;
constexpr std::array<uint8_t, 12> kMacs = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};  // to, from
constexpr std::array<uint8_t, 4> kSource = {10, 0, 0, 1};

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

}  // namespace

absl::StatusOr<FrameMaker> FrameMaker::to(std::string_view option, std::string_view target) {
  const size_t colon = target.rfind(':');
  FrameMaker maker;
  const bool good =
      colon != std::string_view::npos &&
      ::inet_pton(AF_INET, std::string(target.substr(0, colon)).c_str(), maker.address_.data()) ==
          1 &&
      std::from_chars(target.data() + colon + 1, target.data() + target.size(), maker.port_).ptr ==
          target.data() + target.size() &&
      maker.port_ != 0;
  if (!good)
    return absl::InvalidArgumentError(
        cat("--", option, " \"", target, "\": must be an IPv4 address and a port, 10.0.0.2:8125"));
  return maker;
}

std::array<uint8_t, FrameMaker::kHeaders> FrameMaker::headers(std::string_view payload,
                                                              uint64_t number,
                                                              uint64_t flow) const {
  std::array<uint8_t, kHeaders> frame{};
  std::memcpy(frame.data(), kMacs.data(), kMacs.size());
  put16(&frame[12], 0x0800);
  fill_ipv4(&frame[kEthernet], kIpv4 + kUdp + payload.size(), number);
  fill_udp(&frame[kEthernet + kIpv4], payload, flow);
  return frame;
}

void FrameMaker::fill_ipv4(uint8_t* ip, size_t total, uint64_t number) const {
  ip[0] = 0x45;
  put16(ip + 2, total);
  put16(ip + 4, number & 0xffff);  // identification
  put16(ip + 6, 0x4000);           // do not fragment
  ip[8] = 64;
  ip[9] = 17;
  std::memcpy(ip + 12, kSource.data(), 4);
  std::memcpy(ip + 16, address_.data(), 4);
  put16(ip + 10, fold(add_words(ip, kIpv4, 0)));
}

void FrameMaker::fill_udp(uint8_t* udp, std::string_view payload, uint64_t flow) const {
  const size_t size = kUdp + payload.size();
  put16(udp, kFirstSourcePort + flow);
  put16(udp + 2, port_);
  put16(udp + 4, size);
  uint32_t sum = 17 + static_cast<uint32_t>(size);
  sum = add_words(kSource.data(), 4, sum);
  sum = add_words(address_.data(), 4, sum);
  sum = add_words(udp, kUdp, sum);
  sum = add_words(reinterpret_cast<const uint8_t*>(payload.data()), payload.size(), sum);
  const uint16_t checksum = fold(sum);
  put16(udp + 6, checksum == 0 ? 0xffff : checksum);  // RFC 768: 0 means none
}

}  // namespace penstock::pktgen

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "dataplane/base/status.h"

namespace penstock::pktgen {

// Where frames go and come from.
struct Wire {
  std::string to = "10.0.0.2:8125";  // "10.0.0.2:8125" or "[fd00::2]:8125"
  uint32_t flows = 16;               // distinct (source address, source port), 1 to 65536
  // Source ports, 1 to 45535: flows beyond them come from further addresses. 0: one for each flow.
  uint32_t source_ports = 0;
};

// The headers in front of a payload.
struct Headers {
  std::array<uint8_t, 14 + 40 + 8> bytes{};
  size_t count = 0;

  [[nodiscard]] const uint8_t* data() const { return bytes.data(); }
  [[nodiscard]] size_t size() const { return count; }
  [[nodiscard]] const uint8_t* begin() const { return data(); }
  [[nodiscard]] const uint8_t* end() const { return data() + count; }
};

// Ethernet, IPv4 or IPv6, and UDP headers of a packet, all checksums right.
class FrameMaker {
 public:
  static constexpr size_t kHeadersMax = sizeof(Headers::bytes);

  // `option` names `wire.to` in the error.
  static absl::StatusOr<FrameMaker> to(std::string_view option, const Wire& wire);

  // What goes before `payload` in the frame number `number`, of the flow `number` modulo the flows.
  // The number is the identification of the IPv4 header. Source ports are from 20000; addresses
  // 10.0.0.1, 10.0.1.1, ... or fd00::1, fd00::1:1, ...
  [[nodiscard]] Headers headers(std::string_view payload, uint64_t number) const;

 private:
  FrameMaker() = default;
  [[nodiscard]] bool ipv4() const { return address_size_ == 4; }
  void fill_ipv4(uint8_t* ip, size_t total, uint64_t number) const;
  void fill_ipv6(uint8_t* ip, size_t udp_size, uint64_t number) const;
  void fill_udp(uint8_t* udp, std::string_view payload, uint64_t number) const;
  [[nodiscard]] std::array<uint8_t, 16> source(uint64_t number) const;

  std::array<uint8_t, 16> address_{};
  size_t address_size_ = 4;
  uint16_t port_ = 0;
  uint32_t flows_ = 1;
  uint32_t source_ports_ = 1;
};

}  // namespace penstock::pktgen

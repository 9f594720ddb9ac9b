#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/base/status.h"

namespace penstock::pktgen {

// Ethernet, IPv4 and UDP headers of a packet, all checksums right.
class FrameMaker {
 public:
  static constexpr size_t kHeaders = 14 + 20 + 8;

  // `target`: an IPv4 address and port, "10.0.0.2:8125"; `option` names it in the error.
  static absl::StatusOr<FrameMaker> to(std::string_view option, std::string_view target);

  // What goes before `payload` in the frame number `number` of flow `flow`: the number is the
  // identification of the IP header, the flow the source port, from 20000.
  [[nodiscard]] std::array<uint8_t, kHeaders> headers(std::string_view payload, uint64_t number,
                                                      uint64_t flow) const;

 private:
  FrameMaker() = default;
  void fill_ipv4(uint8_t* ip, size_t total, uint64_t number) const;
  void fill_udp(uint8_t* udp, std::string_view payload, uint64_t flow) const;

  std::array<uint8_t, 4> address_{};
  uint16_t port_ = 0;
};

}  // namespace penstock::pktgen

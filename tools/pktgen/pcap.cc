// Output to a pcap file. The format is a 24-byte header and 16 bytes before each frame; writing it
// takes less code than calling libpcap.

#include <arpa/inet.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <utility>

#include "dataplane/base/fd.h"
#include "dataplane/base/strings.h"
#include "tools/pktgen/output.h"

namespace penstock::pktgen {
namespace {

constexpr size_t kEthernet = 14;
constexpr size_t kIpv4 = 20;
constexpr size_t kUdp = 8;
constexpr size_t kHeaders = kEthernet + kIpv4 + kUdp;
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

class PcapOutput : public Output {
 public:
  PcapOutput(std::FILE* file, std::string path, std::array<uint8_t, 4> address, uint16_t port,
             uint32_t flows)
      : file_(file), path_(std::move(path)), address_(address), port_(port), flows_(flows) {}
  ~PcapOutput() override {
    if (file_ != nullptr) std::fclose(file_);
  }

  absl::Status write_file_header() {
    // Magic for microseconds, version 2.4, time zone and accuracy 0, snapshot length, Ethernet.
    const std::array<uint32_t, 6> header = {0xa1b2c3d4, 2 | 4 << 16, 0, 0, 65535 + kHeaders, 1};
    return write(header.data(), sizeof header);
  }

  absl::StatusOr<SendResult> send(std::span<const std::string_view> packets, uint64_t) override {
    for (const std::string_view packet : packets) RETURN_IF_ERROR(write_frame(packet));
    return SendResult{packets.size(), false, false};
  }

  absl::Status finish() override {
    const int failed = std::fclose(std::exchange(file_, nullptr));
    return failed == 0 ? absl::OkStatus() : errno_status(errno, cat("writing ", path()));
  }

 private:
  absl::Status write_frame(std::string_view payload) {
    std::array<uint8_t, kHeaders> frame{};
    std::memcpy(frame.data(), kMacs.data(), kMacs.size());
    put16(&frame[12], 0x0800);
    fill_ipv4(&frame[kEthernet], kIpv4 + kUdp + payload.size());
    fill_udp(&frame[kEthernet + kIpv4], payload);
    const auto size = static_cast<uint32_t>(kHeaders + payload.size());
    const std::array<uint32_t, 4> record = {static_cast<uint32_t>(written_ / 1'000'000),
                                            static_cast<uint32_t>(written_ % 1'000'000), size,
                                            size};
    ++written_;
    RETURN_IF_ERROR(write(record.data(), sizeof record));
    RETURN_IF_ERROR(write(frame.data(), frame.size()));
    return write(payload.data(), payload.size());
  }

  void fill_ipv4(uint8_t* ip, size_t total) const {
    ip[0] = 0x45;
    put16(ip + 2, total);
    put16(ip + 4, written_ & 0xffff);  // identification
    put16(ip + 6, 0x4000);             // do not fragment
    ip[8] = 64;
    ip[9] = 17;
    std::memcpy(ip + 12, kSource.data(), 4);
    std::memcpy(ip + 16, address_.data(), 4);
    put16(ip + 10, fold(add_words(ip, kIpv4, 0)));
  }

  void fill_udp(uint8_t* udp, std::string_view payload) const {
    const size_t size = kUdp + payload.size();
    put16(udp, kFirstSourcePort + written_ % flows_);
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

  absl::Status write(const void* data, size_t size) {
    if (std::fwrite(data, 1, size, file_) == size) return absl::OkStatus();
    return errno_status(errno, cat("writing ", path()));
  }

  [[nodiscard]] std::string_view path() const { return path_; }

  std::FILE* file_;
  std::string path_;
  std::array<uint8_t, 4> address_;
  uint16_t port_;
  uint32_t flows_;
  uint64_t written_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Output>> open_pcap(const std::string& path, std::string_view target,
                                                  uint32_t flows) {
  const size_t colon = target.rfind(':');
  std::array<uint8_t, 4> address{};
  uint16_t port = 0;
  const bool good =
      colon != std::string_view::npos &&
      ::inet_pton(AF_INET, std::string(target.substr(0, colon)).c_str(), address.data()) == 1 &&
      std::from_chars(target.data() + colon + 1, target.data() + target.size(), port).ptr ==
          target.data() + target.size() &&
      port != 0;
  if (!good)
    return absl::InvalidArgumentError(
        cat("--pcap-to \"", target, "\": must be an IPv4 address and a port, 10.0.0.2:8125"));
  std::FILE* file = std::fopen(path.c_str(), "wbe");
  if (file == nullptr) return errno_status(errno, cat("--pcap ", std::string_view(path)));
  auto output = std::make_unique<PcapOutput>(file, path, address, port, flows);
  RETURN_IF_ERROR(output->write_file_header());
  return output;
}

}  // namespace penstock::pktgen

// Output to a pcap file. The format is a 24-byte header and 16 bytes before each frame; writing it
// takes less code than calling libpcap.

#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "dataplane/base/fd.h"
#include "dataplane/base/strings.h"
#include "tools/pktgen/frame.h"
#include "tools/pktgen/output.h"

namespace penstock::pktgen {
namespace {

class PcapOutput : public Output {
 public:
  PcapOutput(std::FILE* file, std::string path, const FrameMaker& frames, uint64_t rate)
      : file_(file), path_(std::move(path)), frames_(frames), rate_(rate) {}
  ~PcapOutput() override {
    if (file_ != nullptr) std::fclose(file_);
  }

  absl::Status write_file_header() {
    // Magic for microseconds, version 2.4, time zone and accuracy 0, snapshot length, Ethernet.
    const std::array<uint32_t, 6> header = {
        0xa1b2c3d4, 2 | 4 << 16, 0, 0, 65535 + FrameMaker::kHeadersMax, 1};
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
    const Headers headers = frames_.headers(payload, written_);
    const auto size = static_cast<uint32_t>(headers.size() + payload.size());
    const uint64_t us = record_time_us(written_, rate_);
    const std::array<uint32_t, 4> record = {static_cast<uint32_t>(us / 1'000'000),
                                            static_cast<uint32_t>(us % 1'000'000), size, size};
    ++written_;
    RETURN_IF_ERROR(write(record.data(), sizeof record));
    RETURN_IF_ERROR(write(headers.data(), headers.size()));
    return write(payload.data(), payload.size());
  }

  absl::Status write(const void* data, size_t size) {
    if (std::fwrite(data, 1, size, file_) == size) return absl::OkStatus();
    return errno_status(errno, cat("writing ", path()));
  }

  [[nodiscard]] std::string_view path() const { return path_; }

  std::FILE* file_;
  std::string path_;
  FrameMaker frames_;
  uint64_t rate_;
  uint64_t written_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Output>> open_pcap(const std::string& path, const Wire& wire,
                                                  uint64_t rate) {
  ASSIGN_OR_RETURN(const FrameMaker frames, FrameMaker::to("pcap-to", wire));
  std::FILE* file = std::fopen(path.c_str(), "wbe");
  if (file == nullptr) return errno_status(errno, cat("--pcap ", std::string_view(path)));
  auto output = std::make_unique<PcapOutput>(file, path, frames, rate);
  RETURN_IF_ERROR(output->write_file_header());
  return output;
}

}  // namespace penstock::pktgen

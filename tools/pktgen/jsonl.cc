// Output to JSON lines, as penstock-replay reads them (docs/replay.md).

#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "dataplane/base/fd.h"
#include "dataplane/base/strings.h"
#include "tools/pktgen/output.h"

namespace penstock::pktgen {
namespace {

class JsonLinesOutput : public Output {
 public:
  JsonLinesOutput(std::FILE* file, std::string path, uint64_t rate)
      : file_(file), path_(std::move(path)), rate_(rate) {}
  ~JsonLinesOutput() override {
    if (file_ != nullptr) std::fclose(file_);
  }

  absl::StatusOr<SendResult> send(std::span<const std::string_view> packets, uint64_t) override {
    for (const std::string_view packet : packets) {
      const uint64_t us = record_time_us(written_++, rate_);
      const std::string text = nlohmann::json(packet).dump();
      if (std::fprintf(file_, "{\"t\":%llu.%06llu,\"packet\":%s}\n",
                       static_cast<unsigned long long>(us / 1'000'000),
                       static_cast<unsigned long long>(us % 1'000'000), text.c_str()) < 0)
        return errno_status(errno, cat("writing ", std::string_view(path_)));
    }
    return SendResult{packets.size(), false, false};
  }

  absl::Status finish() override {
    if (std::fclose(std::exchange(file_, nullptr)) == 0) return absl::OkStatus();
    return errno_status(errno, cat("writing ", std::string_view(path_)));
  }

 private:
  std::FILE* file_;
  const std::string path_;
  const uint64_t rate_;
  uint64_t written_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Output>> open_json_lines(const std::string& path, uint64_t rate) {
  std::FILE* file = std::fopen(path.c_str(), "wbe");
  if (file == nullptr) return errno_status(errno, cat("--jsonl ", std::string_view(path)));
  return std::make_unique<JsonLinesOutput>(file, path, rate);
}

}  // namespace penstock::pktgen

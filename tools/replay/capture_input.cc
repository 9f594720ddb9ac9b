// The Agent's capture format (spec 10.4): a header, records, and the state of its tagger.

#include <cstring>
#include <string>
#include <utility>

#include "capture.pb.h"
#include "dataplane/base/strings.h"
#include "dataplane/core/senders.h"
#include "tools/replay/input.h"

namespace penstock::replay {
namespace {

constexpr size_t kHeader = 8;
constexpr uint8_t kVersionMax = 3;           // 2 has the state, 3 nanoseconds
constexpr uint32_t kMessageMax = INT32_MAX;  // protobuf's own limit
constexpr int64_t kNanoseconds = 1'000'000'000;

uint32_t load_le32(std::string_view bytes) {
  uint32_t n = 0;
  std::memcpy(&n, bytes.data(), sizeof n);  // this program runs on x86 only
  return n;
}

class Capture : public Input {
 public:
  explicit Capture(std::string bytes) : bytes_(std::move(bytes)) {}

  absl::Status open();
  absl::StatusOr<bool> next(Record& record) override;

 private:
  void read_state();
  std::string take_time(Record& record) const;

  std::string bytes_;
  uint8_t version_ = 0;
  size_t at_ = kHeader;
  uint64_t number_ = 0;
  pb::TaggerState state_;
  pb::UnixDogstatsdMsg message_;
};

absl::Status Capture::open() {
  if (bytes_.size() < kHeader) return absl::DataLossError("ends within its header");
  const auto version = static_cast<uint8_t>(bytes_[4]);
  if ((version & 0xf0) != 0xf0 || bytes_[5] != '\xff' || bytes_[6] != 0 || bytes_[7] != 0)
    return absl::InvalidArgumentError("begins like a capture of the Agent and is none");
  version_ = version & 0x0f;
  if (version_ > kVersionMax) {
    return absl::UnimplementedError(
        cat("capture version ", version_, ": at most ", kVersionMax, " is known"));
  }
  if (version_ >= 2) read_state();
  return absl::OkStatus();
}

// A capture without a whole state is good all the same (spec 10.4); its senders have no containers.
void Capture::read_state() {
  if (bytes_.size() < kHeader + 4) return;
  const uint32_t size = load_le32(std::string_view(bytes_).substr(bytes_.size() - 4));
  if (size > bytes_.size() - kHeader - 4 || size > kMessageMax) return;
  const char* begin = bytes_.data() + bytes_.size() - 4 - size;
  if (!state_.ParseFromArray(begin, static_cast<int>(size))) state_.Clear();
}

absl::StatusOr<bool> Capture::next(Record& record) {
  const std::string_view rest = std::string_view(bytes_).substr(at_);
  if (rest.size() < 4) return false;
  const uint32_t size = load_le32(rest);
  if (size == 0 || size > rest.size() - 4) return false;
  at_ += size_t{4} + size;
  ++number_;
  record = {};
  if (size > kMessageMax || !message_.ParseFromArray(rest.data() + 4, static_cast<int>(size))) {
    record.error = cat("record ", number_, ": no message of the capture format");
    return true;
  }
  if (const std::string error = take_time(record); !error.empty()) {
    record.error = cat("record ", number_, ": ", error);
    return true;
  }
  record.source = Source::kUds;
  record.packet = message_.payload();
  if (const auto container = state_.pid_map().find(message_.pid());
      container != state_.pid_map().end()) {
    record.container = container->second;
  }
  if (record.container.size() > Senders::kContainerMax)
    record.error = cat("record ", number_, ": its container is longer than ",
                       Senders::kContainerMax, " bytes");
  return true;
}

std::string Capture::take_time(Record& record) const {
  const int64_t time = message_.timestamp();
  const bool fine = version_ >= 3;
  const int64_t seconds = fine ? time / kNanoseconds : time;
  if (time < 0 || seconds >= kSecondsMax) return cat("timestamp ", time, " is no time");
  record.time_ms = to_ms(seconds, fine ? time % kNanoseconds : 0);
  record.timed = true;
  return {};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Input>> open_capture(std::string bytes) {
  auto input = std::make_unique<Capture>(std::move(bytes));
  RETURN_IF_ERROR(input->open());
  return input;
}

}  // namespace penstock::replay

#include "tools/replay/input.h"

#include <zstd.h>

#include <memory>
#include <utility>

#include "dataplane/base/strings.h"

namespace penstock::replay {
namespace {

constexpr std::string_view kZstd = "\x28\xb5\x2f\xfd";
// A frame to be skipped, which some writers begin with; the low half of its first byte is any.
constexpr std::string_view kZstdSkippable = "\x50\x2a\x4d\x18";
constexpr std::string_view kCapture = "\xd4\x74\xd0\x60";
// pcap with microseconds and nanoseconds, both byte orders, and pcapng.
constexpr std::string_view kPcap[] = {"\xd4\xc3\xb2\xa1", "\xa1\xb2\xc3\xd4", "\x4d\x3c\xb2\xa1",
                                      "\xa1\xb2\x3c\x4d", "\x0a\x0d\x0d\x0a"};
// A capture is held in memory; a few bytes of zstd can claim to be any number.
constexpr size_t kUnpackedMax = size_t{4} << 30;

bool is_zstd(std::string_view start) {
  if (start.size() < kZstd.size()) return false;
  return start == kZstd ||
         ((start[0] & 0xf0) == kZstdSkippable[0] && start.substr(1) == kZstdSkippable.substr(1));
}

struct Unpacked {
  std::string bytes;
  absl::Status end;  // an error: they were damaged after what is there
  bool cut = false;  // in the middle of a frame, after what is there
};

absl::StatusOr<Unpacked> unpack(std::string_view packed) {
  const std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> stream(ZSTD_createDStream(),
                                                                          &ZSTD_freeDStream);
  std::string out;
  ZSTD_inBuffer in{packed.data(), packed.size(), 0};
  for (;;) {
    const size_t before = out.size();
    out.resize(before + ZSTD_DStreamOutSize());
    ZSTD_outBuffer room{out.data() + before, out.size() - before, 0};
    const size_t left = ZSTD_decompressStream(stream.get(), &room, &in);
    out.resize(before + room.pos);
    if (ZSTD_isError(left) != 0) {
      const absl::Status end = absl::DataLossError(cat(
          "zstd: ", ZSTD_getErrorName(left), " at byte ", in.pos, "; what follows is not read"));
      if (out.empty()) return end;
      return Unpacked{std::move(out), end};
    }
    if (out.size() > kUnpackedMax) {
      return absl::ResourceExhaustedError(
          cat("unpacks to more than ", kUnpackedMax >> 30, " GiB; unpack it yourself"));
    }
    if (left == 0 && in.pos == in.size) return Unpacked{std::move(out), absl::OkStatus()};
    // Nothing came, though all was given: the frame goes on.
    if (left != 0 && room.pos == 0 && in.pos == in.size) {
      return Unpacked{
          std::move(out),
          absl::DataLossError("its zstd data ends in the middle of a frame: the rest is missing"),
          true};
    }
  }
}

// What is there of a damaged recording; then an error.
class Damaged : public Input {
 public:
  Damaged(std::unique_ptr<Input> input, absl::Status end)
      : input_(std::move(input)), end_(std::move(end)) {}
  absl::StatusOr<bool> next(Record& record) override {
    absl::StatusOr<bool> more = input_->next(record);
    if (!more.ok() || *more) return more;
    return end_;
  }

 private:
  std::unique_ptr<Input> input_;
  absl::Status end_;
};

absl::StatusOr<std::unique_ptr<Input>> open_bytes(Bytes bytes, bool packed,
                                                  const std::vector<uint16_t>& udp_ports) {
  ASSIGN_OR_RETURN(const std::string_view start, bytes.peek(4));
  if (!packed && is_zstd(start)) {
    ASSIGN_OR_RETURN(const std::string all, bytes.rest());
    ASSIGN_OR_RETURN(Unpacked unpacked, unpack(all));
    // A capture of the Agent may end anywhere (spec 10.4).
    const bool whole = unpacked.end.ok() || (unpacked.cut && unpacked.bytes.starts_with(kCapture));
    ASSIGN_OR_RETURN(auto input, open_bytes(Bytes::of(std::move(unpacked.bytes)), true, udp_ports));
    if (whole) return input;
    return std::make_unique<Damaged>(std::move(input), unpacked.end);
  }
  if (start == kCapture) {
    ASSIGN_OR_RETURN(std::string all, bytes.rest());
    return open_capture(std::move(all));
  }
  for (const std::string_view magic : kPcap) {
    if (start == magic) return open_pcap(std::move(bytes), udp_ports);
  }
  return open_json_lines(std::move(bytes));
}

}  // namespace

int64_t to_ms(int64_t seconds, int64_t nanoseconds) {
  const int64_t ms = nanoseconds / 1'000'000;
  return seconds * 1000 + (ms == 0 && nanoseconds > 0 ? 1 : ms);
}

absl::StatusOr<std::unique_ptr<Input>> open_input(const std::string& path,
                                                  const std::vector<uint16_t>& udp_ports) {
  ASSIGN_OR_RETURN(Bytes bytes, Bytes::open(path));
  return open_input(std::move(bytes), udp_ports);
}

absl::StatusOr<std::unique_ptr<Input>> open_input(Bytes bytes,
                                                  const std::vector<uint16_t>& udp_ports) {
  return open_bytes(std::move(bytes), false, udp_ports);
}

}  // namespace penstock::replay

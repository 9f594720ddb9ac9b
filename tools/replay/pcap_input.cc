// pcap and pcapng, by libpcap: UDP datagrams in Ethernet, Linux cooked or bare IP frames.

#include <pcap/pcap.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include "dataplane/base/strings.h"
#include "tools/replay/fragments.h"
#include "tools/replay/input.h"

namespace penstock::replay {
namespace {

using packet::Verdict;

constexpr size_t kAddresses = 12;  // of an Ethernet header; the EtherType follows
constexpr size_t kEthernet = kAddresses + 2;

// Where a link layer header ends and where its EtherType is. `type` beyond `size`: from the IP
// version.
struct LinkLayer {
  int link;
  size_t size, type;
};
constexpr size_t kNoType = SIZE_MAX;
constexpr LinkLayer kLinkLayers[] = {
    {DLT_LINUX_SLL, 16, 14}, {DLT_LINUX_SLL2, 20, 0}, {DLT_RAW, 0, kNoType}, {DLT_IPV4, 0, kNoType},
    {DLT_IPV6, 0, kNoType},  {DLT_NULL, 4, kNoType},  {DLT_LOOP, 4, kNoType}};

ssize_t read_cookie(void* cookie, char* out, size_t n) {
  const absl::StatusOr<size_t> got = static_cast<Bytes*>(cookie)->read(out, n);
  return got.ok() ? static_cast<ssize_t>(*got) : -1;
}

class Pcap : public Input {
 public:
  Pcap(Bytes bytes, std::vector<uint16_t> udp_ports)
      : bytes_(std::move(bytes)), udp_ports_(std::move(udp_ports)) {}
  ~Pcap() override {
    if (pcap_ != nullptr) pcap_close(pcap_);
  }

  absl::Status open();
  absl::StatusOr<bool> next(Record& record) override;

 private:
  std::span<const uint8_t> ethernet(std::span<const uint8_t> frame);
  void read(const pcap_pkthdr& header, const u_char* data, Record& record);
  void take(std::span<const uint8_t> frame, Record& record);
  bool take_given_up(Record& record);

  Bytes bytes_;
  std::vector<uint16_t> udp_ports_;
  pcap_t* pcap_ = nullptr;
  const LinkLayer* layer_ = nullptr;  // null: Ethernet
  uint64_t number_ = 0;
  std::vector<uint8_t> frame_;
  Fragments fragments_;
  std::optional<absl::Status> end_;  // of the file, and why
};

absl::Status Pcap::open() {
  std::FILE* file = ::fopencookie(&bytes_, "r", {read_cookie, nullptr, nullptr, nullptr});
  if (file == nullptr) return absl::ResourceExhaustedError("no memory to read it");
  std::array<char, PCAP_ERRBUF_SIZE> error{};
  // From now on the file is libpcap's.
  pcap_ = pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, error.data());
  if (pcap_ == nullptr) {
    std::fclose(file);
    return absl::DataLossError(error.data());
  }
  const int link = pcap_datalink(pcap_);
  if (link == DLT_EN10MB) return absl::OkStatus();
  const auto* known = std::ranges::find(kLinkLayers, link, &LinkLayer::link);
  if (known == std::end(kLinkLayers)) {
    const char* name = pcap_datalink_val_to_name(link);
    return absl::InvalidArgumentError(cat("link type ", link, " (", name == nullptr ? "?" : name,
                                          "): must be Ethernet, Linux cooked or IP"));
  }
  layer_ = known;
  return absl::OkStatus();
}

absl::StatusOr<bool> Pcap::next(Record& record) {
  record = {};
  if (take_given_up(record)) return true;
  if (end_ && !end_->ok()) return *end_;
  if (end_) return false;
  pcap_pkthdr* header = nullptr;
  const u_char* data = nullptr;
  const int got = pcap_next_ex(pcap_, &header, &data);
  ++number_;
  if (got != 1) {
    end_ = got == PCAP_ERROR_BREAK
               ? absl::OkStatus()
               : absl::DataLossError(cat("frame ", number_, ": ", pcap_geterr(pcap_),
                                         "; what follows is not read"));
    fragments_.give_up();  // nothing more will come of them
    return next(record);
  }
  read(*header, data, record);
  return true;
}

// The frames of datagrams that were given up, as one record.
bool Pcap::take_given_up(Record& record) {
  record.frames = fragments_.take_given_up();
  record.verdict = Verdict::kFragment;
  return record.frames != 0;
}

void Pcap::read(const pcap_pkthdr& header, const u_char* data, Record& record) {
  record = {};
  int64_t seconds = header.ts.tv_sec;
  // Of a pcap, an unsigned number of 32 bits that libpcap takes for a signed one.
  if (seconds < 0 && seconds >= INT32_MIN) seconds = static_cast<uint32_t>(seconds);
  if (seconds < 0 || seconds >= kSecondsMax || header.ts.tv_usec < 0 ||
      header.ts.tv_usec >= 1'000'000'000) {
    record.error = cat("frame ", number_, ": its time is no time");
    return;
  }
  record.timed = true;
  record.time_ms = to_ms(seconds, header.ts.tv_usec);
  fragments_.expire(record.time_ms);
  if (header.caplen < header.len) {
    record.error = cat("frame ", number_, ": only ", header.caplen, " of ", header.len,
                       " bytes were captured");
    return;
  }
  take({data, header.caplen}, record);
}

// Checksums are not looked at: where the sender's NIC computes them, a capture made there has none.
void Pcap::take(std::span<const uint8_t> frame, Record& record) {
  constexpr packet::ChecksumCheck kTrust{packet::Check::kTrust, packet::Check::kTrust};
  const std::span<const uint8_t> whole = ethernet(frame);
  packet::Decoded decoded{};
  record.verdict = packet::decode(whole, kTrust, decoded);
  if (record.verdict == Verdict::kFragment) {
    constexpr uint8_t kUdp = 17;
    if (decoded.protocol != kUdp) {
      record.verdict = Verdict::kNotOurs;
      return;
    }
    record.frames = 0;
    const auto joined = fragments_.add(whole, decoded, record.time_ms, record.frames);
    if (joined.empty()) return;
    record.verdict = packet::decode(joined, kTrust, decoded);
  }
  if (record.verdict != Verdict::kUdp) return;
  if (!udp_ports_.empty() && std::ranges::find(udp_ports_, decoded.dst_port) == udp_ports_.end()) {
    record.verdict = Verdict::kNotOurs;
    return;
  }
  record.packet = {reinterpret_cast<const char*>(decoded.payload), decoded.payload_len};
}

// The frame with an Ethernet header in place of its own. Empty: its own is not whole.
std::span<const uint8_t> Pcap::ethernet(std::span<const uint8_t> frame) {
  if (layer_ == nullptr) return frame;
  const auto [link, size, type] = *layer_;
  if (frame.size() < size + 1) return {};
  const std::span<const uint8_t> rest = frame.subspan(size);
  frame_.assign(kEthernet, 0);
  if (type == kNoType) {
    const bool v6 = rest[0] >> 4 == 6;
    frame_[kAddresses] = v6 ? 0x86 : 0x08;
    frame_[kAddresses + 1] = v6 ? 0xdd : 0x00;
  } else {
    std::memcpy(&frame_[kAddresses], &frame[type], 2);
  }
  frame_.insert(frame_.end(), rest.begin(), rest.end());
  return frame_;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Input>> open_pcap(Bytes bytes,
                                                 const std::vector<uint16_t>& udp_ports) {
  auto input = std::make_unique<Pcap>(std::move(bytes), udp_ports);
  RETURN_IF_ERROR(input->open());
  return input;
}

}  // namespace penstock::replay

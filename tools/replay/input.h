#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/status.h"
#include "dataplane/core/packet.h"
#include "parsers/packet/decode.h"
#include "tools/replay/bytes.h"

namespace penstock::replay {

inline constexpr int64_t kSecondsMax = 253402300800;  // the year 10000: later is no time

// A moment of the input in whole ms of Unix time, rounded down, except that what is later than a
// whole second stays later than it: comparisons with seconds are exact.
int64_t to_ms(int64_t seconds, int64_t nanoseconds);

// One record of the input: a packet, or what is in its place.
struct Record {
  // What is wrong with it, with its number ("line 3: ..."); empty: nothing. A wrong one has no
  // packet.
  std::string error;
  bool timed = false;  // `time_ms` is known: the clock follows it, whatever else there is
  int64_t time_ms = 0;
  // Frames of a capture that it stands for: several of a datagram that came in fragments; none of a
  // fragment whose fate is not known yet.
  uint32_t frames = 1;
  // kUdp: `packet` holds a datagram of DogStatsD, else the server would not have taken it.
  packet::Verdict verdict = packet::Verdict::kUdp;
  std::string_view packet;  // valid until the next record
  Source source = Source::kUdp;
  std::string_view container;  // the sender's, if known; valid until the next record
};

// Recorded traffic, record by record, in the order of the file. One thread.
class Input {
 public:
  virtual ~Input() = default;
  // False at the end. An error ends the input: reading failed, or the file is beyond understanding.
  virtual absl::StatusOr<bool> next(Record& record) = 0;
};

// Opens `path` ("-" is standard input) and tells by its first bytes what it is: pcap or pcapng, the
// Agent's capture format (spec 10.4), else JSON lines; each may be compressed with zstd. Of a pcap,
// datagrams to `udp_ports` are ours; empty: to any port.
absl::StatusOr<std::unique_ptr<Input>> open_input(const std::string& path,
                                                  const std::vector<uint16_t>& udp_ports);

// The same of bytes that are open already.
absl::StatusOr<std::unique_ptr<Input>> open_input(Bytes bytes,
                                                  const std::vector<uint16_t>& udp_ports);

// The formats.
std::unique_ptr<Input> open_json_lines(Bytes bytes);
absl::StatusOr<std::unique_ptr<Input>> open_pcap(Bytes bytes,
                                                 const std::vector<uint16_t>& udp_ports);
absl::StatusOr<std::unique_ptr<Input>> open_capture(std::string bytes);

}  // namespace penstock::replay

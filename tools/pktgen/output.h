#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/status.h"
#include "tools/pktgen/frame.h"
#include "tools/pktgen/traffic.h"

namespace penstock::pktgen {

inline constexpr size_t kBatch = 32;  // most packets in one send

// What became of a batch: the first `accepted` packets were taken.
struct SendResult {
  size_t accepted = 0;
  bool waited = false;   // the receiver or the kernel had no room; waited for it, at most 100 ms
  bool refused = false;  // UDP: an earlier packet met a closed port, and this call sent none
};

// Where packets go. One thread.
class Output {
 public:
  Output() = default;
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  virtual ~Output() = default;

  // Sends up to kBatch packets as flow `flow` (taken modulo the flows of the output). An error is
  // final: a receiver that went away, a full disk.
  virtual absl::StatusOr<SendResult> send(std::span<const std::string_view> packets,
                                          uint64_t flow) = 0;

  // Flushes what is buffered. Call once, after the last send.
  virtual absl::Status finish() { return absl::OkStatus(); }
};

// Kernel UDP to `target`, "HOST:PORT" or "[HOST]:PORT"; each flow is a socket with a source port of
// its own. 1 to 1024 flows.
absl::StatusOr<std::unique_ptr<Output>> open_udp(std::string_view target, uint32_t flows);

// Unix datagrams to the socket at `path`; each flow is a socket of its own.
absl::StatusOr<std::unique_ptr<Output>> open_uds(const std::string& path, uint32_t flows);

// Frames to the Unix stream socket at `path`; each flow is a connection of its own. SIGPIPE must be
// ignored.
absl::StatusOr<std::unique_ptr<Output>> open_uds_stream(const std::string& path, uint32_t flows);

// Lines to the named pipe at `path`, which somebody must read. SIGPIPE must be ignored.
absl::StatusOr<std::unique_ptr<Output>> open_pipe(const std::string& path);

// The time of record `n` of a file with `rate` packets a second, from 0: it follows from the
// options alone, so that equal options make equal files.
constexpr uint64_t record_time_us(uint64_t n, uint64_t rate) { return n * 1'000'000 / rate; }
inline constexpr uint64_t kFileRate = 1'000'000;

// A new pcap file at `path` of Ethernet, IP and UDP, all checksums right.
absl::StatusOr<std::unique_ptr<Output>> open_pcap(const std::string& path, const Wire& wire,
                                                  uint64_t rate = kFileRate);

// A new file at `path` of JSON lines for penstock-replay, the packets as of UDP.
absl::StatusOr<std::unique_ptr<Output>> open_json_lines(const std::string& path,
                                                        uint64_t rate = kFileRate);

// The DPDK port `device`, a PCI address or any vdev string, with the same frames: an output for
// each of `queues` transmit queues, to be used by a thread each, the one at i for packets i, i +
// queues, ... of the deck. There each packet is told by its address, is built once, and has its
// flow from then on. Needs root. Waits for the link up to 20 s. At most once in a process.
absl::StatusOr<std::vector<std::unique_ptr<Output>>> open_dpdk(const std::string& device,
                                                               const Wire& wire, const Deck& deck,
                                                               uint32_t queues);

}  // namespace penstock::pktgen

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "dataplane/base/status.h"

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

// A new pcap file at `path` of Ethernet, IPv4 and UDP to `target` (an IPv4 address and port), all
// checksums right; flows are source ports from 20000. Packet times are a microsecond apart from 0,
// so that equal options make equal files.
absl::StatusOr<std::unique_ptr<Output>> open_pcap(const std::string& path, std::string_view target,
                                                  uint32_t flows);

// The DPDK port `device`, a PCI address or any vdev string, with the same frames. `packets` is how
// many distinct ones there are; each is told by its address, is built once, 4 KiB, and has its flow
// from then on. Needs root. Waits for the link up to 20 s. At most once in a process.
absl::StatusOr<std::unique_ptr<Output>> open_dpdk(const std::string& device,
                                                  std::string_view target, uint32_t flows,
                                                  size_t packets);

}  // namespace penstock::pktgen

#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/base/fd.h"
#include "dataplane/base/status.h"

namespace penstock::agent {

// The private wire between penstockd and the data plane: fixed PODs over SOCK_SEQPACKET,
// descriptors as SCM_RIGHTS. It may change with every build; both ends check the build id. The
// listening socket lies in the 0700 run directory and belongs to the data plane, so that the next
// penstockd finds it.
//
//   penstockd                      data plane
//             <- Hello (+ fds)              on connect; one penstockd at a time, the newest wins
//             <- PortState                  one for each port of the Plan, after Hello and when it
//             changes
//             <- SegmentReady (+ fd)        each held Segment, oldest first, then each new one
//   SegmentAck ->                           the exporters have it, or gave it up: forget it
//   Stop ->                                 close the sources, seal everything, deliver, exit
//             <- Drained                    after the last SegmentReady; the data plane exits once
//             all are acknowledged

inline constexpr uint32_t kVersion = 1;
inline constexpr size_t kFdsMax = 24;  // plan, stats, listeners

enum class Type : uint32_t { kHello = 1, kPortState, kSegmentReady, kSegmentAck, kStop, kDrained };

struct Header {
  Type type;
  uint32_t version;
};

// Descriptors that come with it: the Plan, the stats segment, then the listeners in the Plan's
// order.
struct Hello {
  Header header;
  std::array<char, 48> build_id;
  uint64_t plan_hash;
  uint64_t instance;  // random, of this data-plane process; Segments carry it
  int32_t pid;
  uint32_t listener_count;
  int64_t started_unix_ms;
};

// How a port is doing; `text` is what to show a person: the reason it failed, or its driver,
// offloads and MAC.
struct PortState {
  Header header;
  uint32_t port;  // index in the Plan
  uint8_t up;     // 1: receiving
  uint8_t link;   // 1: link is up
  std::array<char, 242> text;
};

// Comes with the Segment's sealed memfd.
struct SegmentReady {
  Header header;
  uint64_t sequence;  // from 1, without gaps, per instance
  int64_t bucket_start;
  uint64_t points;
  uint64_t samples;
};

struct SegmentAck {
  Header header;
  uint64_t sequence;
};

struct Stop {
  Header header;
};

struct Drained {
  Header header;
  uint64_t last_sequence;
};

union Message {
  Header header;
  Hello hello;
  PortState port_state;
  SegmentReady segment_ready;
  SegmentAck segment_ack;
  Stop stop;
  Drained drained;
};

// Sends one message; blocks unless the socket is non-blocking. UNAVAILABLE when the peer is gone,
// RESOURCE_EXHAUSTED when a non-blocking socket is full.
absl::Status send(int socket, const Header& message, std::span<const int> fds = {});

struct Received {
  Message message;
  std::vector<Fd> fds;
};
// Receives one message (blocks unless the socket is non-blocking). OUT_OF_RANGE at end of stream,
// UNAVAILABLE when a non-blocking socket has none, INVALID_ARGUMENT for a message of the wrong
// version, type or size, RESOURCE_EXHAUSTED when its descriptors did not fit in this process: the
// message is gone, and a new connection brings it again.
absl::StatusOr<Received> receive(int socket);

// Identifies the build: binaries that do not share it never talk. At most 47 bytes.
std::string_view build_id();

}  // namespace penstock::agent

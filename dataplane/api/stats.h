#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/api/latency.h"
#include "dataplane/base/fd.h"
#include "dataplane/base/status.h"

namespace penstock {

// The stats segment: a memfd with a typed directory and one cache-aligned block of counters for
// every writer. A block has exactly one writing thread (named at its type below); anyone may read
// it, without locks, also after the writer died. Counters only grow and are published by relaxed
// stores, once a burst; a reader sees each counter whole but not several of them at one instant.
//
// penstockd creates the memfd, the data plane fills the directory before it receives a packet, and
// `StatsView` reads it by name, so a tool needs no header of ours to dump it.

// A counter with one writer: a load, an add and a store, never a locked instruction.
class Counter {
 public:
  void add(uint64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void set(uint64_t n) { value_.store(n, std::memory_order_relaxed); }
  [[nodiscard]] uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};
static_assert(sizeof(Counter) == 8);

// What can happen to a packet before a shard sees it: each packet offered to us is in exactly one
// of
//   missed, no_buffer, not_ours, malformed_*, fragments_*, truncated, ring_full, dispatched
//   (architecture, section 11)
// where `offered` = received + missed + no_buffer. Sources are rx queues (writer: their lcore;
// `missed` and `no_buffer`: the keeper, in a SourceLossStats) and listeners (writer: the io
// thread).
#define PENSTOCK_SOURCE_COUNTERS(X)                                                               \
  X(received)       /* packets taken from the NIC or the socket */                                \
  X(received_bytes) /* UDP payload or datagram bytes of dispatched packets */                     \
  X(not_ours)       /* another protocol, address or port; answered ones included */               \
  X(malformed_ethernet)                                                                           \
  X(malformed_ipv4)                                                                               \
  X(malformed_ipv6)                                                                               \
  X(malformed_udp)                                                                                \
  X(malformed_checksum)                                                                           \
  X(malformed_fragment)    /* IP fragments that never made a datagram: the others did             \
                              not come in time, they overlap, or are too many */                  \
  X(malformed_frame_empty) /* stream: a frame of length 0; ends its connection */                 \
  X(malformed_frame_long)  /* stream: one longer than dogstatsd_buffer_size; likewise */          \
  X(malformed_cut_off)     /* stream: ends in a frame; pipe: a drain in a line */                 \
  X(fragments_joined)      /* fragments beyond the first of joined datagrams; the                 \
                              datagram itself is in one of the others */                          \
  X(fragments_full)        /* fragments refused or given up early: limits.fragments */            \
  X(fragments_waiting)     /* for the others of their datagram; a level, not a sum */             \
  X(truncated)             /* longer than dogstatsd_buffer_size; refused whole */                 \
  X(ring_full)             /* shard ring full, newest dropped */                                  \
  X(dispatched)            /* handed to a shard */                                                \
  X(forward_full)          /* to no forward target: full ring; outside the identity */            \
  X(replies)               /* ARP, NDP, ICMP echo answers and announcements of our                \
                              addresses sent; outside the identity */                             \
  X(replies_limited) /* answers not sent: rate limit or full tx queue; outside the identity */    \
  X(connections)     /* stream: accepted; outside the identity, like those that follow */         \
  X(connections_closed)                                                                           \
  X(connections_full) /* times the limit of connections was reached: others wait in the kernel */ \
  X(accept_failed)    /* for want of descriptors or memory; tried again each second */

// What a source lost before we could take it; writer: the keeper (ports) or the io thread
// (listeners).
#define PENSTOCK_LOSS_COUNTERS(X)                       \
  X(missed)    /* NIC: imissed; socket: kernel drops */ \
  X(no_buffer) /* NIC: rx_nombuf */

// What became of the packets offered to one forward target; writer: the io thread. Offered is every
// packet that was not refused, `dispatched` + `ring_full` of all sources, and
//   offered = forward_full of all sources + sent + queue_full + errors + those still on their way.
#define PENSTOCK_FORWARD_COUNTERS(X)                                               \
  X(sent)       /* packets */                                                      \
  X(sent_bytes) /* of datagrams, with the newlines that join packets */            \
  X(datagrams)  /* fewer than `sent` where packets are joined */                   \
  X(queue_full) /* given up, oldest first: the socket took nothing for too long */ \
  X(errors)     /* the kernel refused the datagram */                              \
  X(last_errno) /* of the last error; a level, not a sum */

// Whose packets of a listener with origin detection are (spec 2.6); writer: the io thread. Each
// dispatched packet is in exactly one of the first six.
#define PENSTOCK_ORIGIN_COUNTERS(X)                                                            \
  X(origin_container)  /* a container's */                                                     \
  X(origin_none)       /* the sender is in no container */                                     \
  X(origin_errors)     /* its process is of another PID namespace, or cannot be read */        \
  X(origin_replayed)   /* a replay's (gid 999888777): a process that is not of this machine */ \
  X(origin_unresolved) /* did not wait for the answer: no room to wait */                      \
  X(origin_full)       /* a container's that is not known: origins reached */                  \
  X(origin_hits)       /* of them: answered from memory */                                     \
  X(origin_lookups)    /* processes looked up */                                               \
  X(origin_waited)     /* packets that waited for that */                                      \
  X(origin_evicted)    /* processes forgotten before their time: origins reached */

// Lines and samples; writer: the shard's thread.
#define PENSTOCK_SHARD_COUNTERS(X)                                                               \
  X(packets) /* processed; = sum of dispatched, once drained */                                  \
  X(bytes)                                                                                       \
  X(lines)    /* = lines_ok + every rejected_* */                                                \
  X(lines_ok) /* = metrics + events + service_checks */                                          \
  X(metrics)  /* metric messages that parsed */                                                  \
  X(events)                                                                                      \
  X(service_checks)                                                                              \
  X(rejected_no_pipe)                                                                            \
  X(rejected_no_colon)                                                                           \
  X(rejected_empty_name)                                                                         \
  X(rejected_empty_value)                                                                        \
  X(rejected_bad_type)                                                                           \
  X(rejected_no_values)                                                                          \
  X(rejected_bad_value)                                                                          \
  X(rejected_bad_rate)                                                                           \
  X(rejected_bad_timestamp)                                                                      \
  X(rejected_event_no_colon)                                                                     \
  X(rejected_event_too_short)                                                                    \
  X(rejected_event_bad_header)                                                                   \
  X(rejected_event_empty_title)                                                                  \
  X(rejected_sc_format)                                                                          \
  X(rejected_sc_empty_name)                                                                      \
  X(rejected_sc_bad_status)                                                                      \
  X(rejected_unterminated) /* end of line required and missing (spec 4.3) */                     \
  X(samples)               /* = aggregated + timestamped + unsupported_timestamped + filtered    \
                                + overflow + nan_inf + carry_full */                             \
  X(aggregated)                                                                                  \
  X(timestamped)                                                                                 \
  X(unsupported_timestamped)                                                                     \
  X(filtered)                                                                                    \
  X(overflow) /* folded into the overflow contexts: the context table is full */                 \
  X(nan_inf)                                                                                     \
  X(carry_full)         /* timestamped samples refused: carry_bytes reached */                   \
  X(carry_full_events)  /* events and checks refused: carry_bytes reached */                     \
  X(bad_rate)           /* rate counted as 1 (architecture, section 12); outside the identity */ \
  X(samples_unkept)     /* sample_bytes reached: count, sum, min and max only */                 \
  X(bins_folded)        /* sketch_bins reached: a sketch's lowest bins became one */             \
  X(copied)             /* histogram samples copied to distributions; outside the identity */    \
  X(copies_unkept)      /* such copies with a timestamp refused: carry_bytes reached */          \
  X(set_members_unkept) /* set_members reached: the member may not be counted */                 \
  X(memo_hits)                                                                                   \
  X(memo_misses)                                                                                 \
  X(memo_evicted)                                                                                \
  X(contexts)           /* live now; a level, not a sum */                                       \
  X(contexts_full)      /* new ones turned away: contexts reached */                             \
  X(context_bytes_full) /* new ones turned away: context_bytes reached */                        \
  X(contexts_created)                                                                            \
  X(contexts_expired)                                                                            \
  X(type_clashes) /* contexts created beside one of another type */                              \
  X(flips)        /* generations flipped */

// What a shard's counters have beside those; writer: its thread, once a burst. A packet is from its
// receipt (the receive loop took it from the NIC, the io loop its completion, or of a stream or
// pipe cut its frame) until the end of the burst that it was aggregated in, as the shard's thread
// sees it; with a clock read a burst on either side.
struct ShardTimes {
  Counter pause_ns_max;    // the longest flip or step of cleaning after one; a level
  Counter latency_sum_ns;  // of all packets
  std::array<Counter, latency::kBuckets> latency;  // packets; latency.h
};

// Flush and Segments; writer: the keeper.
#define PENSTOCK_KEEPER_COUNTERS(X)                                                        \
  X(segments_sealed)                                                                       \
  X(points_sealed)  /* rows in sealed Segments */                                          \
  X(samples_sealed) /* samples behind those rows: = aggregated + overflow + timestamped */ \
  X(segments_acknowledged)                                                                 \
  X(segments_given_up) /* dropped, oldest first: segments_held reached */                  \
  X(points_given_up)                                                                       \
  X(samples_given_up)                                                                      \
  X(copies_unkept) /* copies with a timestamp given up: carry_bytes, or a stop */          \
  X(bins_folded)   /* sketch_bins reached when shards or late copies were merged */        \
  X(late_shards)   /* a shard did not flip in time; joined the next Segment */             \
  X(clock_steps)   /* the wall clock moved backwards or jumped a bucket */                 \
  X(seal_us_max)                                                                           \
  X(seal_us_last)                                                                          \
  X(heartbeat_unix_ms) /* last pass of the keeper's loop */                                \
  X(open_bucket)       /* start of the bucket now filling, Unix s */                       \
  X(drained)           /* 1 once a stop has sealed everything */

#define PENSTOCK_FIELD(name) Counter name;
struct alignas(64) SourceStats {
  PENSTOCK_SOURCE_COUNTERS(PENSTOCK_FIELD)
};
struct alignas(64) LossStats {
  PENSTOCK_LOSS_COUNTERS(PENSTOCK_FIELD)
};
struct alignas(64) ForwardStats {
  PENSTOCK_FORWARD_COUNTERS(PENSTOCK_FIELD)
};
struct alignas(64) OriginStats {
  PENSTOCK_ORIGIN_COUNTERS(PENSTOCK_FIELD)
};
struct alignas(64) ShardStats {
  PENSTOCK_SHARD_COUNTERS(PENSTOCK_FIELD)
  ShardTimes times;
};
struct alignas(64) KeeperStats {
  PENSTOCK_KEEPER_COUNTERS(PENSTOCK_FIELD)
};
#undef PENSTOCK_FIELD

enum class StatsBlock : uint32_t { kRxQueue, kListener, kLoss, kShard, kKeeper, kOrigin, kForward };

// The writer's side: lays the blocks out and fills the directory. Used once, at start of the data
// plane.
class StatsBuilder {
 public:
  // `memory` must be zeroed, 64-byte aligned and at least kStatsBytes; it outlives every returned
  // reference.
  explicit StatsBuilder(std::span<std::byte> memory);

  // Adds one block. `label` names the source, shard, keeper or forward target, e.g. "wire0/0",
  // "udp", "shard0"; at most kStatsLabelMax bytes are kept. The reference stays valid as long as
  // the memory. Dies when kStatsBlocksMax is exceeded. A kLoss or kOrigin block has the label of
  // the source it is about.
  SourceStats& add_source(StatsBlock kind, std::string_view label);
  LossStats& add_loss(std::string_view label);
  OriginStats& add_origin(std::string_view label);
  ShardStats& add_shard(std::string_view label);
  KeeperStats& add_keeper();
  ForwardStats& add_forward(std::string_view label);

  // Makes the directory visible to readers. Call when all blocks are added, before the first
  // packet.
  void publish();

 private:
  void* add(StatsBlock kind, std::string_view label, const std::vector<std::string>& names);
  std::span<std::byte> memory_;
};

inline constexpr size_t kStatsBytes = size_t{512} * 1024;
inline constexpr size_t kStatsBlocksMax = 256;
inline constexpr size_t kStatsLabelMax = 271;  // a host name, brackets and a port

// One block as a reader sees it: label and name -> value, in the order of the lists above.
struct StatsBlockValues {
  StatsBlock kind;
  std::string label;
  std::vector<std::pair<std::string, uint64_t>> counters;

  // The counter `name`, 0 if the block has none of that name.
  [[nodiscard]] uint64_t get(std::string_view name) const;
};

// Of a shard's block: the name of a bucket's counter, "latency_below_<ns>" or "latency_above", and
// all of these counters.
std::string latency_name(size_t bucket);
bool is_latency(std::string_view name);
latency::Counts latency_of(const StatsBlockValues& shard);

// The reader's side. Any thread, any process; never blocks the writers.
class StatsView {
 public:
  explicit StatsView(Mapping mapping) : mapping_(std::move(mapping)) {}
  // Every block as it is now; empty while the data plane has not published its directory. Fails on
  // a segment that is not one.
  [[nodiscard]] absl::StatusOr<std::vector<StatsBlockValues>> read() const;

 private:
  Mapping mapping_;
};

}  // namespace penstock

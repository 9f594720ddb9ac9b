#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/api/sketch.h"
#include "dataplane/base/fd.h"
#include "dataplane/base/status.h"
#include "parsers/dogstatsd/cardinality.h"

namespace penstock {

// The Plan is everything the data plane is told: one flat, position-independent struct that
// penstockd compiles from the configuration and hands over in a sealed memfd. The data plane never
// sees configuration text, and a Plan that verifies needs no further checks. Strings live in
// `text`.

inline constexpr uint32_t kPlanMagic = 0x4e4c5050;  // "PPLN"
inline constexpr uint32_t kPlanVersion = 3;
inline constexpr size_t kPlanPortsMax = 8;
inline constexpr size_t kPlanRxMax = 64;  // receive queues over all ports, one lcore each
inline constexpr size_t kPlanShardsMax = 64;
inline constexpr size_t kPlanListenersMax = 16;
inline constexpr size_t kPlanForwardTargetsMax = 8;
inline constexpr uint32_t kForwardQueueMin = 64;
inline constexpr uint32_t kForwardQueueMax = 65536;
inline constexpr size_t kPlanAddressesMax = 8;  // addresses a port
inline constexpr size_t kPlanUdpPortsMax = 8;   // UDP destination ports a port
inline constexpr size_t kPlanEalArgsMax = 48;
inline constexpr size_t kPlanTagsMax = 256;
inline constexpr size_t kPlanExclusionsMax = 256;
inline constexpr size_t kPlanProfilesMax = 64;       // mapper profiles
inline constexpr size_t kPlanMappingsMax = 512;      // over all profiles
inline constexpr size_t kPlanMappingTagsMax = 2048;  // over all mappings
// `$1` and the like in the name and the tags of one mapping: each may stand for a whole name.
inline constexpr size_t kPlanMappingReferencesMax = 16;
inline constexpr size_t kPlanFiltersMax = 4096;
inline constexpr size_t kPlanTextBytes = size_t{1} << 20;

// A string in Plan::text.
struct TextRef {
  uint32_t offset;
  uint32_t size;
};

enum class Wiring : uint8_t { kInline, kPipeline };  // architecture, section 4
enum class IdleMode : uint8_t { kAdaptive, kBusy };
enum class ListenerKind : uint8_t { kUdp, kUdsDatagram, kUdsStream, kPipe };
inline constexpr size_t kListenerKinds = 4;

struct IpAddress {
  std::array<uint8_t, 16> bytes;  // network order; IPv4 in the first four
  uint8_t family;                 // 4 or 6
};

// One DPDK port. It is probed after EAL has started, so that one bad port does not stop the others.
struct PortPlan {
  TextRef name;       // of the port in configuration and counters
  TextRef device;     // devargs: a PCI address or a vdev string, "net_af_xdp0,iface=veth0"
  TextRef interface;  // kernel interface for net_af_xdp; empty otherwise
  uint16_t queues;
  uint16_t mtu;          // bytes of L3; 1500
  uint16_t descriptors;  // rx descriptors a queue
  uint8_t xdp_filter;    // 1: install our XDP program and leave the rest to the kernel
  uint8_t responder;     // 1: the whole port is ours: answer ARP, NDP, ICMP echo
  uint8_t promiscuous;
  uint8_t eol_required;  // spec section 4, step 3
  uint8_t spread;        // 1: packets go to any shard, not to that of their flow
  uint8_t udp_port_count;
  uint8_t address_count;
  std::array<uint16_t, kPlanUdpPortsMax> udp_ports;  // host order
  std::array<IpAddress, kPlanAddressesMax>
      addresses;  // ours; empty: any destination address matches
};

// One receive queue and the lcore that polls it.
struct RxPlan {
  uint8_t port;
  uint16_t queue;
  uint16_t cpu;
};

// One shard. Inline: it runs on the lcore of rx[rx]. Pipeline (rx < 0): a thread of its own on
// `cpu`.
struct ShardPlan {
  int16_t rx;
  uint16_t cpu;
};

// One kernel socket or pipe, opened by penstockd and inherited by the data plane.
struct ListenerPlan {
  TextRef name;     // "udp", "uds-unixgram": the listener ids of spec 2.8
  TextRef address;  // "127.0.0.1:8125" or the path, for messages
  ListenerKind kind;
  uint8_t eol_required;      // spec section 4, step 3
  uint8_t spread;            // 1: packets go to any shard, not to that of their flow
  uint8_t origin_detection;  // 1: packets have the container of the process that sent them
  uint16_t connections;      // kUdsStream: at most so many at a time
};

// Where every packet goes besides its shard, as it came (spec section 3).
struct ForwardPlan {
  uint32_t target_count;
  uint32_t queue;  // packets that may wait for one target
  uint8_t batch;   // 1: packets that wait together are joined with newlines
  std::array<TextRef, kPlanForwardTargetsMax> targets;  // "host:port", as in configuration
};

struct LimitsPlan {
  uint32_t contexts;       // per shard
  uint64_t context_bytes;  // strings of the contexts, per shard
  uint64_t memo_bytes;     // line memo, per shard
  uint64_t sample_bytes;   // histogram, distribution samples and bins, per shard, both generations
  uint32_t sketch_bins = sketch::kBinsMax;  // of one sketch, at most kBinsMax
  uint32_t set_members;                     // distinct (set, member) pairs per shard and interval
  uint64_t carry_bytes;    // events, checks, timestamped lines held per shard and interval
  uint32_t ring_slots;     // descriptors a ring, power of two
  uint32_t fragments = 0;  // IP fragments waiting for others, per receive queue
  uint32_t origins = 0;    // containers of senders, and processes whose container is remembered
  uint32_t segments_held;  // sealed Segments kept for a penstockd that is away
  uint64_t segment_bytes_held;
};

// dogstatsd_mapper_profiles (spec 7.1). A profile's mappings, and a mapping's tags, follow those of
// the one before.
struct MapperProfilePlan {
  TextRef prefix;  // "*": any name
  uint32_t mapping_count;
};
struct MappingPlan {
  TextRef match;
  TextRef name;  // expression
  uint32_t tag_count;
  uint32_t regex;  // 1: `match` is a regular expression, 0: a wildcard pattern
};
struct MappingTagPlan {
  TextRef key;
  TextRef value;  // expression
};
struct MapperPlan {
  uint32_t profile_count;
  uint32_t mapping_count;
  uint32_t tag_count;
  std::array<MapperProfilePlan, kPlanProfilesMax> profiles;
  std::array<MappingPlan, kPlanMappingsMax> mappings;
  std::array<MappingTagPlan, kPlanMappingTagsMax> tags;
};

// Names that are left out: metric_filterlist or statsd_metric_blocklist (spec 7.6).
struct NameFilterPlan {
  uint32_t count;
  uint32_t prefix;  // 1: an entry stands for all names that begin with it
  std::array<TextRef, kPlanFiltersMax> entries;
};

struct DogstatsdPlan {
  TextRef default_host;
  TextRef metric_namespace;  // with its trailing dot, or empty
  uint32_t tag_count;
  uint32_t exclusion_count;
  std::array<TextRef, kPlanTagsMax> tags;  // dogstatsd_tags, sorted, unique (spec 7.3)
  std::array<TextRef, kPlanExclusionsMax>
      exclusions;                          // statsd_metric_namespace_blacklist (spec 7.4)
  uint32_t buffer_size;                    // dogstatsd_buffer_size, bytes
  uint32_t context_expiry_s;               // dogstatsd_context_expiry_seconds
  uint32_t counter_expiry_s;               // dogstatsd_expiry_seconds, added for counters
  uint8_t timestamps;                      // dogstatsd_no_aggregation_pipeline
  uint8_t client_origin;                   // dogstatsd_origin_detection_client
  uint8_t origin_unified;                  // origin_detection_unified
  dogstatsd::Cardinality tag_cardinality;  // dogstatsd_tag_cardinality
  // Of containers and their tags (spec 7.5).
  uint8_t origin_optout;      // dogstatsd_origin_optout_enabled
  uint8_t entity_precedence;  // dogstatsd_entity_id_precedence
  uint8_t copy_histograms;    // histogram_copy_to_distribution
  TextRef copy_prefix;        // histogram_copy_to_distribution_prefix
  MapperPlan mapper;
  NameFilterPlan filter;
};

struct Plan {
  uint32_t magic;
  uint32_t version;
  // What is no configuration comes before the hash. By listener: how many of its socket's drops
  // earlier data planes have counted, modulo 2^32.
  std::array<uint32_t, kPlanListenersMax> drops_counted;
  // By listener, of pipes: 1 if the data plane before this one may have taken the beginning of a
  // line with it, so that what comes up to the next line feed is not a line.
  std::array<uint8_t, kPlanListenersMax> line_lost;
  // By target: 1 if its socket could be opened this time and follows the listeners'.
  std::array<uint8_t, kPlanForwardTargetsMax> forward_open;
  uint64_t hash;         // XXH3 of every byte after this field; equal Plans have equal hashes
  uint16_t control_cpu;  // keeper, and the io thread unless io_cpu says otherwise
  uint16_t io_cpu;
  Wiring wiring;
  IdleMode idle;
  uint8_t use_eal;  // 0: no port, EAL is not started
  uint16_t eal_arg_count;
  std::array<TextRef, kPlanEalArgsMax> eal_args;
  uint16_t port_count;
  uint16_t rx_count;
  uint16_t shard_count;
  uint16_t listener_count;
  std::array<PortPlan, kPlanPortsMax> ports;
  std::array<RxPlan, kPlanRxMax> rx;
  std::array<ShardPlan, kPlanShardsMax> shards;
  std::array<ListenerPlan, kPlanListenersMax> listeners;
  uint32_t io_buffers;  // provided buffers of the io thread, power of two
  ForwardPlan forward;
  LimitsPlan limits;
  DogstatsdPlan dogstatsd;
  uint32_t interval_s;  // bucket length, 10
  TextRef proc_root;    // container_proc_root: where origin detection finds the proc file system
  TextRef log_level;
  uint32_t text_size;
  std::array<char, kPlanTextBytes> text;

  [[nodiscard]] std::string_view str(TextRef r) const { return {text.data() + r.offset, r.size}; }

  // Appends `s` to `text`. Dies if it does not fit; the compiler checks the budget first
  // (text_room).
  TextRef add_text(std::string_view s);
  [[nodiscard]] size_t text_room() const { return kPlanTextBytes - text_size; }
};
static_assert(std::is_trivially_copyable_v<Plan>);

// A zeroed Plan with magic and version set. On the heap: a Plan is large.
std::unique_ptr<Plan> make_plan();

// Computes and stores `hash`. Call last.
void finish_plan(Plan& plan);

// The Plan in a sealed memfd, and back. `open_plan` checks size, magic, version, hash and every
// count and TextRef, so that what it returns may be used without further checks.
absl::StatusOr<Fd> plan_to_memfd(const Plan& plan);
absl::StatusOr<std::unique_ptr<Plan>> open_plan(int fd);

}  // namespace penstock

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/api/plan.h"
#include "dataplane/base/status.h"
#include "parsers/dogstatsd/mapper_pattern.h"

namespace penstock {

// The configuration as it was written, checked key by key; what needs the machine or several keys
// at once is the plan compiler's (compile.h). Agent keys have the Agent's names, meanings and
// defaults (spec 10.1).

struct ListenAddress {
  std::string host;
  uint16_t port = 0;
  bool operator==(const ListenAddress&) const = default;
  [[nodiscard]] std::string text() const;
};

// statsd_forward_host and _port, and penstock.forward.
struct ForwardConfig {
  std::vector<ListenAddress> targets;  // without doubles; a host may be a name
  bool batch = false;
  uint32_t queue = 4096;  // packets that may wait for one target
};

// penstock.ports[].own: which packets of the port are ours.
enum class PortOwner : uint8_t { kAuto, kUdp, kAll };

struct PortConfig {
  std::string name;
  std::string device;
  std::vector<uint16_t> udp_ports;  // empty: dogstatsd_port
  std::vector<IpAddress> addresses;
  PortOwner own = PortOwner::kAuto;
  bool spread = false;  // packets go to any shard, not to that of their flow
  uint16_t queues = 1;
  uint16_t mtu = 1500;          // bytes
  uint16_t descriptors = 1024;  // a queue
  bool promiscuous = false;
};

// penstock.listeners: what the Agent has no keys for.
struct ListenersConfig {
  uint16_t udp_sockets = 1;  // on the one address; the kernel spreads flows over them
  bool udp_spread = false;
  bool uds_spread = false;
  uint16_t stream_connections = 1024;
  bool uds_stream_spread = false;
  bool pipe_spread = false;
};

enum class WiringChoice : uint8_t { kAuto, kInline, kPipeline };
enum class HugepageChoice : uint8_t { kAuto, kNever, kRequire };

// Bounds; per shard where they concern a shard (plan.h, LimitsPlan). Bytes unless named otherwise.
struct LimitsConfig {
  uint32_t contexts = 250000;
  uint64_t context_bytes = 64ull << 20;
  uint64_t memo_bytes = 32ull << 20;
  uint64_t sample_bytes = 32ull << 20;
  uint32_t sketch_bins = 4096;  // of one sketch
  uint32_t set_members = 65536;
  uint64_t carry_bytes = 16ull << 20;
  uint32_t ring_slots = 4096;
  uint32_t fragments = 1024;
  uint32_t io_buffers = 1024;
  uint32_t origins = 65536;  // containers of senders, and processes remembered
  uint32_t segments_held = 60;
  uint64_t segment_bytes_held = 256ull << 20;
  uint64_t memory_limit = 0;  // of both processes at their bounds; 0: none
};

struct JsonLinesConfig {
  std::string path;
};

struct PrometheusConfig {
  ListenAddress listen{"127.0.0.1", 9126};
  uint32_t max_series = 250000;
  uint32_t expiry_seconds = 3600;
};

// dogstatsd_mapper_profiles (spec 7.1), free of faults.
struct MapperMapping {
  std::string match;
  dogstatsd::MatchType type = dogstatsd::MatchType::kWildcard;
  std::string name;                                       // expression
  std::vector<std::pair<std::string, std::string>> tags;  // key and expression
};
struct MapperProfile {
  std::string name;
  std::string prefix;
  std::vector<MapperMapping> mappings;
};

struct Config {
  // Agent keys.
  std::string bind_host = "localhost";
  bool use_dogstatsd = true;
  uint16_t udp_port = 8125;      // 0: off
  bool udp_port_random = false;  // `__random__`: the kernel chooses
  bool non_local_traffic = false;
  std::string socket_path = "/var/run/datadog/dsd.socket";  // empty: off
  std::string stream_socket_path;                           // empty: off
  std::string pipe_path;                                    // empty: off
  uint32_t so_rcvbuf = 0;                                   // bytes; 0: the kernel's default
  uint32_t buffer_size = 8192;                              // bytes a packet
  std::vector<std::string> tags;
  std::string metric_namespace;  // as written, without the dot that is appended
  std::vector<std::string> namespace_exclusions;
  std::string hostname;  // empty: the machine's name
  uint32_t counter_expiry_s = 300;
  uint32_t context_expiry_s = 20;
  bool eol_udp = false;
  bool eol_uds = false;
  bool eol_pipe = false;
  bool timestamps = true;
  bool client_origin = false;
  bool origin_detection = false;  // by the credentials of Unix sockets
  std::string proc_root = "/proc";
  dogstatsd::Cardinality tag_cardinality = dogstatsd::Cardinality::kLow;
  bool origin_optout = true;
  bool entity_precedence = false;
  bool origin_unified = false;
  bool filter_prefix = false;         // entries of `filter` are prefixes
  std::vector<MapperProfile> mapper;  // empty: off
  // metric_filterlist, or statsd_metric_blocklist where that is empty (spec 7.6).
  std::vector<std::string> filter;
  std::vector<std::string> histogram_aggregates{"max", "median", "avg", "count"};
  std::vector<std::string> histogram_percentiles{"0.95"};
  bool histogram_copy = false;  // to distributions
  std::string histogram_copy_prefix;

  ForwardConfig forward;

  // penstock:
  std::string run_dir = "/run/penstock";
  std::string log_level = "info";
  std::vector<PortConfig> ports;
  ListenersConfig listeners;
  std::optional<uint16_t> control_core;
  std::optional<uint16_t> io_core;
  std::vector<uint16_t> data_cores;  // empty: chosen by the compiler
  WiringChoice wiring = WiringChoice::kAuto;
  IdleMode idle = IdleMode::kAdaptive;
  HugepageChoice hugepages = HugepageChoice::kAuto;
  LimitsConfig limits;
  std::optional<JsonLinesConfig> jsonl;
  std::optional<PrometheusConfig> prometheus = PrometheusConfig{};
  std::optional<ListenAddress> http = ListenAddress{"127.0.0.1", 5080};

  Config();
};

// What reading it brought to light besides errors.
struct LoadedConfig {
  Config config;
  std::vector<std::string> warnings;  // unknown top-level keys, values that have no effect
  std::vector<std::string> ignored;   // Agent keys that Penstock knows and does not act on
  // What turned a part off, as it does in the Agent: warnings at a start, errors to a check.
  std::vector<std::string> faults;
};

using Environment = std::map<std::string, std::string, std::less<>>;

// The variables of this process whose names begin with `DD_`.
Environment read_environment();

// Reads `text`; `file` names it in messages. On failure the status is INVALID_ARGUMENT and its
// message has one line for every error found: file:line, key, value, what it must be.
absl::StatusOr<LoadedConfig> parse_config(std::string_view text, std::string_view file,
                                          const Environment& environment);

// The same of a file; NOT_FOUND, PERMISSION_DENIED ... name the path.
absl::StatusOr<LoadedConfig> load_config(const std::string& path, const Environment& environment);

// Pieces of the syntax, for tests and tools.
absl::StatusOr<uint64_t> parse_size(std::string_view text);            // "64MiB", "10MB", "512"
absl::StatusOr<uint64_t> parse_duration_ms(std::string_view text);     // Go style: "1h30m", "100ms"
absl::StatusOr<ListenAddress> parse_listen(std::string_view text);     // "127.0.0.1:80", "[::1]:80"
absl::StatusOr<ListenAddress> parse_host_port(std::string_view text);  // the same, or a name
absl::StatusOr<IpAddress> parse_ip(std::string_view text);             // v4 or v6
size_t edit_distance(std::string_view a, std::string_view b);          // insert, delete, replace
std::string nearest(std::string_view word, const std::vector<std::string_view>& among);

}  // namespace penstock

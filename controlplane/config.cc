#include "controlplane/config.h"

#include <unistd.h>
#include <yaml-cpp/depthguard.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>

#include "controlplane/config_mapper.h"
#include "controlplane/config_section.h"
#include "controlplane/exporters/points.h"
#include "dataplane/base/fd.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

constexpr uint64_t kGiB = 1ull << 30;

// Agent keys that we know and do not act on, by their first part (spec 10.1, and what most
// `datadog.yaml` files hold besides).
constexpr std::string_view kIgnoredAgentKeys[] = {"dogstatsd_stream_socket",
                                                  "dogstatsd_stream_log_too_big",
                                                  "dogstatsd_pipe_name",
                                                  "dogstatsd_windows_pipe_security_descriptor",
                                                  "dogstatsd_packet_buffer_size",
                                                  "dogstatsd_packet_buffer_flush_timeout",
                                                  "dogstatsd_queue_size",
                                                  "dogstatsd_workers_count",
                                                  "dogstatsd_pipeline_count",
                                                  "dogstatsd_pipeline_autoadjust",
                                                  "dogstatsd_pipeline_autoadjust_strategy",
                                                  "dogstatsd_flush_incomplete_buckets",
                                                  "dogstatsd_no_aggregation_pipeline_batch_size",
                                                  "dogstatsd_origin_detection",
                                                  "dogstatsd_string_interner_size",
                                                  "dogstatsd_disable_verbose_logs",
                                                  "dogstatsd_metrics_stats_enable",
                                                  "dogstatsd_stats_enable",
                                                  "dogstatsd_stats_buffer",
                                                  "dogstatsd_stats_port",
                                                  "dogstatsd_logging_enabled",
                                                  "dogstatsd_log_file",
                                                  "dogstatsd_log_file_max_size",
                                                  "dogstatsd_log_file_max_rolls",
                                                  "dogstatsd_capture_path",
                                                  "dogstatsd_capture_depth",
                                                  "dogstatsd_telemetry_enabled_listener_id",
                                                  "dogstatsd_mem_based_rate_limiter",
                                                  "dogstatsd_experimental_http",
                                                  "statsd_forward_host",
                                                  "statsd_forward_port",
                                                  "aggregator_buffer_size",
                                                  "aggregator_stop_timeout",
                                                  "telemetry",
                                                  "api_key",
                                                  "app_key",
                                                  "site",
                                                  "dd_url",
                                                  "additional_endpoints",
                                                  "env",
                                                  "tags",
                                                  "log_level",
                                                  "log_file",
                                                  "logs_enabled",
                                                  "logs_config",
                                                  "apm_config",
                                                  "process_config",
                                                  "forwarder_timeout",
                                                  "forwarder_stop_timeout",
                                                  "proxy",
                                                  "skip_ssl_validation",
                                                  "cmd_port",
                                                  "expvar_port",
                                                  "confd_path",
                                                  "run_path",
                                                  "health_port",
                                                  "jmx_use_cgroup_memory_limit",
                                                  "kubernetes_kubelet_host",
                                                  "container_collect_all",
                                                  "remote_configuration",
                                                  "inventories_enabled"};

// The Agent's keys that we act on, from the file or from `DD_*` variables, which win.
class AgentKeys {
 public:
  AgentKeys(Problems& problems, const YAML::Node& top, const Environment& environment)
      : problems_(problems), top_(top), environment_(environment) {}

  std::optional<Value> get(std::string_view key, bool list = false) {
    known_.insert(std::string(key));
    const std::string variable = variable_of(key);
    const auto it = environment_.find(variable);
    if (it != environment_.end() && !it->second.empty()) {  // empty is unset, as in the Agent
      return Value(problems_, list ? words(it->second) : YAML::Node(it->second), variable);
    }
    if (!top_.IsMap()) return std::nullopt;
    const YAML::Node node = top_[std::string(key)];
    if (!node.IsDefined() || node.IsNull()) return std::nullopt;
    return Value(problems_, node, cat(at_line(problems_, node), ": ", key));
  }

  // Sorts the keys nobody asked for into known-but-ignored and unknown.
  std::vector<std::string> finish() {
    std::set<std::string> ignored;
    if (top_.IsMap()) {
      for (const auto& entry : top_) sort_out(entry.first, ignored);
    }
    for (const std::string_view key : kIgnoredAgentKeys) {
      if (environment_.contains(variable_of(key))) ignored.insert(variable_of(key));
    }
    return {ignored.begin(), ignored.end()};
  }

 private:
  static std::string variable_of(std::string_view key) {
    std::string variable = cat("DD_", key);
    for (char& c : variable) c = c == '.' ? '_' : static_cast<char>(std::toupper(c));
    return variable;
  }

  static YAML::Node words(const std::string& text) {
    YAML::Node list(YAML::NodeType::Sequence);
    std::istringstream stream(text);
    for (std::string word; stream >> word;) list.push_back(word);
    return list;
  }

  void sort_out(const YAML::Node& key_node, std::set<std::string>& ignored) {
    const std::string key = key_node.IsScalar() ? key_node.Scalar() : std::string();
    if (!seen_.insert(key).second) {
      problems_.warnings.push_back(
          cat(at_line(problems_, key_node), ": ", key, ": written twice; the first one counts"));
      return;
    }
    if (key == "penstock" || known_.contains(key)) return;
    const std::string first = key.substr(0, key.find('.'));
    if (std::ranges::find(kIgnoredAgentKeys, first) != std::end(kIgnoredAgentKeys)) {
      ignored.insert(key);
      return;
    }
    std::vector<std::string_view> among(known_.begin(), known_.end());
    among.emplace_back("penstock");
    const std::string close = nearest(key, among);
    const bool likely = edit_distance(key, close) <= 3;
    problems_.warnings.push_back(cat(at_line(problems_, key_node), ": ", key,
                                     ": unknown key, ignored",
                                     likely ? cat("; did you mean \"", close, "\"?") : ""));
  }

  Problems& problems_;
  YAML::Node top_;
  const Environment& environment_;
  std::set<std::string> known_;
  std::set<std::string> seen_;
};

void read_udp_port(const Value& v, Config& c) {
  if (v.text() == "__random__") {
    c.udp_port_random = true;
    return;
  }
  uint64_t port = 0;
  const std::string s = v.text();
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), port);
  if (s.empty() || error != std::errc() || end != s.data() + s.size() || port > 65535) {
    v.fail("must be a port from 0 (off) to 65535, or __random__");
    return;
  }
  c.udp_port = static_cast<uint16_t>(port);
}

void read_eol(const Value& v, Config& c) {
  std::vector<std::string> names;
  v.read(names);
  for (const std::string& name : names) {
    if (name == "udp") {
      c.eol_udp = true;
    } else if (name == "uds") {
      c.eol_uds = true;
    } else if (name == "named_pipe") {
      c.eol_pipe = true;
    } else {
      v.warn(cat("\"", name, "\" is not one of udp, uds, named_pipe; ignored"));  // spec 1.1
    }
  }
}

// Names that are no aggregate or percentile are skipped with a warning, as the Agent does it.
void read_histogram(AgentKeys& keys, Config& c) {
  const auto aggregates = keys.get("histogram_aggregates", true);
  if (aggregates) aggregates->read(c.histogram_aggregates);
  const auto percentiles = keys.get("histogram_percentiles", true);
  if (percentiles) percentiles->read(c.histogram_percentiles);
  if (auto v = keys.get("histogram_copy_to_distribution")) v->read(c.histogram_copy);
  if (auto v = keys.get("histogram_copy_to_distribution_prefix")) v->read(c.histogram_copy_prefix);
  std::vector<std::string> skipped;
  (void)HistogramConfig::parse(c.histogram_aggregates, {}, skipped);
  for (const std::string& name : skipped) {
    aggregates->warn(
        cat("\"", name, "\" is not one of max, min, sum, avg, median, count; skipped"));
  }
  skipped.clear();
  (void)HistogramConfig::parse({}, c.histogram_percentiles, skipped);
  for (const std::string& text : skipped) {
    percentiles->warn(cat("\"", text, "\" is not a number from 0 to 1; skipped"));
  }
}

void read_mapper_keys(AgentKeys& keys, LoadedConfig& loaded) {
  if (auto v = keys.get("dogstatsd_mapper_profiles")) {
    read_mapper(*v, loaded.config.mapper, loaded.faults);
  }
  if (auto v = keys.get("dogstatsd_mapper_cache_size")) {
    v->warn("has no effect: the line memo (penstock.limits.memo_bytes) is in its place");
  }
}

void read_cardinality(const Value& v, Config& c) {
  std::string text;
  v.read(text);
  const auto cardinality = dogstatsd::parse_cardinality(text);
  if (cardinality) {
    c.tag_cardinality = *cardinality;
  } else if (!text.empty()) {
    v.warn("is not one of low, orchestrator, high, none; low is used");  // spec 7.5
  }
}

void read_filter(AgentKeys& keys, Config& c) {
  const auto list = keys.get("metric_filterlist", true);
  const auto prefix = keys.get("metric_filterlist_match_prefix");
  const auto old_list = keys.get("statsd_metric_blocklist", true);
  const auto old_prefix = keys.get("statsd_metric_blocklist_match_prefix");
  if (list) list->read(c.filter);
  if (prefix) prefix->read(c.filter_prefix);
  std::vector<std::string> old_filter;
  bool old_filter_prefix = false;
  if (old_list) old_list->read(old_filter);
  if (old_prefix) old_prefix->read(old_filter_prefix);
  if (c.filter.empty()) {
    c.filter = std::move(old_filter);
    c.filter_prefix = old_filter_prefix;
  } else if (!old_filter.empty()) {
    old_list->warn("has no effect: metric_filterlist is in its place");
  }
}

void read_agent_keys(AgentKeys& keys, Config& c) {
  if (auto v = keys.get("use_dogstatsd")) v->read(c.use_dogstatsd);
  if (auto v = keys.get("bind_host")) v->read(c.bind_host);
  if (auto v = keys.get("dogstatsd_port")) read_udp_port(*v, c);
  if (auto v = keys.get("dogstatsd_non_local_traffic")) v->read(c.non_local_traffic);
  if (auto v = keys.get("dogstatsd_socket")) {
    v->read(c.socket_path);
    if (c.socket_path.size() > 107) v->fail("must be at most 107 bytes, the kernel's limit");
  }
  if (auto v = keys.get("dogstatsd_so_rcvbuf")) v->read_int(c.so_rcvbuf, 0, kGiB);
  if (auto v = keys.get("dogstatsd_buffer_size")) v->read_int(c.buffer_size, 64, 65535);
  if (auto v = keys.get("dogstatsd_tags", true)) {
    v->read(c.tags);
    std::ranges::sort(c.tags);  // spec 1.1
    c.tags.erase(std::unique(c.tags.begin(), c.tags.end()), c.tags.end());
    if (c.tags.size() > kPlanTagsMax) v->fail(cat("more than ", kPlanTagsMax, " tags"));
  }
  if (auto v = keys.get("statsd_metric_namespace")) v->read(c.metric_namespace);
  if (auto v = keys.get("statsd_metric_namespace_blacklist", true)) {
    v->read(c.namespace_exclusions);
    if (c.namespace_exclusions.size() > kPlanExclusionsMax) {
      v->fail(cat("more than ", kPlanExclusionsMax, " prefixes"));
    }
  }
  if (auto v = keys.get("hostname")) v->read(c.hostname);
  if (auto v = keys.get("dogstatsd_expiry_seconds")) v->read_duration_s(c.counter_expiry_s);
  if (auto v = keys.get("dogstatsd_context_expiry_seconds")) v->read_duration_s(c.context_expiry_s);
  if (auto v = keys.get("dogstatsd_eol_required", true)) read_eol(*v, c);
  if (auto v = keys.get("dogstatsd_no_aggregation_pipeline")) v->read(c.timestamps);
  if (auto v = keys.get("dogstatsd_origin_detection_client")) v->read(c.client_origin);
  if (auto v = keys.get("dogstatsd_tag_cardinality")) read_cardinality(*v, c);
  if (auto v = keys.get("dogstatsd_origin_optout_enabled")) v->read(c.origin_optout);
  if (auto v = keys.get("dogstatsd_entity_id_precedence")) v->read(c.entity_precedence);
  if (auto v = keys.get("origin_detection_unified")) v->read(c.origin_unified);
  read_filter(keys, c);
  read_histogram(keys, c);
}

PortConfig read_port(Problems& problems, const Value& entry, size_t index) {
  PortConfig port;
  port.name = cat("port", index);
  Section s(problems, entry.node(), cat("penstock.ports[", index, "]."));
  if (auto v = s.get("name")) {
    v->read(port.name);
    const bool usable = !port.name.empty() && port.name.size() <= 32 &&
                        std::ranges::all_of(port.name, [](unsigned char ch) {
                          return std::isalnum(ch) != 0 || ch == '-' || ch == '_' || ch == '.';
                        });
    if (!usable) v->fail("must be 1 to 32 letters, digits, '-', '_' or '.'");
  }
  if (auto v = s.get("device")) v->read(port.device);
  if (auto v = s.get("udp_ports")) v->read_ints(port.udp_ports, 1, 65535, kPlanUdpPortsMax);
  if (auto v = s.get("addresses")) {
    if (const auto list = v->items(kPlanAddressesMax)) {
      for (const Value& item : *list) {
        const absl::StatusOr<IpAddress> address = parse_ip(item.text());
        if (address.ok()) {
          port.addresses.push_back(*address);
        } else {
          item.fail(to_std(address.status().message()));
        }
      }
    }
  }
  if (auto v = s.get("own")) v->read_enum(port.own, {"auto", "udp", "all"});
  if (auto v = s.get("queues")) v->read_int(port.queues, 1, kPlanRxMax);
  if (auto v = s.get("mtu")) v->read_int(port.mtu, 576, 9600);
  if (auto v = s.get("descriptors")) v->read_int(port.descriptors, 64, 16384);
  s.finish();
  if (port.device.empty()) {
    problems.errors.push_back(
        cat(at_line(problems, entry.node()), ": penstock.ports[", index,
            "].device: missing; give a PCI address such as 0000:03:00.0 or a vdev such as "
            "\"net_af_xdp0,iface=eth1\""));
  }
  return port;
}

void read_ports(const Value& value, Config& c) {
  if (!value.node().IsSequence()) return value.fail("must be a list of ports");
  const auto list = value.items(kPlanPortsMax);
  if (!list) return;
  std::set<std::string> names;
  for (const Value& entry : *list) {
    PortConfig port = read_port(value.problems(), entry, c.ports.size());
    if (!names.insert(port.name).second) {
      entry.fail(cat("two ports are named \"", port.name, "\""));
    }
    c.ports.push_back(std::move(port));
  }
}

void read_cores(Problems& problems, const Value& value, Config& c) {
  Section s(problems, value.node(), "penstock.cores.");
  if (auto v = s.get("control")) {
    uint16_t core = 0;
    v->read_int(core, 0, 1023);
    c.control_core = core;
  }
  if (auto v = s.get("data")) {
    v->read_ints(c.data_cores, 0, 1023, kPlanRxMax + kPlanShardsMax);
    const std::set<uint16_t> distinct(c.data_cores.begin(), c.data_cores.end());
    if (distinct.size() != c.data_cores.size()) v->fail("names a core twice");
    if (c.data_cores.empty())
      v->fail("must name at least one core; leave it out to have it chosen");
  }
  s.finish();
}

void read_power_of_two(const Value& v, uint32_t& out, uint64_t min, uint64_t max) {
  uint32_t n = out;
  v.read_int(n, min, max);
  if ((n & (n - 1)) != 0) return v.fail("must be a power of two");
  out = n;
}

void read_limits(Problems& problems, const Value& value, LimitsConfig& l) {
  constexpr uint64_t kKiB = 1024;
  Section s(problems, value.node(), "penstock.limits.");
  if (auto v = s.get("contexts")) v->read_int(l.contexts, 16, 16u << 20);
  if (auto v = s.get("context_bytes")) v->read_size(l.context_bytes, 64 * kKiB, 64 * kGiB);
  if (auto v = s.get("memo_bytes")) v->read_size(l.memo_bytes, 64 * kKiB, 64 * kGiB);
  if (auto v = s.get("sample_bytes")) v->read_size(l.sample_bytes, 64 * kKiB, 64 * kGiB);
  if (auto v = s.get("set_members")) v->read_int(l.set_members, 16, 64u << 20);
  if (auto v = s.get("carry_bytes")) v->read_size(l.carry_bytes, 64 * kKiB, 4 * kGiB);
  if (auto v = s.get("ring_slots")) read_power_of_two(*v, l.ring_slots, 64, 65536);
  if (auto v = s.get("io_buffers")) read_power_of_two(*v, l.io_buffers, 16, 32768);
  if (auto v = s.get("segments_held")) v->read_int(l.segments_held, 1, 100000);
  if (auto v = s.get("segment_bytes_held")) {
    v->read_size(l.segment_bytes_held, kKiB * kKiB, 1024 * kGiB);
  }
  if (auto v = s.get("memory_limit")) v->read_size(l.memory_limit, 0, 1024 * kGiB);
  s.finish();
}

void read_exporters(Problems& problems, const YAML::Node& node, Config& c) {
  c.prometheus.reset();
  Section s(problems, node, "penstock.exporters.");
  if (auto v = s.get("jsonl")) {
    c.jsonl.emplace();
    Section jsonl(problems, v->node(), "penstock.exporters.jsonl.");
    if (auto path = jsonl.get("path")) path->read(c.jsonl->path);
    if (c.jsonl->path.empty() || c.jsonl->path.front() != '/') {
      problems.errors.push_back(cat(at_line(problems, v->node()),
                                    ": penstock.exporters.jsonl.path = \"", c.jsonl->path,
                                    "\": must be an absolute path"));
    }
    jsonl.finish();
  } else if (s.has("jsonl")) {
    problems.errors.push_back("penstock.exporters.jsonl.path: missing; give an absolute path");
  }
  const auto prometheus = s.get("prometheus");
  if (s.has("prometheus")) {
    c.prometheus.emplace();
    Section p(problems, prometheus ? prometheus->node() : YAML::Node(),
              "penstock.exporters.prometheus.");
    if (auto v = p.get("listen")) {
      std::optional<ListenAddress> listen = c.prometheus->listen;
      v->read_listen(listen);
      if (!listen) v->fail("must be an address; leave out `prometheus` to turn it off");
      c.prometheus->listen = listen.value_or(c.prometheus->listen);
    }
    if (auto v = p.get("max_series")) v->read_int(c.prometheus->max_series, 1, 100u << 20);
    if (auto v = p.get("expiry_seconds")) v->read_duration_s(c.prometheus->expiry_seconds);
    p.finish();
  }
  s.finish();
}

void read_penstock(Problems& problems, const YAML::Node& node, Config& c) {
  Section s(problems, node, "penstock.");
  if (auto v = s.get("run_dir")) {
    v->read(c.run_dir);
    while (c.run_dir.size() > 1 && c.run_dir.back() == '/') c.run_dir.pop_back();
    // The longest socket name in it must fit a sockaddr_un.
    if (c.run_dir.empty() || c.run_dir.front() != '/' || c.run_dir.size() > 90) {
      v->fail("must be an absolute path of at most 90 bytes");
    }
  }
  if (auto v = s.get("log_level")) {
    size_t unused = 0;
    v->read_enum(unused, {"trace", "debug", "info", "warning", "error", "off"});
    v->read(c.log_level);
  }
  if (auto v = s.get("ports")) read_ports(*v, c);
  if (auto v = s.get("cores")) read_cores(problems, *v, c);
  if (auto v = s.get("wiring")) v->read_enum(c.wiring, {"auto", "inline", "pipeline"});
  if (auto v = s.get("idle")) v->read_enum(c.idle, {"adaptive", "busy"});
  if (auto v = s.get("hugepages")) v->read_enum(c.hugepages, {"auto", "never", "require"});
  if (auto v = s.get("limits")) read_limits(problems, *v, c.limits);
  if (s.has("exporters")) read_exporters(problems, node["exporters"], c);
  (void)s.get("exporters");
  if (auto v = s.get("http")) {
    Section http(problems, v->node(), "penstock.http.");
    if (auto listen = http.get("listen")) listen->read_listen(c.http);
    http.finish();
  }
  s.finish();
}

}  // namespace

Config::Config()
    : namespace_exclusions{"datadog.agent",
                           "datadog.dogstatsd",
                           "datadog.process",
                           "datadog.trace_agent",
                           "datadog.tracer",
                           "activemq",
                           "activemq_58",
                           "airflow",
                           "cassandra",
                           "confluent",
                           "hazelcast",
                           "hive",
                           "ignite",
                           "jboss",
                           "jvm",
                           "kafka",
                           "presto",
                           "sidekiq",
                           "solr",
                           "tomcat",
                           "runtime"} {}

Environment read_environment() {
  Environment environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const size_t equals = text.find('=');
    if (!text.starts_with("DD_") || equals == std::string_view::npos) continue;
    environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

absl::StatusOr<LoadedConfig> parse_config(std::string_view text, std::string_view file,
                                          const Environment& environment) {
  LoadedConfig loaded;
  Problems problems{std::string(file), {}, {}};
  try {
    const YAML::Node top = YAML::Load(std::string(text));
    if (top.IsDefined() && !top.IsNull() && !top.IsMap()) {
      return absl::InvalidArgumentError(cat(file, ":1: must be a map of keys (YAML)"));
    }
    AgentKeys agent(problems, top, environment);
    read_agent_keys(agent, loaded.config);
    read_mapper_keys(agent, loaded);
    if (top.IsMap() && top["penstock"].IsDefined()) {
      read_penstock(problems, top["penstock"], loaded.config);
    }
    loaded.ignored = agent.finish();
  } catch (const YAML::DeepRecursion& e) {
    return absl::InvalidArgumentError(
        cat(file, ":", e.mark.line + 1, ": not valid YAML: nested too deeply"));
  } catch (const YAML::Exception& e) {
    return absl::InvalidArgumentError(
        cat(file, ":", e.mark.line + 1, ": not valid YAML: ", std::string_view(e.msg)));
  }
  if (!problems.errors.empty()) {
    std::string all;
    for (const std::string& error : problems.errors) all += all.empty() ? error : "\n" + error;
    return absl::InvalidArgumentError(all);
  }
  loaded.warnings = std::move(problems.warnings);
  return loaded;
}

absl::StatusOr<LoadedConfig> load_config(const std::string& path, const Environment& environment) {
  std::ifstream stream(path);
  if (!stream) return errno_status(errno, cat("configuration ", path));
  std::string text;
  try {
    stream.exceptions(std::ios::badbit);
    text.assign(std::istreambuf_iterator<char>(stream), {});
  } catch (const std::ios::failure&) {  // a directory opens, and cannot be read
    return errno_status(errno, cat("configuration ", path));
  }
  return parse_config(text, path, environment);
}

}  // namespace penstock

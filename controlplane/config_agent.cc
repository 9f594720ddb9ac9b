#include "controlplane/config_agent.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <set>
#include <sstream>

#include "controlplane/config_forward.h"
#include "controlplane/config_mapper.h"
#include "controlplane/exporters/points.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

// Agent keys that we know and do not act on, by their first part (spec 10.1, and what most
// `datadog.yaml` files hold besides).
constexpr std::string_view kIgnoredAgentKeys[] = {"dogstatsd_stream_log_too_big",
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
  int64_t port = 0;
  const std::string s = v.text();
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), port);
  const bool number = !s.empty() && error == std::errc() && end == s.data() + s.size();
  if (!number) v.warn("is no port, which turns UDP off; give 1 to 65535, 0 (off) or __random__");
  if (port > 65535) return v.fail("must be a port from 1 to 65535, 0 (off) or __random__");
  c.udp_port = number && port > 0 ? static_cast<uint16_t>(port) : 0;  // spec 2.1
}

// The path of a Unix socket; empty: off.
void read_socket_path(const Value& v, std::string& path) {
  v.read(path);
  if (path.size() > 107) v.fail("must be at most 107 bytes, the kernel's limit");
}

void read_bind_host(const Value& v, std::string& host) {
  v.read(host);
  if (host.size() > 253) v.fail("must be at most 253 bytes, as the name of a host is");
}

// A name without a slash is one of Windows, which the Agent ignores elsewhere.
void read_pipe_path(const Value& v, std::string& path) {
  v.read(path);
  if (path.size() > 4095) v.fail("must be at most 4095 bytes, the kernel's limit");
  if (path.empty() || path.front() == '/') return;
  v.warn("is not an absolute path, which a pipe of this system has; there is no pipe");
  path.clear();
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

void read_proc_root(const Value& v, Config& c) {
  v.read(c.proc_root);
  while (c.proc_root.size() > 1 && c.proc_root.back() == '/') c.proc_root.pop_back();
  if (c.proc_root.empty() || c.proc_root.front() != '/' || c.proc_root.size() > 4000) {
    v.fail("must be an absolute path of at most 4000 bytes");
  }
}

void read_listener_keys(AgentKeys& keys, Config& c) {
  if (auto v = keys.get("use_dogstatsd")) v->read(c.use_dogstatsd);
  if (auto v = keys.get("bind_host")) read_bind_host(*v, c.bind_host);
  if (auto v = keys.get("dogstatsd_port")) read_udp_port(*v, c);
  if (auto v = keys.get("dogstatsd_non_local_traffic")) v->read(c.non_local_traffic);
  if (auto v = keys.get("dogstatsd_socket")) read_socket_path(*v, c.socket_path);
  if (auto v = keys.get("dogstatsd_stream_socket")) read_socket_path(*v, c.stream_socket_path);
  if (auto v = keys.get("dogstatsd_pipe_name")) read_pipe_path(*v, c.pipe_path);
  if (auto v = keys.get("dogstatsd_origin_detection")) v->read(c.origin_detection);
  if (auto v = keys.get("container_proc_root")) read_proc_root(*v, c);
  if (auto v = keys.get("dogstatsd_so_rcvbuf")) v->read_int(c.so_rcvbuf, 0, 1u << 30);
  if (auto v = keys.get("dogstatsd_buffer_size")) v->read_int(c.buffer_size, 64, 65535);
}

// Spec section 3: both or nothing.
void read_forward_keys(AgentKeys& keys, Config& c) {
  const auto host = keys.get("statsd_forward_host");
  const auto port = keys.get("statsd_forward_port");
  ListenAddress target;
  if (host) host->read(target.host);
  if (port) port->read_int(target.port, 0, 65535);
  if (!target.host.empty() && target.port != 0) {
    add_forward_target(*host, target, c.forward);
  } else if (!target.host.empty()) {
    host->warn("has no effect without statsd_forward_port");
  } else if (target.port != 0) {
    port->warn("has no effect without statsd_forward_host");
  }
}

void read_metric_keys(AgentKeys& keys, Config& c) {
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
}

}  // namespace

void read_agent_keys(Problems& problems, const YAML::Node& top, const Environment& environment,
                     LoadedConfig& loaded) {
  AgentKeys keys(problems, top, environment);
  read_listener_keys(keys, loaded.config);
  read_forward_keys(keys, loaded.config);
  read_metric_keys(keys, loaded.config);
  read_filter(keys, loaded.config);
  read_histogram(keys, loaded.config);
  read_mapper_keys(keys, loaded);
  loaded.ignored = keys.finish();
}

}  // namespace penstock

#include "controlplane/config.h"

#include <unistd.h>
#include <yaml-cpp/depthguard.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <fstream>
#include <set>

#include "absl/strings/str_replace.h"
#include "controlplane/config_agent.h"
#include "controlplane/config_forward.h"
#include "controlplane/config_section.h"
#include "dataplane/api/sketch.h"
#include "dataplane/base/fd.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

constexpr uint64_t kGiB = 1ull << 30;
constexpr uint64_t kUdpSocketsMax = 8;  // one thread reads them all; kPlanListenersMax has room

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
    // Its queues would have the names of the UDP sockets: "udp/0".
    if (port.name == "udp") v->fail("is the name of a listener; choose another");
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
  if (auto v = s.get("spread")) v->read(port.spread);
  if (auto v = s.get("queues")) v->read_int(port.queues, 1, kPlanRxMax);
  if (auto v = s.get("promiscuous")) v->read(port.promiscuous);
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
  std::set<std::string> devices;
  for (const Value& entry : *list) {
    PortConfig port = read_port(value.problems(), entry, c.ports.size());
    if (!names.insert(port.name).second) {
      entry.fail(cat("two ports are named \"", port.name, "\""));
    }
    const std::string device = port.device.substr(0, port.device.find(','));
    if (!device.empty() && !devices.insert(device).second) {
      entry.fail(cat("two ports have the device \"", device,
                     "\"; virtual ones are told apart by a number, net_af_xdp0, net_af_xdp1"));
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
  if (auto v = s.get("io")) {
    uint16_t core = 0;
    v->read_int(core, 0, 1023);
    c.io_core = core;
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

void read_listeners(Problems& problems, const Value& value, ListenersConfig& l) {
  Section s(problems, value.node(), "penstock.listeners.");
  if (auto v = s.get("udp")) {
    Section udp(problems, v->node(), "penstock.listeners.udp.");
    if (auto n = udp.get("sockets")) n->read_int(l.udp_sockets, 1, kUdpSocketsMax);
    if (auto on = udp.get("spread")) on->read(l.udp_spread);
    udp.finish();
  }
  if (auto v = s.get("uds")) {
    Section uds(problems, v->node(), "penstock.listeners.uds.");
    if (auto on = uds.get("spread")) on->read(l.uds_spread);
    uds.finish();
  }
  if (auto v = s.get("uds_stream")) {
    Section stream(problems, v->node(), "penstock.listeners.uds_stream.");
    if (auto n = stream.get("connections")) n->read_int(l.stream_connections, 1, 16384);
    if (auto on = stream.get("spread")) on->read(l.uds_stream_spread);
    stream.finish();
  }
  if (auto v = s.get("pipe")) {
    Section pipe(problems, v->node(), "penstock.listeners.pipe.");
    if (auto on = pipe.get("spread")) on->read(l.pipe_spread);
    pipe.finish();
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
  if (auto v = s.get("sketch_bins")) v->read_int(l.sketch_bins, 64, sketch::kBinsMax);
  if (auto v = s.get("set_members")) v->read_int(l.set_members, 16, 64u << 20);
  if (auto v = s.get("carry_bytes")) v->read_size(l.carry_bytes, 64 * kKiB, 4 * kGiB);
  if (auto v = s.get("ring_slots")) read_power_of_two(*v, l.ring_slots, 64, 65536);
  if (auto v = s.get("fragments")) v->read_int(l.fragments, 16, 65536);
  if (auto v = s.get("io_buffers")) read_power_of_two(*v, l.io_buffers, 16, 32768);
  if (auto v = s.get("origins")) v->read_int(l.origins, 16, 1u << 20);
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
  if (auto v = s.get("listeners")) read_listeners(problems, *v, c.listeners);
  if (auto v = s.get("cores")) read_cores(problems, *v, c);
  if (auto v = s.get("wiring")) v->read_enum(c.wiring, {"auto", "inline", "pipeline"});
  if (auto v = s.get("idle")) v->read_enum(c.idle, {"adaptive", "busy"});
  if (auto v = s.get("hugepages")) v->read_enum(c.hugepages, {"auto", "never", "require"});
  if (auto v = s.get("limits")) read_limits(problems, *v, c.limits);
  if (auto v = s.get("forward")) read_forward(*v, c.forward);
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
    read_agent_keys(problems, top, environment, loaded);
    if (top.IsMap() && top["penstock"].IsDefined()) {
      read_penstock(problems, top["penstock"], loaded.config);
    }
  } catch (const YAML::DeepRecursion& e) {
    return absl::InvalidArgumentError(
        cat(file, ":", e.mark.line + 1, ": not valid YAML: nested too deeply"));
  } catch (const YAML::Exception& e) {
    return absl::InvalidArgumentError(
        cat(file, ":", e.mark.line + 1, ": not valid YAML: ", std::string_view(e.msg)));
  }
  for (auto* messages : {&problems.errors, &problems.warnings, &loaded.faults})
    for (std::string& message : *messages)  // a NUL would end it where it is printed
      absl::StrReplaceAll({{absl::string_view("\0", 1), "\\0"}}, &message);
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

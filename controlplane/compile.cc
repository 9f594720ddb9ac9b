#include "controlplane/compile.h"

#include <algorithm>

#include "controlplane/cores.h"
#include "controlplane/eal_args.h"
#include "controlplane/ledger_names.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

constexpr uint32_t kIntervalS = 10;

absl::Status check_ports(const Config& config, const MachineFacts& facts) {
  if (!config.ports.empty() && !facts.root) {
    return absl::InvalidArgumentError(
        cat("penstock.ports \"", config.ports.front().name, "\" (", config.ports.front().device,
            "): DPDK ports need root, and penstockd runs without; start it as root, or leave out "
            "penstock.ports to receive from kernel sockets alone"));
  }
  for (const PortConfig& port : config.ports) {
    const std::string where = cat("penstock.ports \"", port.name, "\"");
    if (port.device.starts_with("net_af_xdp")) {
      if (port.device.find("iface=") == std::string::npos) {
        return absl::InvalidArgumentError(cat(where, ".device = \"", port.device,
                                              "\": name the interface, such as "
                                              "\"net_af_xdp0,iface=eth1\""));
      }
    } else if (port.own == PortOwner::kUdp) {
      return absl::InvalidArgumentError(
          cat(where,
              ".own = \"udp\": only net_af_xdp can leave the rest of the traffic to the "
              "kernel, and the device is \"",
              port.device, "\"; use own: all"));
    }
    if (port.udp_ports.empty() && config.udp_port == 0) {
      return absl::InvalidArgumentError(
          cat(where, ".udp_ports: missing, and dogstatsd_port is off; name the ports to receive"));
    }
  }
  return absl::OkStatus();
}

void fill_port(Plan& plan, const Config& config, const PortConfig& port) {
  PortPlan& out = plan.ports[plan.port_count++];
  out.name = plan.add_text(port.name);
  out.device = plan.add_text(port.device);
  out.interface = plan.add_text(interface_of(port.device));
  out.queues = port.queues;
  out.mtu = port.mtu;
  out.descriptors = port.descriptors;
  out.promiscuous = port.promiscuous ? 1 : 0;
  const bool af_xdp = port.device.starts_with("net_af_xdp");
  const bool udp_only = port.own == PortOwner::kUdp || (port.own == PortOwner::kAuto && af_xdp);
  out.xdp_filter = udp_only ? 1 : 0;
  out.responder = udp_only ? 0 : 1;
  out.eol_required = config.eol_udp ? 1 : 0;
  out.spread = port.spread ? 1 : 0;
  for (const uint16_t udp : port.udp_ports) out.udp_ports[out.udp_port_count++] = udp;
  if (port.udp_ports.empty()) out.udp_ports[out.udp_port_count++] = config.udp_port;
  for (const IpAddress& address : port.addresses) out.addresses[out.address_count++] = address;
}

void fill_layout(Plan& plan, const Config& config, const CoreLayout& layout) {
  plan.control_cpu = layout.control;
  plan.io_cpu = layout.io;
  plan.wiring = layout.wiring;
  plan.idle = config.idle;
  uint8_t port_index = 0;
  for (const PortConfig& port : config.ports) {
    for (uint16_t queue = 0; queue < port.queues; ++queue) {
      plan.rx[plan.rx_count] = {port_index, queue, layout.rx[plan.rx_count]};
      ++plan.rx_count;
    }
    ++port_index;
  }
  for (const uint16_t cpu : layout.shards) {
    const bool inline_wiring = layout.wiring == Wiring::kInline;
    const auto rx = static_cast<int16_t>(inline_wiring ? plan.shard_count : -1);
    plan.shards[plan.shard_count++] = {rx, cpu};
  }
}

void fill_limits(Plan& plan, const LimitsConfig& limits) {
  plan.io_buffers = limits.io_buffers;
  LimitsPlan& l = plan.limits;
  l.contexts = limits.contexts;
  l.context_bytes = limits.context_bytes;
  l.memo_bytes = limits.memo_bytes;
  l.sample_bytes = limits.sample_bytes;
  l.sketch_bins = limits.sketch_bins;
  l.set_members = limits.set_members;
  l.carry_bytes = limits.carry_bytes;
  l.ring_slots = limits.ring_slots;
  l.fragments = limits.fragments;
  l.origins = limits.origins;
  l.segments_held = limits.segments_held;
  l.segment_bytes_held = limits.segment_bytes_held;
}

void fill_forward(Plan& plan, const ForwardConfig& config) {
  ForwardPlan& f = plan.forward;
  for (const ListenAddress& target : config.targets) {
    f.targets[f.target_count++] = plan.add_text(target.text());
  }
  f.queue = config.queue;
  f.batch = config.batch ? 1 : 0;
}

void fill_mapper(Plan& plan, const std::vector<MapperProfile>& profiles) {
  MapperPlan& m = plan.dogstatsd.mapper;
  for (const MapperProfile& profile : profiles) {
    m.profiles[m.profile_count++] = {plan.add_text(profile.prefix),
                                     static_cast<uint32_t>(profile.mappings.size())};
    for (const MapperMapping& mapping : profile.mappings) {
      m.mappings[m.mapping_count++] = {plan.add_text(mapping.match), plan.add_text(mapping.name),
                                       static_cast<uint32_t>(mapping.tags.size()),
                                       mapping.type == dogstatsd::MatchType::kRegex ? 1u : 0u};
      for (const auto& [key, value] : mapping.tags) {
        m.tags[m.tag_count++] = {plan.add_text(key), plan.add_text(value)};
      }
    }
  }
}

void fill_dogstatsd(Plan& plan, const Config& config, const MachineFacts& facts) {
  DogstatsdPlan& d = plan.dogstatsd;
  d.default_host = plan.add_text(config.hostname.empty() ? facts.hostname : config.hostname);
  std::string prefix = config.metric_namespace;
  if (!prefix.empty() && prefix.back() != '.') prefix += '.';  // spec 1.1
  d.metric_namespace = plan.add_text(prefix);
  for (const std::string& tag : config.tags) d.tags[d.tag_count++] = plan.add_text(tag);
  for (const std::string& entry : config.namespace_exclusions) {
    d.exclusions[d.exclusion_count++] = plan.add_text(entry);
  }
  d.buffer_size = config.buffer_size;
  d.context_expiry_s = config.context_expiry_s;
  d.counter_expiry_s = config.counter_expiry_s;
  d.timestamps = config.timestamps ? 1 : 0;
  d.client_origin = config.client_origin ? 1 : 0;
  d.copy_histograms = config.histogram_copy ? 1 : 0;
  d.copy_prefix = plan.add_text(config.histogram_copy_prefix);
  d.origin_optout = config.origin_optout ? 1 : 0;
  d.entity_precedence = config.entity_precedence ? 1 : 0;
  d.origin_unified = config.origin_unified ? 1 : 0;
  d.tag_cardinality = config.tag_cardinality;
  fill_mapper(plan, config.mapper);
  for (const std::string& entry : config.filter) {
    d.filter.entries[d.filter.count++] = plan.add_text(entry);
  }
  d.filter.prefix = config.filter_prefix ? 1 : 0;
}

void fill_listener(Plan& plan, const Config& config, const ListenerSpec& spec) {
  ListenerPlan& out = plan.listeners[plan.listener_count++];
  out.name = plan.add_text(spec.name);
  out.address = plan.add_text(spec.address);
  out.kind = spec.kind;
  out.eol_required = spec.eol_required ? 1 : 0;
  out.spread = spec.spread ? 1 : 0;
  out.connections = spec.connections;
  // Only Unix sockets know who sent a packet.
  const bool has_credentials =
      spec.kind == ListenerKind::kUdsDatagram || spec.kind == ListenerKind::kUdsStream;
  out.origin_detection = config.origin_detection && has_credentials ? 1 : 0;
}

size_t text_bytes(const std::vector<MapperProfile>& profiles) {
  size_t bytes = 0;
  for (const MapperProfile& profile : profiles) {
    bytes += profile.prefix.size();
    for (const MapperMapping& mapping : profile.mappings) {
      bytes += mapping.match.size() + mapping.name.size();
      for (const auto& [key, value] : mapping.tags) bytes += key.size() + value.size();
    }
  }
  return bytes;
}

absl::Status check_text(const Config& config) {
  size_t bytes = config.hostname.size() + config.metric_namespace.size() +
                 config.histogram_copy_prefix.size() + config.pipe_path.size() +
                 config.proc_root.size() + 8192;  // of what is short
  for (const std::string& tag : config.tags) bytes += tag.size();
  for (const std::string& entry : config.namespace_exclusions) bytes += entry.size();
  for (const PortConfig& port : config.ports) bytes += port.name.size() + 2 * port.device.size();
  for (const std::string& entry : config.filter) bytes += entry.size();
  for (const ListenAddress& target : config.forward.targets) bytes += target.text().size();
  bytes += text_bytes(config.mapper);
  if (bytes <= kPlanTextBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      cat("dogstatsd_tags, statsd_metric_namespace_blacklist, dogstatsd_mapper_profiles, "
          "metric_filterlist, "
          "paths and device names take ",
          bytes, " bytes; at most ", kPlanTextBytes, " fit: shorten them"));
}

}  // namespace

std::vector<ListenerSpec> configured_listeners(const Config& config) {
  std::vector<ListenerSpec> specs;
  if (!config.use_dogstatsd) return specs;
  if (!config.socket_path.empty()) {
    specs.push_back({"uds-unixgram", config.socket_path, ListenerKind::kUdsDatagram, config.eol_uds,
                     config.listeners.uds_spread});
  }
  if (!config.stream_socket_path.empty()) {
    specs.push_back({.name = std::string(kStreamListener),
                     .address = config.stream_socket_path,
                     .kind = ListenerKind::kUdsStream,
                     .eol_required = config.eol_uds,
                     .spread = config.listeners.uds_stream_spread,
                     .connections = config.listeners.stream_connections});
  }
  if (config.udp_port_random || config.udp_port != 0) {
    const std::string host = config.non_local_traffic ? "::" : config.bind_host;
    const uint16_t port = config.udp_port_random ? 0 : config.udp_port;
    const uint16_t sockets = config.listeners.udp_sockets;
    for (uint16_t i = 0; i < sockets; ++i) {
      specs.push_back({sockets == 1 ? "udp" : cat("udp/", i), ListenAddress{host, port}.text(),
                       ListenerKind::kUdp, config.eol_udp, config.listeners.udp_spread,
                       sockets > 1});
    }
  }
  if (!config.pipe_path.empty()) {
    specs.push_back({"named_pipe", config.pipe_path, ListenerKind::kPipe, config.eol_pipe,
                     config.listeners.pipe_spread});
  }
  return specs;
}

absl::StatusOr<Compiled> compile(const Config& config, const MachineFacts& facts,
                                 std::span<const ListenerSpec> listeners) {
  RETURN_IF_ERROR(check_ports(config, facts));
  RETURN_IF_ERROR(check_text(config));
  Compiled c;
  ASSIGN_OR_RETURN(const CoreLayout layout, lay_out_cores(config, facts, c.notes));
  c.plan = make_plan();
  Plan& plan = *c.plan;
  for (const PortConfig& port : config.ports) fill_port(plan, config, port);
  fill_layout(plan, config, layout);
  fill_limits(plan, config.limits);
  fill_forward(plan, config.forward);
  uint64_t eal_bytes = 0;
  if (!config.ports.empty()) {
    ASSIGN_OR_RETURN(const EalPlan eal, plan_eal(config, facts, plan, c.notes));
    plan.use_eal = 1;
    for (const std::string& arg : eal.args) {
      plan.eal_args[plan.eal_arg_count++] = plan.add_text(arg);
    }
    eal_bytes = eal.memory_bytes;
  }
  for (const ListenerSpec& spec : listeners) fill_listener(plan, config, spec);
  fill_dogstatsd(plan, config, facts);
  plan.interval_s = kIntervalS;
  plan.proc_root = plan.add_text(config.proc_root);
  plan.log_level = plan.add_text(config.log_level);
  finish_plan(plan);
  c.budget = make_budget(config, plan, eal_bytes);
  RETURN_IF_ERROR(check_memory(c.budget, config.limits.memory_limit));
  return c;
}

}  // namespace penstock

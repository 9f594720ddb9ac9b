#include <algorithm>

#include "controlplane/compile.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

constexpr std::string_view kCardinalities[] = {"low", "orchestrator", "high", "none"};

std::string on_cpu(uint16_t cpu, std::string_view what) {
  std::string number = cat(cpu);
  number.resize(std::max<size_t>(number.size(), 4), ' ');
  return cat("  cpu ", number, what, "\n");
}

std::string_view way(const Plan& p, bool spread) {
  if (p.shard_count == 1) return "";
  return spread ? ", each burst to the emptiest shard" : ", each flow to its shard";
}

std::string cores(const Plan& p) {
  std::string text = on_cpu(p.control_cpu, "control: intervals, Segments, requests");
  if (p.listener_count + p.forward.target_count != 0) {
    const std::string targets =
        p.forward.target_count != 0 ? cat(", ", p.forward.target_count, " forward targets") : "";
    text += on_cpu(p.io_cpu, cat("io: ", p.listener_count, " kernel sockets", targets));
  }
  for (size_t i = 0; i < p.rx_count; ++i) {
    const RxPlan& rx = p.rx[i];
    const PortPlan& port = p.ports[rx.port];
    const std::string queue = cat(p.str(port.name), "/", rx.queue);
    text += on_cpu(rx.cpu, p.wiring == Wiring::kInline
                               ? cat("rx ", i, ": receives ", queue, " and runs shard ", i)
                               : cat("rx ", i, ": receives ", queue, way(p, port.spread != 0)));
  }
  for (size_t i = 0; i < p.shard_count; ++i) {
    if (p.shards[i].rx < 0) text += on_cpu(p.shards[i].cpu, cat("shard ", i));
  }
  return text;
}

std::string mapper(const Plan& p) {
  const MapperPlan& m = p.dogstatsd.mapper;
  std::string text;
  size_t mapping = 0;
  size_t tag = 0;
  for (size_t i = 0; i < m.profile_count; ++i) {
    text += cat("mapper profile, prefix ", p.str(m.profiles[i].prefix), "\n");
    for (size_t n = 0; n < m.profiles[i].mapping_count; ++n, ++mapping) {
      const MappingPlan& rule = m.mappings[mapping];
      text += cat(rule.regex != 0 ? "  regex " : "  wildcard ", p.str(rule.match), " -> ",
                  p.str(rule.name));
      for (size_t t = 0; t < rule.tag_count; ++t, ++tag)
        text += cat(" ", p.str(m.tags[tag].key), ":", p.str(m.tags[tag].value));
      text += "\n";
    }
  }
  return text;
}

std::string ports(const Plan& p) {
  std::string text;
  for (size_t i = 0; i < p.port_count; ++i) {
    const PortPlan& port = p.ports[i];
    text += cat("port ", p.str(port.name), ": ", p.str(port.device), ", ", port.queues,
                " queues of ", port.descriptors, ", mtu ", port.mtu,
                port.xdp_filter != 0 ? ", takes only udp"
                                     : ", takes the whole port, answers ARP, NDP, echo");
    for (size_t u = 0; u < port.udp_port_count; ++u)
      text += cat(u == 0 ? " " : ",", port.udp_ports[u]);
    text += "\n";
  }
  for (size_t i = 0; i < p.listener_count; ++i) {
    const ListenerPlan& l = p.listeners[i];
    text += cat("listener ", p.str(l.name), ": ", p.str(l.address), way(p, l.spread != 0),
                l.origin_detection != 0 ? ", detects origins" : "", "\n");
  }
  for (size_t i = 0; i < p.forward.target_count; ++i) {
    text += cat("forward to ", p.str(p.forward.targets[i]),
                p.forward.batch != 0 ? ", packets joined" : ", each packet as it came",
                ", queue of ", p.forward.queue, "\n");
  }
  return text;
}

}  // namespace

std::string describe(const Compiled& compiled) {
  const Plan& p = *compiled.plan;
  std::string text = cat("cores (", p.wiring == Wiring::kInline ? "inline" : "pipeline", "):\n",
                         cores(p), ports(p), describe(compiled.budget));
  for (const std::string& note : compiled.notes) text += cat("note: ", note, "\n");
  return text;
}

std::string print_plan(const Plan& p) {
  std::string text = cat("plan ", absl::Hex(p.hash, absl::kZeroPad16), "\nwiring ",
                         p.wiring == Wiring::kInline ? "inline" : "pipeline", ", idle ",
                         p.idle == IdleMode::kBusy ? "busy" : "adaptive", ", interval ",
                         p.interval_s, " s\n", cores(p), ports(p), "eal");
  for (size_t i = 0; i < p.eal_arg_count; ++i) text += cat(" ", p.str(p.eal_args[i]));
  const LimitsPlan& l = p.limits;
  text += cat(p.use_eal != 0 ? "" : " not started", "\nlimits contexts ", l.contexts,
              " context_bytes ", l.context_bytes, " memo_bytes ", l.memo_bytes, " sample_bytes ",
              l.sample_bytes, " sketch_bins ", l.sketch_bins, " set_members ", l.set_members);
  text += cat(" carry_bytes ", l.carry_bytes, " ring_slots ", l.ring_slots, " fragments ",
              l.fragments, " io_buffers ", p.io_buffers, " origins ", l.origins, " segments_held ",
              l.segments_held, " segment_bytes_held ", l.segment_bytes_held, "\n");
  const DogstatsdPlan& d = p.dogstatsd;
  text += cat("dogstatsd host \"", p.str(d.default_host), "\" namespace \"",
              p.str(d.metric_namespace), "\" buffer_size ", d.buffer_size, " context_expiry_s ",
              d.context_expiry_s, " counter_expiry_s ", d.counter_expiry_s, " timestamps ",
              int{d.timestamps}, " client_origin ", int{d.client_origin}, " copy_histograms ",
              int{d.copy_histograms}, " copy_prefix \"", p.str(d.copy_prefix),
              "\"\norigin cardinality ", kCardinalities[static_cast<size_t>(d.tag_cardinality)],
              " optout ", int{d.origin_optout}, " entity_precedence ", int{d.entity_precedence},
              " unified ", int{d.origin_unified}, " proc_root ", p.str(p.proc_root), "\ntags");
  for (size_t i = 0; i < d.tag_count; ++i) text += cat(" ", p.str(d.tags[i]));
  text += "\nnamespace exclusions";
  for (size_t i = 0; i < d.exclusion_count; ++i) text += cat(" ", p.str(d.exclusions[i]));
  text += "\n";
  text += mapper(p);
  if (d.filter.count == 0) return text;
  text += d.filter.prefix != 0 ? "filtered prefixes" : "filtered names";
  for (size_t i = 0; i < d.filter.count; ++i) text += cat(" ", p.str(d.filter.entries[i]));
  return text + "\n";
}

}  // namespace penstock

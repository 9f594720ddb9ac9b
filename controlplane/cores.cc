#include "controlplane/cores.h"

#include <algorithm>

#include "dataplane/base/strings.h"

namespace penstock {
namespace {

// A thread that hands packets to shards, by the NUMA node it should be on; kAnyNode: no matter.
using Feeders = std::vector<int>;

std::string list(const std::vector<uint16_t>& cpus) {
  std::string text;
  for (const uint16_t cpu : cpus) text += text.empty() ? cat(cpu) : cat(",", cpu);
  return text;
}

bool contains(const std::vector<uint16_t>& cpus, uint16_t cpu) {
  return std::ranges::find(cpus, cpu) != cpus.end();
}

Feeders queue_nodes(const Config& config, const MachineFacts& facts) {
  Feeders nodes;
  for (const PortConfig& port : config.ports) {
    nodes.insert(nodes.end(), port.queues, facts.node_of_device(port.device));
  }
  return nodes;
}

// Data cores that nobody has taken yet, in the order they are to be used.
class FreeCores {
 public:
  // `near`: whether `take` looks at nodes; where a person wrote an order, it does not.
  FreeCores(std::vector<uint16_t> cpus, const MachineFacts& facts, bool near)
      : cpus_(std::move(cpus)), facts_(facts), near_(near) {}

  [[nodiscard]] size_t size() const { return cpus_.size(); }

  // The first on `node`, or the first of all. There must be one.
  uint16_t take(int node) {
    auto it = cpus_.begin();
    if (near_ && node != MachineFacts::kAnyNode) {
      const auto on_node = std::ranges::find_if(
          cpus_, [&](uint16_t cpu) { return facts_.node_of_cpu(cpu) == node; });
      if (on_node != cpus_.end()) it = on_node;
    }
    const uint16_t cpu = *it;
    cpus_.erase(it);
    return cpu;
  }

 private:
  std::vector<uint16_t> cpus_;
  const MachineFacts& facts_;
  bool near_;
};

absl::Status check_usable(std::string_view key, uint16_t cpu, const MachineFacts& facts) {
  if (contains(facts.cpus, cpu)) return absl::OkStatus();
  const bool off = !facts.online.empty() && !contains(facts.online, cpu);
  return absl::InvalidArgumentError(cat(
      key, ": cpu ", cpu, " is not among the cpus ", list(facts.cpus), " this process may use; ",
      off ? cat("it is offline, or there is none: write 1 to /sys/devices/system/cpu/cpu", cpu,
                "/online, or name another")
          : std::string("name one of them, or widen the process's affinity (taskset, systemd's "
                        "CPUAffinity, cpuset of the container)")));
}

absl::Status check_usable(const Config& config, const MachineFacts& facts) {
  if (config.control_core) {
    RETURN_IF_ERROR(check_usable(cat("penstock.cores.control = ", *config.control_core),
                                 *config.control_core, facts));
  }
  if (config.io_core) {
    RETURN_IF_ERROR(
        check_usable(cat("penstock.cores.io = ", *config.io_core), *config.io_core, facts));
  }
  for (const uint16_t cpu : config.data_cores) {
    RETURN_IF_ERROR(
        check_usable(cat("penstock.cores.data = ", list(config.data_cores)), cpu, facts));
  }
  return absl::OkStatus();
}

uint16_t choose_control(const Config& config, const MachineFacts& facts) {
  if (config.control_core) return *config.control_core;
  for (const uint16_t cpu : facts.cpus) {
    if (!contains(config.data_cores, cpu) && config.io_core != cpu) return cpu;
  }
  return facts.cpus.front();
}

std::vector<uint16_t> choose_data(const Config& config, const MachineFacts& facts,
                                  uint16_t control) {
  if (!config.data_cores.empty()) return config.data_cores;
  std::vector<uint16_t> data = facts.cpus;
  if (config.io_core && data.size() > 1) std::erase(data, *config.io_core);
  if (data.size() > 1) std::erase(data, control);
  return data;
}

absl::StatusOr<Wiring> choose_wiring(const Config& config, size_t data, size_t queues) {
  if (queues == 0) {
    if (config.wiring == WiringChoice::kInline) {
      return absl::InvalidArgumentError(
          "penstock.wiring = \"inline\": there is no port whose receive loop could run a shard; "
          "use auto or pipeline, or add one under penstock.ports");
    }
    return Wiring::kPipeline;
  }
  if (config.wiring == WiringChoice::kInline) return Wiring::kInline;
  if (config.wiring == WiringChoice::kPipeline) return Wiring::kPipeline;
  return data <= 2 || data <= queues ? Wiring::kInline : Wiring::kPipeline;
}

absl::Status check_counts(const Config& config, Wiring wiring, size_t data, size_t queues) {
  if (queues > kPlanRxMax) {
    return absl::InvalidArgumentError(cat("penstock.ports: ", queues,
                                          " receive queues in all; at most ", kPlanRxMax,
                                          " are possible: lower penstock.ports[].queues"));
  }
  const size_t needed = wiring == Wiring::kInline ? queues : queues + 1;
  if (data < needed) {
    return absl::InvalidArgumentError(
        cat("penstock.cores.data: ", data, " cores for ", queues, " receive queues; ",
            wiring == Wiring::kInline ? "inline" : "pipeline", " wiring needs ", needed,
            ": lower penstock.ports[].queues or give more cores"));
  }
  if (wiring == Wiring::kPipeline && !config.data_cores.empty() && data - queues > kPlanShardsMax) {
    return absl::InvalidArgumentError(
        cat("penstock.cores.data: ", data, " cores less ", queues, " receive queues are ",
            data - queues, " shards; at most ", kPlanShardsMax, " are possible: name fewer"));
  }
  return absl::OkStatus();
}

// A receive loop that runs its shard itself has nobody to spread to.
absl::Status check_spread(const Config& config, Wiring wiring, size_t queues) {
  if (wiring == Wiring::kPipeline || queues == 1) return absl::OkStatus();
  for (const PortConfig& port : config.ports) {
    if (!port.spread) continue;
    return absl::InvalidArgumentError(
        cat("penstock.ports \"", port.name,
            "\".spread = true: in the inline wiring each receive "
            "queue has one shard, its own; set penstock.wiring to pipeline, with at least ",
            queues + 1, " penstock.cores.data, or leave out spread"));
  }
  return absl::OkStatus();
}

// Fills rx, shards and io; the counts are known to fit.
void place(CoreLayout& layout, const Config& config, const MachineFacts& facts, FreeCores& free) {
  Feeders feeders = queue_nodes(config, facts);
  const bool sockets = !configured_listeners(config).empty();
  const bool chosen = config.data_cores.empty();
  for (const int node : feeders) layout.rx.push_back(free.take(node));
  layout.io = config.io_core.value_or(layout.control);
  const int control_node = facts.node_of_cpu(layout.control);
  const bool io_runs = sockets || !config.forward.targets.empty();
  const bool io_is_free = io_runs && !config.io_core;
  if (layout.wiring == Wiring::kInline) {
    layout.shards = layout.rx;
    if (io_is_free && free.size() != 0) layout.io = free.take(control_node);
    return;
  }
  if (io_is_free && chosen && free.size() >= 3) layout.io = free.take(control_node);
  if (sockets || feeders.empty()) feeders.push_back(facts.node_of_cpu(layout.io));
  const size_t most = chosen ? kShardsPerFeeder * feeders.size() : kPlanShardsMax;
  const size_t shards = std::min({free.size(), most, kPlanShardsMax});
  for (size_t i = 0; i < shards; ++i)
    layout.shards.push_back(free.take(feeders[i % feeders.size()]));
}

bool polls(const CoreLayout& layout, uint16_t cpu) {
  return contains(layout.rx, cpu) || contains(layout.shards, cpu);
}

// A thread that polls without end on the CPU of one that sleeps makes that one wait its turn:
// refused, unless the file gives both that CPU by name.
absl::Status check_sharing(const Config& config, const CoreLayout& layout,
                           std::vector<std::string>& notes) {
  struct Sleeper {
    uint16_t cpu;
    std::string_view what, cost;
    bool named;
  };
  const Sleeper sleepers[] = {
      {layout.control, "control", "packets wait while an interval is sealed",
       config.control_core.has_value()},
      {layout.io, "io", "packets of kernel sockets wait for those of data",
       config.io_core.has_value()}};
  const bool busy = config.idle == IdleMode::kBusy;
  for (const Sleeper& s : sleepers) {
    if (!polls(layout, s.cpu)) continue;
    if (busy && !(s.named && contains(config.data_cores, s.cpu))) {
      return absl::InvalidArgumentError(
          cat("penstock.idle = \"busy\": cpu ", s.cpu, " would poll without end and starve the ",
              s.what, " thread on it; use adaptive, or give penstock.cores another cpu, or name ",
              s.cpu, " in penstock.cores.", s.what, " and .data to have it shared all the same"));
    }
    notes.push_back(cat("cpu ", s.cpu, " runs ", s.what, " and data",
                        busy ? " without rest: " : ": ", s.cost, "; another cpu would avoid that"));
    if (layout.io == layout.control) break;
  }
  return absl::OkStatus();
}

void note_distance(const Config& config, const MachineFacts& facts, const CoreLayout& layout,
                   std::vector<std::string>& notes) {
  size_t rx = 0;
  for (const PortConfig& port : config.ports) {
    const int node = facts.node_of_device(port.device);
    for (uint16_t queue = 0; queue < port.queues; ++queue, ++rx) {
      const int at = facts.node_of_cpu(layout.rx[rx]);
      if (node == MachineFacts::kAnyNode || at == node) continue;
      notes.push_back(cat("port ", port.name, " is on NUMA node ", node, " and its queue ", queue,
                          " on cpu ", layout.rx[rx], " of node ", at,
                          ": each packet crosses over; give it a cpu of node ", node));
    }
  }
}

void note_idle(const Config& config, const CoreLayout& layout, size_t left,
               std::vector<std::string>& notes) {
  if (left == 0) return;
  const bool capped = config.data_cores.empty() && layout.wiring == Wiring::kPipeline;
  notes.push_back(cat(left, " cpus are left to others",
                      capped ? cat(": ", layout.shards.size(),
                                   " shards take what the receiving threads can give; more "
                                   "penstock.ports[].queues, or penstock.cores.data, use more")
                             : std::string()));
}

}  // namespace

absl::StatusOr<CoreLayout> lay_out_cores(const Config& config, const MachineFacts& facts,
                                         std::vector<std::string>& notes) {
  if (facts.cpus.empty()) return absl::FailedPreconditionError("this process may use no cpu");
  RETURN_IF_ERROR(check_usable(config, facts));
  const size_t queues = queue_nodes(config, facts).size();
  CoreLayout layout;
  layout.control = choose_control(config, facts);
  FreeCores free(choose_data(config, facts, layout.control), facts, config.data_cores.empty());
  ASSIGN_OR_RETURN(layout.wiring, choose_wiring(config, free.size(), queues));
  RETURN_IF_ERROR(check_counts(config, layout.wiring, free.size(), queues));
  RETURN_IF_ERROR(check_spread(config, layout.wiring, queues));
  place(layout, config, facts, free);
  RETURN_IF_ERROR(check_sharing(config, layout, notes));
  note_distance(config, facts, layout, notes);
  note_idle(config, layout, free.size(), notes);
  return layout;
}

}  // namespace penstock

#include "controlplane/cores.h"

#include <algorithm>

#include "dataplane/base/strings.h"

namespace penstock {
namespace {

// More shard threads than one io thread can feed are idle memory.
constexpr size_t kShardsPerIo = 4;

std::string list(const std::vector<uint16_t>& cpus) {
  std::string text;
  for (const uint16_t cpu : cpus) text += text.empty() ? cat(cpu) : cat(",", cpu);
  return text;
}

size_t queue_count(const Config& config) {
  size_t queues = 0;
  for (const PortConfig& port : config.ports) queues += port.queues;
  return queues;
}

absl::Status check_usable(const Config& config, const MachineFacts& facts) {
  const auto usable = [&](uint16_t cpu) { return std::ranges::count(facts.cpus, cpu) > 0; };
  if (config.control_core && !usable(*config.control_core)) {
    return absl::InvalidArgumentError(cat("penstock.cores.control = ", *config.control_core,
                                          ": this process may use cpus ", list(facts.cpus),
                                          "; name one of them"));
  }
  for (const uint16_t cpu : config.data_cores) {
    if (usable(cpu)) continue;
    return absl::InvalidArgumentError(cat("penstock.cores.data = ", list(config.data_cores),
                                          ": cpu ", cpu, " is not among the cpus ",
                                          list(facts.cpus), " this process may use"));
  }
  return absl::OkStatus();
}

std::vector<uint16_t> choose_data(const Config& config, const MachineFacts& facts,
                                  uint16_t control) {
  if (!config.data_cores.empty()) return config.data_cores;
  std::vector<uint16_t> data = facts.cpus;
  if (data.size() > 1) std::erase(data, control);
  return data;
}

uint16_t choose_control(const Config& config, const MachineFacts& facts) {
  if (config.control_core) return *config.control_core;
  for (const uint16_t cpu : facts.cpus) {
    if (std::ranges::count(config.data_cores, cpu) == 0) return cpu;
  }
  return facts.cpus.front();
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

absl::Status check_counts(Wiring wiring, size_t data, size_t queues) {
  const size_t needed = wiring == Wiring::kInline ? queues : queues + 1;
  if (data < needed) {
    return absl::InvalidArgumentError(
        cat("penstock.cores.data: ", data, " cores for ", queues, " receive queues; ",
            wiring == Wiring::kInline ? "inline" : "pipeline", " wiring needs ", needed,
            ": lower penstock.ports[].queues or give more cores"));
  }
  if (queues > kPlanRxMax) {
    return absl::InvalidArgumentError(
        cat("penstock.ports: ", queues, " receive queues; at most ", kPlanRxMax, " are possible"));
  }
  return absl::OkStatus();
}

// Fills rx, shards and io; the counts are known to fit.
void place(CoreLayout& layout, const std::vector<uint16_t>& data, size_t queues,
           size_t shards_max) {
  const auto first = data.begin();
  const auto split = first + static_cast<std::ptrdiff_t>(queues);
  layout.io = layout.control;
  layout.rx.assign(first, split);
  if (layout.wiring == Wiring::kInline) {
    layout.shards = layout.rx;
    if (split != data.end()) layout.io = *split;
    return;
  }
  layout.shards.assign(split, data.end());
  if (layout.shards.size() > shards_max) layout.shards.resize(shards_max);
}

absl::Status check_sharing(const Config& config, const CoreLayout& layout,
                           std::vector<std::string>& notes) {
  const auto polls = [&](uint16_t cpu) {
    return std::ranges::count(layout.rx, cpu) + std::ranges::count(layout.shards, cpu) > 0;
  };
  if (!polls(layout.control)) return absl::OkStatus();
  if (config.idle == IdleMode::kBusy) {
    return absl::InvalidArgumentError(
        cat("penstock.idle = \"busy\": cpu ", layout.control,
            " would poll without end and starve the control thread on it; use adaptive, or give "
            "penstock.cores another cpu"));
  }
  notes.push_back(cat("cpu ", layout.control,
                      " runs control and data: packets wait while an interval is sealed; a second "
                      "cpu would avoid that"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CoreLayout> lay_out_cores(const Config& config, const MachineFacts& facts,
                                         std::vector<std::string>& notes) {
  if (facts.cpus.empty()) return absl::FailedPreconditionError("this process may use no cpu");
  RETURN_IF_ERROR(check_usable(config, facts));
  const size_t queues = queue_count(config);
  CoreLayout layout;
  layout.control = choose_control(config, facts);
  const std::vector<uint16_t> data = choose_data(config, facts, layout.control);
  ASSIGN_OR_RETURN(layout.wiring, choose_wiring(config, data.size(), queues));
  RETURN_IF_ERROR(check_counts(layout.wiring, data.size(), queues));
  const bool fewer = queues == 0 && config.data_cores.empty();
  place(layout, data, queues, fewer ? kShardsPerIo : kPlanShardsMax);
  RETURN_IF_ERROR(check_sharing(config, layout, notes));
  const size_t used = layout.rx.size() +
                      (layout.wiring == Wiring::kInline ? 0 : layout.shards.size()) +
                      (layout.io != layout.control ? 1 : 0);
  if (used < data.size()) {
    notes.push_back(cat(data.size() - used, " of ", data.size(), " data cores are left idle"));
  }
  return layout;
}

}  // namespace penstock

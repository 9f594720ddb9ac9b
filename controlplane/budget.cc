#include "controlplane/budget.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <span>
#include <utility>

#include "controlplane/exporters/prometheus.h"
#include "dataplane/api/io_memory.h"
#include "dataplane/api/mapping.h"
#include "dataplane/api/port_memory.h"
#include "dataplane/api/shard_memory.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

constexpr uint64_t kMiB = 1ull << 20;
// Programs, libraries, stacks, the Plan and the counters; measured, docs/benchmarks.md.
constexpr uint64_t kDataPlaneBytes = 24 * kMiB;
constexpr uint64_t kControlPlaneBytes = 24 * kMiB;
constexpr uint64_t kDescriptorBytes = 32;
constexpr uint64_t kForwardPieceBytes = 16;
constexpr uint64_t kIoBufferOverhead = 1024;  // control messages, addresses, padding

// Collects the lines; one of nothing is none.
class Lines {
 public:
  Lines(Budget& out, Owner owner, uint64_t copies = 1)
      : out_(out), owner_(owner), copies_(copies) {}
  void add(std::string what, std::string_view key, uint64_t count, uint64_t each) {
    if (count * each == 0) return;
    out_.push_back({owner_, std::move(what), key, count, each, copies_});
  }
  void add(std::string what, std::string_view key, uint64_t bytes) {
    add(std::move(what), key, 1, bytes);
  }

 private:
  Budget& out_;
  const Owner owner_;
  const uint64_t copies_;
};

size_t mappings_in(const Config& config) {
  size_t count = 0;
  for (const MapperProfile& profile : config.mapper) count += profile.mappings.size();
  return count;
}

void add_shard(Lines lines, const Config& config, const Plan& plan) {
  const LimitsPlan& l = plan.limits;
  const uint64_t contexts = contexts_of(l);
  lines.add("contexts and their sums", "contexts", contexts, kContextBytes);
  lines.add("cells of their index", "contexts", context_cells_of(l), kContextCellBytes);
  lines.add("strings of contexts", "context_bytes", context_bytes_of(l));
  lines.add("line memo", "memo_bytes", l.memo_bytes);
  lines.add("values of histograms and distributions", "sample_bytes", l.sample_bytes);
  lines.add("members of sets, both intervals", "set_members", 2, set_bytes_of(l));
  lines.add("events, checks, timestamped lines, both intervals", "carry_bytes", 2, l.carry_bytes);
  if (config.histogram_copy)
    lines.add("where histograms are copied to", "contexts", contexts, kCopyBytes);
  lines.add("patterns of dogstatsd_mapper_profiles", "", mappings_in(config),
            mapping::kPatternBytes);
  const uint64_t queues = plan.wiring == Wiring::kPipeline ? plan.rx_count : 0;
  lines.add(cat(queues, queues == 1 ? " ring" : " rings", " of receive queues"), "ring_slots",
            queues * l.ring_slots, kDescriptorBytes);
  if (plan.listener_count != 0) {
    const bool streams = loose_packets_of(plan) != 0;
    lines.add("ring of kernel sockets", streams ? "ring_slots" : "io_buffers", io_ring_slots(plan),
              kDescriptorBytes);
  }
  lines.add("scratch", "", kShardFixedBytes);
}

// A Segment is held as packed columns while it is written and, at the end, once more as its bytes.
// At a stop after shards were late, it has both generations of each, joined: of the same contexts
// and values, but two of the rest.
void add_sealing(Lines lines, const Plan& plan) {
  constexpr uint64_t kTwice = 2;
  constexpr uint64_t kGenerations = 2;
  const LimitsPlan& l = plan.limits;
  const uint64_t shards = plan.shard_count;
  lines.add("sealing: rows", "contexts", shards * contexts_of(l), kRowBytes * kTwice);
  lines.add("sealing: strings", "context_bytes", shards * kTwice, l.context_bytes);
  lines.add("sealing: values", "sample_bytes", shards, l.sample_bytes);
  lines.add("sealing: members of sets", "set_members", shards * kGenerations * l.set_members,
            kTwice * kSetMemberBytes);
  lines.add("sealing: events, checks, timestamped lines", "carry_bytes",
            shards * kGenerations * kTwice, l.carry_bytes);
  lines.add("sealing: joining shards", "contexts", shards * contexts_of(l), kJoinBytes);
}

void add_data_plane(Lines lines, const Config& config, const Plan& plan, uint64_t eal_bytes) {
  lines.add("program, libraries, stacks", "", kDataPlaneBytes);
  lines.add("DPDK: packet buffers and heap", "", eal_bytes);
  if (plan.listener_count != 0) {
    lines.add("buffers of kernel sockets", "io_buffers", config.limits.io_buffers,
              config.buffer_size + kIoBufferOverhead);
    lines.add("frames and lines that were cut", "", assemblies_of(plan),
              config.buffer_size + kIoBufferOverhead);
  }
  const auto detects = [](const ListenerPlan& l) { return l.origin_detection != 0; };
  if (std::ranges::any_of(std::span(plan.listeners).first(plan.listener_count), detects)) {
    lines.add("containers and processes of senders", "origins", plan.limits.origins,
              kSenderBytes + kProcessBytes);
  }
  lines.add("packets that wait for forward targets", "forward.queue",
            plan.forward.target_count * std::bit_ceil(uint64_t{plan.forward.queue}),
            kForwardPieceBytes);
  lines.add("rings from receive queues to the forwarder", "forward.queue",
            plan.rx_count * uint64_t{forward_ring_slots(plan)}, kDescriptorBytes);
  // The keeper's, for timestamped lines.
  lines.add("patterns of dogstatsd_mapper_profiles", "", mappings_in(config),
            mapping::kPatternBytes);
  if (config.histogram_copy) {
    lines.add("copies of timestamped histogram samples", "carry_bytes", plan.limits.carry_bytes);
  }
  add_sealing(lines, plan);
  lines.add("Segments held, shared with penstockd", "segment_bytes_held",
            plan.limits.segment_bytes_held);
}

void add_control_plane(Lines lines, const Config& config) {
  lines.add("program, libraries, stacks, exporters", "", kControlPlaneBytes);
  if (!config.prometheus) return;
  const PrometheusOptions defaults;
  const uint64_t most = PrometheusExporter::kSeriesBytesMax;
  const uint64_t series =
      std::min<uint64_t>(config.prometheus->max_series * most, defaults.max_bytes);
  lines.add("series of Prometheus, and a scrape of them", "exporters.prometheus.max_series", 2,
            series);
}

std::string mib(uint64_t bytes) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%9.1f MiB", static_cast<double>(bytes) / double{kMiB});
  return text.data();
}

std::string text_of(const BudgetLine& line) {
  std::array<char, 64> product{};
  std::snprintf(product.data(), product.size(), "%9llu x %11llu",
                static_cast<unsigned long long>(line.count),
                static_cast<unsigned long long>(line.each));
  return cat("  ", mib(line.count * line.each), "  =", std::string_view(product.data()), "  ",
             line.what, line.key.empty() ? "" : cat(" (", line.key, ")"), "\n");
}

}  // namespace

Budget make_budget(const Config& config, const Plan& plan, uint64_t eal_bytes) {
  Budget budget;
  add_shard(Lines(budget, Owner::kShard, plan.shard_count), config, plan);
  add_data_plane(Lines(budget, Owner::kDataPlane), config, plan, eal_bytes);
  add_control_plane(Lines(budget, Owner::kControlPlane), config);
  return budget;
}

uint64_t sum_of(const Budget& budget) {
  uint64_t sum = 0;
  for (const BudgetLine& line : budget) sum += line.bytes();
  return sum;
}

absl::Status check_memory(const Budget& budget, uint64_t limit) {
  const uint64_t sum = sum_of(budget);
  if (limit == 0 || sum <= limit) return absl::OkStatus();
  // By key, over all its lines: that is what lowering it gives.
  std::string_view key;
  uint64_t most = 0;
  for (const BudgetLine& candidate : budget) {
    uint64_t bytes = 0;
    for (const BudgetLine& line : budget) bytes += line.key == candidate.key ? line.bytes() : 0;
    if (candidate.key.empty() || bytes <= most) continue;
    most = bytes;
    key = candidate.key;
  }
  const bool own_section = key.find('.') != std::string_view::npos;
  const std::string_view where = own_section ? "penstock." : "penstock.limits.";
  return absl::InvalidArgumentError(cat("penstock.limits.memory_limit = ", limit / kMiB,
                                        " MiB: the bounds add up to ", sum / kMiB, " MiB; lower ",
                                        where, key, ", which stands for the most, ", most / kMiB,
                                        " MiB (--check without memory_limit prints every line)"));
}

std::string describe(const Budget& budget) {
  struct Part {
    Owner owner;
    std::string_view title, sum;
  };
  static constexpr Part kParts[] = {{Owner::kShard, "a shard", "a shard"},
                                    {Owner::kDataPlane, "penstock-dataplane", "besides shards"},
                                    {Owner::kControlPlane, "penstockd", "penstockd"}};
  std::string text = "memory with every bound reached, count x bytes:\n";
  for (const Part& part : kParts) {
    text += cat(" ", part.title, ":\n");
    uint64_t once = 0;
    uint64_t all = 0;
    uint64_t copies = 1;
    for (const BudgetLine& line : budget) {
      if (line.owner != part.owner) continue;
      text += text_of(line);
      once += line.count * line.each;
      all += line.bytes();
      copies = line.copies;
    }
    text += cat("  ", mib(once), "  ", part.sum, "\n");
    if (copies > 1) text += cat("  ", mib(all), "  ", copies, " shards\n");
  }
  return text + cat("  ", mib(sum_of(budget)), "  in all\n");
}

}  // namespace penstock

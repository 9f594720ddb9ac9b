#include "dataplane/api/stats.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

namespace penstock {
namespace {

constexpr uint32_t kMagic = 0x54535050;  // "PPST"
constexpr uint32_t kVersion = 3;
constexpr size_t kLabelBytes = kStatsLabelMax + 1;
constexpr size_t kNamesMax = 192;
constexpr size_t kNameBytes = 32;

struct Entry {
  uint32_t kind;
  uint32_t offset;    // of the block, from the start of the segment
  uint32_t counters;  // 64-bit words in the block
  uint32_t names;     // offset of `counters` names of kNameBytes each
  char label[kLabelBytes];
};

struct Directory {
  uint32_t magic;
  uint32_t version;
  std::atomic<uint32_t> blocks;  // readers see entries below it; 0 until publish()
  uint32_t staged;               // writer only
  uint32_t used;                 // bytes handed out
  uint32_t reserved;
  Entry entries[kStatsBlocksMax];
};

Directory& directory(std::span<std::byte> memory) {
  return *reinterpret_cast<Directory*>(memory.data());
}

uint32_t take(Directory& d, size_t bytes) {
  const uint32_t at = (d.used + 63) / 64 * 64;
  if (at + bytes > kStatsBytes) std::abort();
  d.used = at + static_cast<uint32_t>(bytes);
  return at;
}

}  // namespace

StatsBuilder::StatsBuilder(std::span<std::byte> memory) : memory_(memory) {
  if (memory.size() < kStatsBytes) std::abort();
  Directory& d = *new (memory.data()) Directory{};
  d.magic = kMagic;
  d.version = kVersion;
  d.used = sizeof(Directory);
}

void* StatsBuilder::add(StatsBlock kind, std::string_view label,
                        const std::vector<std::string>& names) {
  Directory& d = directory(memory_);
  if (d.staged == kStatsBlocksMax || names.size() > kNamesMax) std::abort();
  Entry& e = d.entries[d.staged++];
  e.kind = static_cast<uint32_t>(kind);
  e.counters = static_cast<uint32_t>(names.size());
  std::memcpy(e.label, label.data(), std::min(label.size(), kLabelBytes - 1));
  // Blocks of one kind share their table of names.
  const auto* same = std::find_if(d.entries, &e, [&](const Entry& o) { return o.kind == e.kind; });
  e.names = same != &e ? same->names : take(d, names.size() * kNameBytes);
  for (size_t i = 0; i < names.size(); ++i) {
    char* name = reinterpret_cast<char*>(memory_.data() + e.names) + i * kNameBytes;
    names[i].copy(name, kNameBytes - 1);
  }
  e.offset = take(d, names.size() * sizeof(Counter));
  return memory_.data() + e.offset;
}

#define PENSTOCK_NAME(name) #name,
SourceStats& StatsBuilder::add_source(StatsBlock kind, std::string_view label) {
  return *new (add(kind, label, {PENSTOCK_SOURCE_COUNTERS(PENSTOCK_NAME)})) SourceStats;
}
LossStats& StatsBuilder::add_loss(std::string_view label) {
  return *new (add(StatsBlock::kLoss, label, {PENSTOCK_LOSS_COUNTERS(PENSTOCK_NAME)})) LossStats;
}
OriginStats& StatsBuilder::add_origin(std::string_view label) {
  return *new (add(StatsBlock::kOrigin, label, {PENSTOCK_ORIGIN_COUNTERS(PENSTOCK_NAME)}))
      OriginStats;
}
ShardStats& StatsBuilder::add_shard(std::string_view label) {
  std::vector<std::string> names = {PENSTOCK_SHARD_COUNTERS(PENSTOCK_NAME) "pause_ns_max",
                                    "latency_sum_ns"};
  for (size_t i = 0; i < latency::kBuckets; ++i) names.push_back(latency_name(i));
  static_assert(sizeof(ShardTimes) == (2 + latency::kBuckets) * sizeof(Counter));
  return *new (add(StatsBlock::kShard, label, names)) ShardStats;
}
KeeperStats& StatsBuilder::add_keeper() {
  return *new (add(StatsBlock::kKeeper, "keeper", {PENSTOCK_KEEPER_COUNTERS(PENSTOCK_NAME)}))
      KeeperStats;
}
ForwardStats& StatsBuilder::add_forward(std::string_view label) {
  return *new (add(StatsBlock::kForward, label, {PENSTOCK_FORWARD_COUNTERS(PENSTOCK_NAME)}))
      ForwardStats;
}
#undef PENSTOCK_NAME

void StatsBuilder::publish() {
  Directory& d = directory(memory_);
  d.blocks.store(d.staged, std::memory_order_release);
}

uint64_t StatsBlockValues::get(std::string_view name) const {
  const auto it = std::find_if(counters.begin(), counters.end(),
                               [&](const auto& c) { return c.first == name; });
  return it == counters.end() ? 0 : it->second;
}

std::string latency_name(size_t bucket) {
  if (bucket + 1 == latency::kBuckets) return "latency_above";
  return "latency_below_" + std::to_string(latency::limit_ns(bucket));
}

bool is_latency(std::string_view name) {
  return name.starts_with("latency_below_") || name == "latency_above";
}

latency::Counts latency_of(const StatsBlockValues& shard) {
  latency::Counts counts{};
  for (size_t i = 0; i < counts.size(); ++i) counts[i] = shard.get(latency_name(i));
  return counts;
}

absl::StatusOr<std::vector<StatsBlockValues>> StatsView::read() const {
  const std::span<std::byte> memory = mapping_.bytes();
  std::vector<StatsBlockValues> out;
  if (memory.size() < kStatsBytes) return absl::DataLossError("stats segment: too small");
  const Directory& d = directory(memory);
  const uint32_t blocks = d.blocks.load(std::memory_order_acquire);
  if (blocks == 0) return out;
  if (d.magic != kMagic || d.version != kVersion || blocks > kStatsBlocksMax) {
    return absl::DataLossError("stats segment: wrong magic, version or directory");
  }
  for (uint32_t i = 0; i < blocks; ++i) {
    const Entry& e = d.entries[i];
    if (e.counters > kNamesMax || e.offset + e.counters * sizeof(Counter) > memory.size() ||
        e.names + e.counters * kNameBytes > memory.size()) {
      return absl::DataLossError("stats segment: a block lies outside it");
    }
    StatsBlockValues b{
        static_cast<StatsBlock>(e.kind), std::string(e.label, strnlen(e.label, kLabelBytes)), {}};
    const auto* counters = reinterpret_cast<const Counter*>(memory.data() + e.offset);
    for (uint32_t c = 0; c < e.counters; ++c) {
      const char* name = reinterpret_cast<const char*>(memory.data() + e.names) + c * kNameBytes;
      b.counters.emplace_back(std::string(name, strnlen(name, kNameBytes)), counters[c].get());
    }
    out.push_back(std::move(b));
  }
  return out;
}

}  // namespace penstock

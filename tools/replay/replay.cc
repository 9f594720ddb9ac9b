#include "tools/replay/replay.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "controlplane/compile.h"
#include "controlplane/ledger.h"
#include "dataplane/base/fd.h"
#include "dataplane/base/strings.h"
#include "dataplane/core/senders.h"

namespace penstock::replay {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kInstance = 1;

// For memory that only becomes resident as it is used.
constexpr uint32_t kContexts = 1 << 22;
constexpr uint64_t kContextBytes = 4096 * kMiB;
constexpr uint64_t kSampleBytes = 4096 * kMiB;
constexpr uint32_t kSetMembers = 1 << 24;
constexpr uint64_t kCarryBytes = 1024 * kMiB;
constexpr uint32_t kOrigins = 1 << 20;

void raise_limits(LimitsConfig& limits) {
  const LimitsConfig defaults;
  const auto raise = [](auto& limit, auto at, auto to) {
    if (limit == at) limit = to;
  };
  raise(limits.contexts, defaults.contexts, kContexts);
  raise(limits.context_bytes, defaults.context_bytes, kContextBytes);
  raise(limits.sample_bytes, defaults.sample_bytes, kSampleBytes);
  raise(limits.set_members, defaults.set_members, kSetMembers);
  raise(limits.carry_bytes, defaults.carry_bytes, kCarryBytes);
  raise(limits.origins, defaults.origins, kOrigins);
  limits.memory_limit = 0;
}

// Which counter a frame that is no packet of ours goes to; null: none of them.
Counter* counter_of(packet::Verdict verdict, SourceStats& stats) {
  switch (verdict) {
    case packet::Verdict::kMalformedEthernet:
      return &stats.malformed_ethernet;
    case packet::Verdict::kMalformedIpv4:
      return &stats.malformed_ipv4;
    case packet::Verdict::kMalformedIpv6:
      return &stats.malformed_ipv6;
    case packet::Verdict::kMalformedUdp:
      return &stats.malformed_udp;
    case packet::Verdict::kMalformedChecksum:
      return &stats.malformed_checksum;
    default:
      return &stats.not_ours;
  }
}

// What waits to be handed to one shard.
struct Batch {
  std::vector<Packet> packets;
  std::vector<std::vector<uint8_t>> bytes;  // of the packets; kept for the next ones

  void add(Packet packet, std::string_view text) {
    if (bytes.size() == packets.size()) bytes.emplace_back();
    std::vector<uint8_t>& copy = bytes[packets.size()];
    copy.assign(text.size() + kPacketPadding, 0);
    std::memcpy(copy.data(), text.data(), text.size());
    packet.data = copy.data();
    packet.len = static_cast<uint16_t>(text.size());
    packets.push_back(packet);
  }
};

Mapping map_stats(int fd) {
  absl::StatusOr<Mapping> mapping = Mapping::map(fd, true);
  if (!mapping.ok()) std::abort();  // a memfd of our own
  return *std::move(mapping);
}

Fd make_stats() {
  absl::StatusOr<Fd> fd = make_memfd("penstock-replay-stats", kStatsBytes);
  if (!fd.ok()) std::abort();
  return *std::move(fd);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Plan>> plan_for(const Config& config) {
  Config bare = config;
  bare.ports.clear();
  bare.control_core.reset();
  bare.data_cores.clear();
  bare.wiring = WiringChoice::kAuto;
  bare.idle = IdleMode::kAdaptive;
  bare.prometheus.reset();
  raise_limits(bare.limits);
  MachineFacts facts;  // without a name: the default host is empty (ruling 7)
  facts.cpus = {0, 1};
  ASSIGN_OR_RETURN(Compiled compiled, compile(bare, facts, {}));
  return std::move(compiled.plan);
}

struct Replay::State {
  State(const Plan& plan, const Options& options, std::function<void(std::string_view)> output);

  void take(const Record& record);
  void follow(int64_t time_ms);
  void admit(const Record& record);
  void flush(size_t shard);
  void flush_all();
  bool close();
  void settle(Now now);
  void deliver(std::span<const std::byte> bytes);

  [[nodiscard]] int64_t close_ms() const { return (bucket + plan.interval_s) * 1000; }
  [[nodiscard]] int64_t bucket_of(int64_t time_ms) const {
    return time_ms / 1000 / plan.interval_s * plan.interval_s;
  }
  [[nodiscard]] uint8_t flags_of(Source source) const;

  const Plan& plan;
  const Options options;
  const std::function<void(std::string_view)> output;

  Fd stats_fd = make_stats();
  Mapping stats_memory = map_stats(stats_fd.get());
  StatsBuilder stats{stats_memory.bytes()};
  SourceStats& source = stats.add_source(StatsBlock::kListener, "replay");
  std::vector<ShardStats*> shard_stats;
  KeeperStats* keeper = nullptr;

  Senders senders{plan.limits.origins};
  std::vector<std::unique_ptr<Shard>> shards;
  std::vector<Shard*> pointers;
  std::unique_ptr<Sealer> sealer;
  std::vector<Batch> batches;
  size_t turn = 0;
  uint32_t arrival = 0;  // packets so far

  bool started = false;
  int64_t now_ms = 0;
  int64_t bucket = 0;  // start of the open one, Unix s

  CanonicalLines lines;
  std::string text;
  Reception reception;
  uint64_t filtered = 0;  // series of histograms
};

Replay::State::State(const Plan& plan, const Options& options,
                     std::function<void(std::string_view)> output)
    : plan(plan), options(options), output(std::move(output)), batches(options.shards) {
  for (uint16_t i = 0; i < options.shards; ++i) {
    shard_stats.push_back(&stats.add_shard(cat("shard", i)));
    shards.push_back(std::make_unique<Shard>(plan, i, *shard_stats.back(), &senders));
    pointers.push_back(shards.back().get());
  }
  keeper = &stats.add_keeper();
  stats.publish();
  sealer = std::make_unique<Sealer>(plan, pointers, *keeper, kInstance, &senders);
}

void Replay::State::take(const Record& record) {
  if (record.timed) follow(record.time_ms);
  if (record.error.empty()) admit(record);
}

void Replay::State::follow(int64_t time_ms) {
  if (!started) {
    started = true;
    now_ms = time_ms;
    bucket = bucket_of(time_ms);
    return;
  }
  if (time_ms < now_ms) {
    keeper->clock_steps.add(1);
    return;
  }
  if (time_ms == now_ms) return;
  flush_all();
  while (close_ms() <= time_ms) {
    // Where a bucket gave nothing, no later one does before the next sample, but for copies that
    // wait for it: of the rest only the last is closed, so that the shards count time from there.
    const bool silent = !close();
    bucket += plan.interval_s;
    if (silent) {
      const int64_t last = bucket_of(time_ms) - plan.interval_s;
      bucket = std::max(bucket, std::min(last, sealer->first_late().value_or(last)));
    }
  }
  now_ms = time_ms;
}

void Replay::State::admit(const Record& record) {
  if (record.frames == 0) return;
  source.received.add(record.frames);
  if (record.verdict == packet::Verdict::kFragment)
    return source.malformed_fragment.add(record.frames);
  source.fragments_joined.add(record.frames - 1);
  if (record.verdict != packet::Verdict::kUdp) return counter_of(record.verdict, source)->add(1);
  if (record.packet.size() > plan.dogstatsd.buffer_size) return source.truncated.add(1);
  source.received_bytes.add(record.packet.size());
  source.dispatched.add(1);
  Packet packet{};
  packet.source = record.source;
  packet.origin = senders.id_of(record.container);
  packet.flags = flags_of(record.source);
  packet.arrival = arrival++;
  batches[turn].add(packet, record.packet);
  if (batches[turn].packets.size() == options.burst) flush(turn);
  turn = (turn + 1) % batches.size();
}

uint8_t Replay::State::flags_of(Source from) const {
  const bool required = from == Source::kUdp    ? options.eol_udp
                        : from == Source::kPipe ? options.eol_pipe
                                                : options.eol_uds;
  return required ? kPacketEolRequired : 0;
}

void Replay::State::flush(size_t shard) {
  if (batches[shard].packets.empty()) return;
  shards[shard]->process(batches[shard].packets, Now{now_ms});
  batches[shard].packets.clear();
}

void Replay::State::flush_all() {
  for (size_t i = 0; i < batches.size(); ++i) flush(i);
}

// Seals the open bucket. False: it gave nothing.
bool Replay::State::close() {
  const Now now{close_ms()};
  sealer->begin();
  settle(now);
  const std::vector<std::byte> bytes = sealer->seal(bucket);
  settle(now);
  if (!bytes.empty()) deliver(bytes);
  for (const auto& late : sealer->seal_late(bucket)) deliver(late);
  return !bytes.empty();
}

void Replay::State::settle(Now now) {
  for (const auto& shard : shards) {
    while (shard->poll_epoch(now)) {
    }
  }
}

void Replay::State::deliver(std::span<const std::byte> bytes) {
  const absl::StatusOr<segment::Reader> reader = segment::Reader::open(bytes);
  if (!reader.ok()) std::abort();  // our own bytes: memory is broken
  if (options.on_segment) options.on_segment(reader->meta(), bytes);
  filtered += for_each_point(*reader, options.histograms, lines);
  ++reception.segments;
  reception.last_sequence = reader->meta().sequence;
  reception.points += reader->rows();
  reception.samples += reader->meta().samples;
  text.clear();
  lines.take(text);
  output(text);
}

Replay::Replay(const Plan& plan, const Options& options,
               std::function<void(std::string_view)> output)
    : state_(std::make_unique<State>(plan, options, std::move(output))) {}
Replay::~Replay() = default;

void Replay::take(const Record& record) { state_->take(record); }

void Replay::finish() {
  state_->flush_all();
  if (state_->started) state_->close();
  for (const auto& late : state_->sealer->seal_late(std::numeric_limits<int64_t>::max()))
    state_->deliver(late);
  state_->keeper->drained.set(1);
}

nlohmann::ordered_json Replay::ledger() const {
  const StatsView view(map_stats(state_->stats_fd.get()));
  const auto blocks = view.read();
  if (!blocks.ok()) std::abort();  // written above
  LedgerInput input;
  input.live = *blocks;
  input.reception = state_->reception;
  input.exporters = {{.name = "jsonl",
                      .delivered = state_->reception.points,
                      .queued = 0,
                      .given_up = 0,
                      .filtered = state_->filtered}};
  return make_ledger(input);
}

std::string Replay::ledger_text(bool& balanced) const {
  const nlohmann::ordered_json ledger = this->ledger();
  balanced = ledger.at("balanced").get<bool>();
  return ledger_table(ledger);
}

std::vector<std::string> Replay::notes() const {
  struct Bound {
    Counter ShardStats::*counter;
    const char* text;
  };
  static constexpr std::array<Bound, 6> kBounds = {{
      {&ShardStats::overflow,
       "samples of contexts beyond penstock.limits.contexts or "
       ".context_bytes: they are in penstock.overflow"},
      {&ShardStats::samples_unkept,
       "samples beyond penstock.limits.sample_bytes: they are missing "
       "from percentiles and sketches"},
      {&ShardStats::set_members_unkept,
       "members beyond penstock.limits.set_members: sets may be too small"},
      {&ShardStats::carry_full, "timestamped samples refused: penstock.limits.carry_bytes"},
      {&ShardStats::copies_unkept,
       "copies of timestamped histogram samples refused: penstock.limits.carry_bytes"},
      {&ShardStats::carry_full_events, "events and checks refused: penstock.limits.carry_bytes"},
  }};
  std::vector<std::string> notes;
  for (const auto& [counter, text] : kBounds) {
    uint64_t n = 0;
    for (const ShardStats* stats : state_->shard_stats) n += (stats->*counter).get();
    if (n != 0) notes.push_back(cat(n, " ", text, "; the result depends on --shards"));
  }
  if (const uint64_t n = state_->keeper->copies_unkept.get(); n != 0)
    notes.push_back(cat(n, " copies of timestamped histogram samples beyond carry_bytes"));
  if (const uint64_t n = state_->lines.not_finite(); n != 0)
    notes.push_back(cat(n, " points left out: infinite or not a number, which JSON cannot say"));
  if (const uint64_t n = state_->source.malformed_fragment.get(); n != 0)
    notes.push_back(
        cat(n, " IP fragments that came twice, or whose datagram is not whole in the recording"));
  if (const uint64_t n = state_->keeper->clock_steps.get(); n != 0)
    notes.push_back(cat(n,
                        " records whose time lies before that of an earlier one: they count at "
                        "the latest time seen"));
  return notes;
}

}  // namespace penstock::replay

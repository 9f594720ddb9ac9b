#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/api/stats.h"
#include "dataplane/core/context_table.h"
#include "dataplane/core/enrich.h"
#include "dataplane/core/epoch.h"
#include "dataplane/core/generation.h"
#include "dataplane/core/line_memo.h"
#include "dataplane/core/packet.h"
#include "dataplane/core/sample_store.h"
#include "dataplane/core/senders.h"
#include "parsers/simd/kernel.h"

namespace penstock {

// The counters of one `process` call, added to ShardStats at its end.
struct ShardBurst {
#define PENSTOCK_FIELD(name) uint64_t name = 0;
  PENSTOCK_SHARD_COUNTERS(PENSTOCK_FIELD)
#undef PENSTOCK_FIELD
};

// All a shard owns. Methods belong to the shard's thread; the keeper reads the sealed generation,
// the contexts it names and the sample store (EpochCell).
struct ShardState {
  // A metric line on its way through a batch.
  struct Line {
    const dogstatsd::Line* text;  // its own in `texts`, for ever
    uint64_t hash;
    uint32_t origin;
    uint32_t arrival;
    LineMemo::Entry* entry;  // candidate; null: a miss
    LineTarget target;
  };
  // Where the samples of a histogram are copied to; by the histogram's id.
  struct Copy {
    uint32_t of;               // incarnation of the histogram
    uint32_t id, incarnation;  // id 0, an overflow context: not known
  };
  // Enough lines in flight to hide the memo's misses, few enough to stay in the first cache.
  static constexpr size_t kBatch = 64;

  ShardState(const Plan& plan, uint16_t index, ShardStats& stats, const Senders* senders);

  void process(std::span<const Packet> packets, Now now);
  bool poll_epoch(Now now);
  [[nodiscard]] bool epoch_work() const;

  [[nodiscard]] Generation& open() { return generations[(sealed_epoch + 1) & 1]; }
  [[nodiscard]] Generation& sealed() { return generations[sealed_epoch & 1]; }
  // The keeper's look at what it holds.
  [[nodiscard]] const Generation& held() const { return generations[held_epoch() & 1]; }
  [[nodiscard]] uint32_t held_epoch() const { return cell.at.load(std::memory_order_acquire); }

  // shard.cc: packets to lines to targets.
  void split(const Packet& packet);
  [[nodiscard]] size_t without_bad_end(const Packet& packet, size_t found);
  void take_lines(const Packet& packet, size_t found);
  void take_other(const dogstatsd::Line& line, const Packet& packet);
  void reject(dogstatsd::Reason reason);
  void carry_message(dogstatsd::Class what, std::string_view line, uint32_t origin);
  void run_batch();
  void look_up(Line& line);
  void confirm(Line& line);
  void fetch_state(const Line& line);
  void fetch_block(const Line& line);
  void publish();

  // accumulate.cc: targets to accumulators.
  bool take_known(const Line& line);
  void take_new(const Line& line);
  void leave_out(size_t samples);
  LineTarget learn(const Line& line, const dogstatsd::Metric& metric);
  bool carry_metric(const Line& line, size_t values);
  void remember(const Line& line, const LineTarget& target);
  void carry_timestamped(const Line& line, const dogstatsd::Metric& metric);
  Slot* touch(const LineTarget& target);
  void accumulate(const LineTarget& target, Slot& slot, const Line& line,
                  std::span<const double> values);
  void add_samples(const LineTarget& target, Slot& slot, std::span<const double> values);

  // histogram_copy.cc
  void copy_samples(const LineTarget& histogram, std::span<const double> values);
  void find_copy(const LineTarget& histogram, LineTarget& target);

  // shard_epoch.cc
  void flip();
  void clean();
  bool clean_slots(uint32_t slots);
  bool expire(uint32_t ids);

  const Plan& plan;
  ShardStats& stats;
  const simd::Kernel& kernel;
  const dogstatsd::Options options;
  const uint16_t index;
  const Senders* const senders;  // null: packets have no origin

  // The shard's thread alone.
  enum class Phase : uint8_t { kIdle, kSlots, kSets, kExpire };
  Phase phase = Phase::kIdle;
  uint32_t sealed_epoch = 0;   // = cell.at
  uint32_t cleaned_epoch = 0;  // sealed_epoch, or one less
  uint32_t clean_cursor = 0;
  int64_t clean_ms = 0;
  uint64_t clean_bytes = 0;  // stats.bytes at the last step
  Now now{};
  size_t lines = 0;        // in `batch`
  int32_t now_offset = 0;  // `now` in the open generation
  ShardBurst burst;
  // Apart from what else is known of them, so that the kernel writes them where they are needed: a
  // copy would wait for its small stores.
  std::array<dogstatsd::Line, kBatch> texts;
  std::array<Line, kBatch> batch;
  LazyArray<double> scratch;  // the values of one line
  LazyArray<Copy> copies;     // empty: histograms are not copied
  Enricher enricher;
  LazyArray<char> copy_key;
  LineMemo memo;

  // Read by the keeper too.
  ContextTable contexts;
  SampleStore store;
  std::array<Generation, 2> generations;
  EpochCell cell;
};

}  // namespace penstock

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/base/exact_sum.h"
#include "dataplane/base/status.h"

namespace penstock::segment {

// A Segment is what one interval of traffic became: one immutable, columnar, versioned, checksummed
// block of mergeable aggregates. The format is documented in docs/segment.md.

// Internal type of a context (spec 5.2; `h` and `ms` share one).
enum class Kind : uint8_t { kCounter, kGauge, kSet, kHistogram, kDistribution };
inline constexpr size_t kKinds = 5;

struct Meta {
  uint64_t instance;     // of the data-plane process
  uint64_t sequence;     // from 1, without gaps, per instance
  int64_t bucket_start;  // Unix s; multiple of interval_s
  uint32_t interval_s;   // 10
  uint64_t samples;      // samples behind the rows
};

// What identifies a context. Tags are sorted and unique. Views into memory of whoever made it.
struct Context {
  std::string_view name;
  std::string_view host;
  std::span<const std::string_view> tags;
};

// Of histograms and distributions. `count` sums the weights; `sum` uses the untruncated 1/rate
// (spec 8.5, 8.6). What follows `avg` is there so that the order of merging does not show.
struct Summary {
  uint64_t count;
  double sum, min, max, avg;
  double sum_low = 0;    // what rounding left out of `sum`
  uint64_t samples = 0;  // of a histogram with exact values: how many were taken; else 0
  // Sum of value * weight, over which a distribution averages; none: it is `sum`.
  std::optional<ExactSum> weighted = {};

  [[nodiscard]] ExactSum exact_sum() const { return {sum, sum_low}; }
  [[nodiscard]] ExactSum weighted_sum() const { return weighted.value_or(exact_sum()); }
};
// A histogram of more samples has bins instead of exact values.
inline constexpr uint64_t kExactSamplesMax = 4096;
struct WeightedValue {
  double value;
  uint64_t weight;
};
struct Bin {
  int16_t key;     // spec 8.6
  uint64_t count;  // merged over equal keys; split into uint32 bins only on output
};

struct Event {
  std::string_view title, text;  // unescaped
  int64_t timestamp;             // Unix s; arrival time where the client gave 0
  std::string_view hostname, aggregation_key, source_type, priority, alert_type;
  std::string_view container_id, cardinality;
  std::span<const std::string_view> tags;  // sorted, unique
  uint64_t inode = 0;                      // of the cgroup; 0: none
  std::string_view external_data = {};     // text of the `e:` field, as sent
};
struct ServiceCheck {
  std::string_view name;
  uint8_t status;
  int64_t timestamp;
  std::string_view hostname, message;
  std::string_view container_id, cardinality;
  std::span<const std::string_view> tags;
  uint64_t inode = 0;
  std::string_view external_data = {};
};

// Builds one Segment in memory. One thread. Every call copies what it is given. A *row* (a "point"
// of the ledger) is one call of counter .. service_check.
class Writer {
 public:
  explicit Writer(const Meta& meta);
  Writer(Writer&&) noexcept;
  Writer& operator=(Writer&&) noexcept;
  ~Writer();

  void counter(const Context& c, ExactSum sum);
  // The newest of several gauges is the one with the greatest (time_ms, shard).
  void gauge(const Context& c, double value, int64_t time_ms, uint32_t shard);
  // Distinct 64-bit member hashes, sorted ascending.
  void set(const Context& c, std::span<const uint64_t> members);
  // Exact weighted values, sorted by value; or, beyond the exact limit, bins sorted by key. At most
  // one is non-empty.
  void histogram(const Context& c, const Summary& s, std::span<const WeightedValue> values,
                 std::span<const Bin> bins);
  void distribution(const Context& c, const Summary& s, std::span<const Bin> bins);
  // A timestamped sample (spec 8.8): kCounter or kGauge. Tags as the ruling says: sorted and
  // unique.
  void timestamped(Kind kind, const Context& c, int64_t timestamp, double value);
  void event(const Event& e);
  void service_check(const ServiceCheck& c);

  [[nodiscard]] uint64_t rows() const;

  // The Segment's bytes, checksummed. The writer is spent. `samples` replaces Meta::samples.
  std::vector<std::byte> finish(uint64_t samples);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Reads a Segment in place; `bytes` outlives the reader and begins at a multiple of 8 (any mapping
// or vector does). `open` checks magic, version, checksum and every offset, so that nothing later
// can read outside `bytes`, whatever they hold; the error says what is wrong, and is
// kUnimplemented where a newer Penstock wrote the Segment, else kDataLoss. Copies share one state.
// Thread-safe once open.
class Reader {
 public:
  static absl::StatusOr<Reader> open(std::span<const std::byte> bytes);
  [[nodiscard]] const Meta& meta() const;
  [[nodiscard]] uint64_t rows() const;
  // By table, in the order of Visitor's functions.
  [[nodiscard]] std::array<uint64_t, 8> rows_by_table() const;

  // Visits every row, kind by kind, in the order written. Views are valid during the call.
  struct Visitor {
    virtual ~Visitor() = default;
    virtual void counter(const Context& c, ExactSum sum) = 0;
    virtual void gauge(const Context& c, double value, int64_t time_ms, uint32_t shard) = 0;
    virtual void set(const Context& c, std::span<const uint64_t> members) = 0;
    virtual void histogram(const Context& c, const Summary& s,
                           std::span<const WeightedValue> values, std::span<const Bin> bins) = 0;
    virtual void distribution(const Context& c, const Summary& s, std::span<const Bin> bins) = 0;
    virtual void timestamped(Kind kind, const Context& c, int64_t timestamp, double value) = 0;
    virtual void event(const Event& e) = 0;
    virtual void service_check(const ServiceCheck& c) = 0;
  };
  void visit(Visitor& visitor) const;

 private:
  struct Impl;
  explicit Reader(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

}  // namespace penstock::segment

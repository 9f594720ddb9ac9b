#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "controlplane/exporters/exporter.h"
#include "controlplane/exporters/prometheus_text.h"

namespace penstock {

struct PrometheusOptions {
  size_t max_series = 250000;                 // a summary counts as one
  size_t max_bytes = 256 << 20;               // of names, labels and state together, roughly
  int64_t expiry_s = 3600;                    // a series that nothing updates for that long goes
  std::function<int64_t()> monotonic_s = {};  // the clock; empty: CLOCK_MONOTONIC
};

// Keeps what the Segments add up to and renders it for a scrape: the exporter `prometheus`.
// docs/prometheus.md explains it to users.
//
//   counter, timestamped counter  counter `<name>_total`, the sum of all samples since the start
//   gauge, timestamped gauge      gauge, the last value
//   set                           gauge, the members of the last interval
//   histogram, distribution       summary: quantiles of the last interval, `_sum` and `_count`
//   since
//                                 the start
//   event, service check          none; counted as unsupported
//
// Two contexts whose names and labels become the same share a series if they are of one type:
// counters and summaries add, a gauge takes the last. A family whose sample names another type has
// taken gets `_<type>` behind its name.
//
// When max_series or max_bytes is reached, the series that is idle longest makes room; one is idle
// if neither this Segment nor the one before updated it. If none is, the new series is refused.
//
// Threads: `render` and `counters` any, beside the owner's calls.
class PrometheusExporter : public Exporter {
 public:
  static constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";

  // Of one series: labels as long as the longest packet, and its state.
  static constexpr size_t kSeriesBytesMax = (64 << 10) + 512;

  explicit PrometheusExporter(PrometheusOptions options);
  ~PrometheusExporter() override;

  [[nodiscard]] std::string_view name() const override { return "prometheus"; }
  absl::Status deliver(const segment::Reader& segment) override;

  // Refused, not finite and unsupported points together. Never waits for a delivery.
  [[nodiscard]] uint64_t dropped_points() const override {
    return dropped_.load(std::memory_order_relaxed);
  }

  // The text of a scrape.
  [[nodiscard]] std::string render();

  struct Counters {
    uint64_t series;       // now
    uint64_t bytes;        // now
    uint64_t evicted;      // series that made room
    uint64_t expired;      // series nothing updated
    uint64_t refused;      // points whose series found no room
    uint64_t not_finite;   // points that would have made a series infinite or NaN for good
    uint64_t unsupported;  // events and service checks
  };
  [[nodiscard]] Counters counters() const;

 private:
  class Update;

  enum class Type : uint8_t { kCounter, kGauge, kSummary };
  static constexpr std::array<double, 4> kQuantiles = {0.5, 0.9, 0.95, 0.99};

  struct Family;
  struct SummaryState {
    uint64_t count = 0;
    std::array<double, kQuantiles.size()> quantiles{};
  };
  struct Series {
    Family* family = nullptr;
    const std::string* labels = nullptr;  // its key in the family
    Series *older = nullptr, *newer = nullptr;
    uint64_t segment = 0;  // number of the Segment that updated it last
    int64_t updated_s = 0;
    double value = 0;                       // a summary's sum
    std::unique_ptr<SummaryState> summary;  // of summaries
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
  };
  struct Family {
    Type type{};
    const std::string* base = nullptr;  // its key among the families
    std::string name;                   // as rendered; counters with `_total`
    std::string original;               // the first metric name that came here
    std::unordered_map<std::string, Series, Hash, std::equal_to<>> series;
  };
  // By name before any suffix, and type.
  using Families = std::array<std::map<std::string, Family, std::less<>>, 3>;

  static std::string_view word(Type type);
  static size_t cost(const Series& series);
  static size_t cost(const Family& family);
  static std::vector<std::string> sample_names_of(const Family& family);

  // The series of a context, marked as updated, or null if there is no room.
  Series* touch(const segment::Context& context, Type type);
  Family& family_of(Type type, std::string_view original);
  bool make_room(size_t bytes);
  void remove(Series& series);
  void expire();
  void link_newest(Series& series);
  void unlink(Series& series);
  static void render_family(const Family& family, std::string& out);
  static void render_summary(const Series& series, std::string& out);

  const PrometheusOptions options_;
  std::atomic<uint64_t> dropped_ = 0;  // written by `deliver`
  mutable std::mutex mutex_;           // over everything below
  Families families_;
  std::unordered_set<std::string> sample_names_;  // of all families
  Series *oldest_ = nullptr, *newest_ = nullptr;
  uint64_t segments_ = 0;
  int64_t now_s_ = 0;
  Counters counters_{};
  PrometheusLabels labels_;
  std::string name_text_, label_text_;  // scratch of `touch`
};

}  // namespace penstock

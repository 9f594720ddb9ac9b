#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/api/segment.h"
#include "dataplane/api/sketch.h"
#include "parsers/dogstatsd/name_filter.h"

namespace penstock {

// What becomes of a Segment on its way out: the points the Agent would send (spec 8.4 to 8.8).

enum class Aggregate : uint8_t { kMax, kMin, kMedian, kAvg, kCount, kSum };

// Which series a histogram gives.
struct HistogramConfig {
  struct Percentile {
    uint32_t percent;    // 0 to 100
    std::string suffix;  // ".95percentile"
  };

  std::vector<Aggregate> aggregates;    // in the order of the series
  std::vector<Percentile> percentiles;  // ascending
  dogstatsd::NameFilter filter;         // of the names of these series

  // From `histogram_aggregates` and `histogram_percentiles` (spec 8.5). What is no aggregate or no
  // number from 0 to 1 is left out and goes to `ignored`, as the Agent does it.
  static HistogramConfig parse(std::span<const std::string> aggregates,
                               std::span<const std::string> percentiles,
                               std::vector<std::string>& ignored);

  // Leaves out the series that a name filter means to (spec 7.6, second stage): of its entries,
  // those that end in the suffix of one of our series count, and are compared with the names of
  // series.
  void leave_out(std::span<const std::string> entries, bool prefix);
};

// One point of one series. All views are valid during the call that brings it.
struct SeriesPoint {
  std::string_view name, suffix;  // the metric is called name + suffix
  std::string_view host;
  std::span<const std::string_view> tags;  // sorted, unique
  int64_t timestamp;                       // Unix s
  uint32_t interval_s;                     // on gauges too
  bool rate;                               // else a gauge
  double value;                            // may be infinite or NaN
};

struct SketchPoint {
  segment::Context context;
  int64_t timestamp;
  segment::Summary summary;
  std::span<const segment::Bin> bins;  // ascending; see for_each_output_bin
};

struct PointSink {
  virtual ~PointSink() = default;
  virtual void series(const SeriesPoint& point) = 0;
  virtual void sketch(const SketchPoint& point) = 0;
  virtual void event(const segment::Event& event) = 0;
  virtual void service_check(const segment::ServiceCheck& check) = 0;
};

// Brings every point of the Segment to `sink`, in the order of its rows. A row without samples (an
// empty set, histogram or sketch) gives none. Returns how many the filter left out.
uint64_t for_each_point(const segment::Reader& segment, const HistogramConfig& histograms,
                        PointSink& sink);

// The value of the first sample, by ascending value, whose cumulative weight exceeds
// (percent * weight of all - 1) / 100 in integers (spec 8.5). Bins stand for their values, within
// the summary's extremes. None if all weights are 0. At most one of `values` and `bins` has
// elements.
std::optional<double> percentile(const segment::Summary& summary,
                                 std::span<const segment::WeightedValue> values,
                                 std::span<const segment::Bin> bins, uint32_t percent);

// Calls `f(int16_t key, uint32_t count)` for the bins as they go out: a count above 2^32-1 is split
// into bins of equal key, the remainder first (spec 8.6). A client can claim any weight with one
// tiny rate, so at most 4096 such extra bins come of one sketch; counts beyond (some 10^13) are
// left out of its bins, not of its summary.
template <class F>
void for_each_output_bin(std::span<const segment::Bin> bins, const F& f) {
  uint64_t room = sketch::kBinsMax;
  for (const segment::Bin& bin : bins) {
    if (const auto rest = static_cast<uint32_t>(bin.count % UINT32_MAX); rest > 0) f(bin.key, rest);
    const uint64_t full = std::min(bin.count / UINT32_MAX, room);
    for (uint64_t i = 0; i < full; ++i) f(bin.key, uint32_t{UINT32_MAX});
    room -= full;
  }
}

}  // namespace penstock

#include "controlplane/exporters/points.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <utility>

#include "dataplane/base/strings.h"
#include "parsers/dogstatsd/message.h"

namespace penstock {
namespace {

using segment::Bin;
using segment::Context;
using segment::Summary;
using segment::WeightedValue;

constexpr uint32_t kTimestampedIntervalS = 10;  // ruling 14

struct AggregateName {
  std::string_view suffix;
  Aggregate aggregate;
};
constexpr std::array<AggregateName, 6> kAggregates = {{{".max", Aggregate::kMax},
                                                       {".min", Aggregate::kMin},
                                                       {".median", Aggregate::kMedian},
                                                       {".avg", Aggregate::kAvg},
                                                       {".count", Aggregate::kCount},
                                                       {".sum", Aggregate::kSum}}};

std::string_view suffix_of(Aggregate aggregate) {
  return kAggregates[static_cast<size_t>(aggregate)].suffix;
}

uint64_t total_weight(std::span<const WeightedValue> values, std::span<const Bin> bins) {
  uint64_t total = 0;
  for (const WeightedValue& v : values) total += v.weight;
  for (const Bin& b : bins) total += b.count;
  return total;
}

// The value of the first sample whose cumulative weight exceeds `rank`.
std::optional<double> value_above(const Summary& s, std::span<const WeightedValue> values,
                                  std::span<const Bin> bins, uint64_t rank) {
  uint64_t weight = 0;
  for (const WeightedValue& v : values) {
    weight += v.weight;
    if (weight > rank) return v.value;
  }
  for (const Bin& b : bins) {
    weight += b.count;
    if (weight > rank) return std::max(s.min, std::min(s.max, sketch::value_of(b.key)));
  }
  return std::nullopt;
}

// None where no value could be kept: better no point than a wrong one.
std::optional<double> median(const Summary& s, std::span<const WeightedValue> values,
                             std::span<const Bin> bins) {
  if (values.empty() && bins.empty()) return std::nullopt;
  const uint64_t total = total_weight(values, bins);
  return value_above(s, values, bins, total == 0 ? 0 : (total - 1) / 2).value_or(0);
}

class Points : public segment::Reader::Visitor {
 public:
  Points(const segment::Meta& meta, const HistogramConfig& histograms, PointSink& sink)
      : meta_(meta), histograms_(histograms), sink_(sink) {}

  void counter(const Context& c, ExactSum sum) override {
    emit(c, "", true, sum.value() / static_cast<double>(meta_.interval_s));
  }
  void gauge(const Context& c, double value, int64_t, uint32_t) override {
    emit(c, "", false, value);
  }
  void set(const Context& c, std::span<const uint64_t> members) override {
    if (!members.empty()) emit(c, "", false, static_cast<double>(members.size()));
  }

  void histogram(const Context& c, const Summary& s, std::span<const WeightedValue> values,
                 std::span<const Bin> bins) override {
    // Samples of weight 0 (spec 8.7) leave a count of 0 and values.
    if (s.count == 0 && values.empty() && bins.empty()) return;
    for (const Aggregate aggregate : histograms_.aggregates) {
      const std::string_view suffix = suffix_of(aggregate);
      if (left_out(c.name, suffix)) continue;
      if (const auto value = value_of(aggregate, s, values, bins))
        emit(c, suffix, aggregate == Aggregate::kCount, *value);
    }
    for (const HistogramConfig::Percentile& p : histograms_.percentiles) {
      if (left_out(c.name, p.suffix)) continue;
      if (const auto value = percentile(s, values, bins, p.percent)) {
        emit(c, p.suffix, false, *value);
      }
    }
  }

  void distribution(const Context& c, const Summary& s, std::span<const Bin> bins) override {
    if (!bins.empty()) sink_.sketch({c, meta_.bucket_start, s, bins});
  }

  void timestamped(segment::Kind kind, const Context& c, int64_t timestamp, double value) override {
    const bool rate = kind == segment::Kind::kCounter;
    sink_.series({.name = c.name,
                  .suffix = "",
                  .host = c.host,
                  .tags = c.tags,
                  .timestamp = timestamp,
                  .interval_s = kTimestampedIntervalS,
                  .rate = rate,
                  .value = rate ? value / kTimestampedIntervalS : value});
  }

  void event(const segment::Event& e) override { sink_.event(e); }
  void service_check(const segment::ServiceCheck& c) override { sink_.service_check(c); }

  [[nodiscard]] uint64_t filtered() const { return filtered_; }

 private:
  bool left_out(std::string_view name, std::string_view suffix) {
    if (histograms_.filter.empty()) return false;
    series_name_.assign(name).append(suffix);
    if (histograms_.filter.find(series_name_) == nullptr) return false;
    ++filtered_;
    return true;
  }

  [[nodiscard]] std::optional<double> value_of(Aggregate aggregate, const Summary& s,
                                               std::span<const WeightedValue> values,
                                               std::span<const Bin> bins) const {
    switch (aggregate) {
      case Aggregate::kMax:
        return s.max;
      case Aggregate::kMin:
        return s.min;
      case Aggregate::kMedian:
        return median(s, values, bins);
      case Aggregate::kAvg:
        return s.sum / static_cast<double>(s.count);
      case Aggregate::kCount:
        return static_cast<double>(s.count) / static_cast<double>(meta_.interval_s);
      case Aggregate::kSum:
        return s.sum;
    }
    return std::nullopt;
  }

  void emit(const Context& c, std::string_view suffix, bool rate, double value) {
    sink_.series({.name = c.name,
                  .suffix = suffix,
                  .host = c.host,
                  .tags = c.tags,
                  .timestamp = meta_.bucket_start,
                  .interval_s = meta_.interval_s,
                  .rate = rate,
                  .value = value});
  }

  const segment::Meta& meta_;
  const HistogramConfig& histograms_;
  PointSink& sink_;
  std::string series_name_;
  uint64_t filtered_ = 0;
};

}  // namespace

void HistogramConfig::leave_out(std::span<const std::string> entries, bool prefix) {
  const auto of_series = [this](const std::string& entry) {
    return std::ranges::any_of(aggregates,
                               [&](Aggregate a) { return entry.ends_with(suffix_of(a)); }) ||
           std::ranges::any_of(percentiles,
                               [&](const Percentile& p) { return entry.ends_with(p.suffix); });
  };
  std::vector<std::string> ours;
  std::ranges::copy_if(entries, std::back_inserter(ours), of_series);
  filter = {std::move(ours), prefix};
}

HistogramConfig HistogramConfig::parse(std::span<const std::string> aggregates,
                                       std::span<const std::string> percentiles,
                                       std::vector<std::string>& ignored) {
  HistogramConfig config;
  for (const std::string& name : aggregates) {
    const auto* it = std::ranges::find_if(
        kAggregates, [&](const AggregateName& a) { return a.suffix.substr(1) == name; });
    if (it == kAggregates.end()) {
      ignored.push_back(name);
    } else {
      config.aggregates.push_back(it->aggregate);
    }
  }
  for (const std::string& text : percentiles) {
    double x = -1;
    if (!dogstatsd::parse_float(text, x) || !(x >= 0 && x <= 1)) {
      ignored.push_back(text);
      continue;
    }
    const auto percent = static_cast<uint32_t>(std::floor(x * 100 + 0.5));
    config.percentiles.push_back({percent, cat(".", percent, "percentile")});
  }
  std::ranges::sort(config.percentiles, {}, &Percentile::percent);
  return config;
}

std::optional<double> percentile(const Summary& summary, std::span<const WeightedValue> values,
                                 std::span<const Bin> bins, uint32_t percent) {
  using Wide = unsigned __int128;  // percent * weight may exceed 64 bits
  const Wide scaled = Wide{percent} * total_weight(values, bins);
  const Wide rank = scaled == 0 ? 0 : (scaled - 1) / 100;
  return value_above(summary, values, bins, static_cast<uint64_t>(rank));
}

uint64_t for_each_point(const segment::Reader& segment, const HistogramConfig& histograms,
                        PointSink& sink) {
  Points points(segment.meta(), histograms, sink);
  segment.visit(points);
  return points.filtered();
}

}  // namespace penstock

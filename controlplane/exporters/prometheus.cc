#include "controlplane/exporters/prometheus.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <utility>
#include <vector>

#include "controlplane/exporters/points.h"
#include "controlplane/exporters/text.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

using segment::Bin;
using segment::Context;
using segment::Summary;
using segment::WeightedValue;

int64_t monotonic_s() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

// The sample names of a family are its name and, of a summary, these two more.
constexpr std::array<std::string_view, 2> kSummarySuffixes = {"_sum", "_count"};

void append_sample(std::string& out, std::string_view name, std::string_view labels, double value) {
  out += name;
  if (!labels.empty()) {
    out += '{';
    out += labels;
    out += '}';
  }
  out += ' ';
  append_prometheus_number(out, value);
  out += '\n';
}

}  // namespace

// Brings the rows of one Segment into the series. Under the mutex.
class PrometheusExporter::Update : public segment::Reader::Visitor {
 public:
  explicit Update(PrometheusExporter& exporter) : exporter_(exporter) {}

  void counter(const Context& c, ExactSum sum) override { add(c, Type::kCounter, sum.value()); }
  void gauge(const Context& c, double value, int64_t, uint32_t) override { set_value(c, value); }
  void set(const Context& c, std::span<const uint64_t> members) override {
    if (!members.empty()) set_value(c, static_cast<double>(members.size()));
  }
  void histogram(const Context& c, const Summary& s, std::span<const WeightedValue> values,
                 std::span<const Bin> bins) override {
    summary(c, s, values, bins);
  }
  void distribution(const Context& c, const Summary& s, std::span<const Bin> bins) override {
    summary(c, s, {}, bins);
  }
  void timestamped(segment::Kind kind, const Context& c, int64_t, double value) override {
    if (kind == segment::Kind::kCounter) {
      add(c, Type::kCounter, value);
    } else {
      set_value(c, value);
    }
  }
  void event(const segment::Event&) override { ++exporter_.counters_.unsupported; }
  void service_check(const segment::ServiceCheck&) override { ++exporter_.counters_.unsupported; }

 private:
  // A sum that became infinite would stay so.
  Series* add(const Context& c, Type type, double sum) {
    if (!std::isfinite(sum)) {
      ++exporter_.counters_.not_finite;
      return nullptr;
    }
    Series* series = exporter_.touch(c, type);
    if (series != nullptr) series->value += sum;
    return series;
  }

  void set_value(const Context& c, double value) {
    if (Series* series = exporter_.touch(c, Type::kGauge)) series->value = value;
  }

  void summary(const Context& c, const Summary& s, std::span<const WeightedValue> values,
               std::span<const Bin> bins) {
    Series* series = add(c, Type::kSummary, s.sum);
    if (series == nullptr) return;
    SummaryState& state = *series->summary;
    state.count += s.count;
    for (size_t i = 0; i < kQuantiles.size(); ++i) {
      const auto percent = static_cast<uint32_t>(std::lround(kQuantiles[i] * 100));
      state.quantiles[i] = percentile(s, values, bins, percent).value_or(std::nan(""));
    }
  }

  PrometheusExporter& exporter_;
};

PrometheusExporter::PrometheusExporter(PrometheusOptions options)
    : options_([&] {
        if (!options.monotonic_s) options.monotonic_s = monotonic_s;
        return std::move(options);
      }()) {}

PrometheusExporter::~PrometheusExporter() = default;

absl::Status PrometheusExporter::deliver(const segment::Reader& segment) {
  const std::lock_guard lock(mutex_);
  ++segments_;
  now_s_ = options_.monotonic_s();
  expire();
  Update update(*this);
  segment.visit(update);
  dropped_.store(counters_.refused + counters_.not_finite + counters_.unsupported,
                 std::memory_order_relaxed);
  return absl::OkStatus();
}

PrometheusExporter::Counters PrometheusExporter::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

std::string_view PrometheusExporter::word(Type type) {
  constexpr std::array<std::string_view, 3> kWords = {"counter", "gauge", "summary"};
  return kWords[static_cast<size_t>(type)];
}

// What a series takes: its labels, its node and its bucket in the table, and its state.
size_t PrometheusExporter::cost(const Series& series) {
  constexpr size_t kNodeBytes = sizeof(Series) + sizeof(std::string) + 32;
  return kNodeBytes + series.labels->size() + (series.summary ? sizeof(SummaryState) + 16 : 0);
}

// And a family: its names, its node and its entries among the sample names.
size_t PrometheusExporter::cost(const Family& family) {
  constexpr size_t kNodeBytes = sizeof(Family) + 4 * sizeof(std::string) + 128;
  return kNodeBytes + 3 * family.name.size() + family.base->size() + family.original.size();
}

PrometheusExporter::Series* PrometheusExporter::touch(const Context& context, Type type) {
  prometheus_name(context.name, name_text_);
  labels_.set(context, label_text_);
  auto& families = families_[static_cast<size_t>(type)];
  if (const auto family = families.find(name_text_); family != families.end()) {
    auto& all = family->second.series;
    if (const auto it = all.find(label_text_); it != all.end()) {
      unlink(it->second);
      link_newest(it->second);
      return &it->second;
    }
  }
  if (!make_room(label_text_.size() + name_text_.size() + context.name.size())) {
    ++counters_.refused;
    return nullptr;
  }
  Family& family = family_of(type, context.name);
  const auto it = family.series.try_emplace(label_text_).first;
  Series& series = it->second;
  series.family = &family;
  series.labels = &it->first;
  if (type == Type::kSummary) series.summary = std::make_unique<SummaryState>();
  link_newest(series);
  ++counters_.series;
  counters_.bytes += cost(series);
  return &series;
}

// The family of `name_text_`; `original` is what it was before it was made valid.
PrometheusExporter::Family& PrometheusExporter::family_of(Type type, std::string_view original) {
  const auto [it, added] = families_[static_cast<size_t>(type)].try_emplace(name_text_);
  Family& family = it->second;
  if (!added) return family;
  family.type = type;
  family.base = &it->first;
  family.original = original;
  std::string base = name_text_;
  while (true) {
    family.name = type == Type::kCounter ? cat(base, "_total") : base;
    const auto names = sample_names_of(family);
    const bool free = std::ranges::none_of(
        names, [&](const std::string& name) { return sample_names_.contains(name); });
    if (free) {
      sample_names_.insert(names.begin(), names.end());
      break;
    }
    base += cat("_", word(type));
  }
  counters_.bytes += cost(family);
  return family;
}

std::vector<std::string> PrometheusExporter::sample_names_of(const Family& family) {
  std::vector<std::string> names = {family.name};
  if (family.type == Type::kSummary) {
    for (const std::string_view suffix : kSummarySuffixes)
      names.push_back(cat(family.name, suffix));
  }
  return names;
}

// Room for one series with texts of `bytes`, if need be in place of the idle.
bool PrometheusExporter::make_room(size_t bytes) {
  while (counters_.series >= options_.max_series || counters_.bytes + bytes > options_.max_bytes) {
    if (oldest_ == nullptr || oldest_->segment + 2 > segments_) return false;
    remove(*oldest_);
    ++counters_.evicted;
  }
  return true;
}

void PrometheusExporter::remove(Series& series) {
  unlink(series);
  --counters_.series;
  counters_.bytes -= cost(series);
  Family& family = *series.family;
  family.series.erase(family.series.find(*series.labels));
  if (!family.series.empty()) return;
  counters_.bytes -= cost(family);
  for (const std::string& name : sample_names_of(family)) sample_names_.erase(name);
  auto& families = families_[static_cast<size_t>(family.type)];
  families.erase(families.find(*family.base));
}

void PrometheusExporter::expire() {
  while (oldest_ != nullptr && oldest_->updated_s + options_.expiry_s <= now_s_) {
    remove(*oldest_);
    ++counters_.expired;
  }
}

void PrometheusExporter::link_newest(Series& series) {
  series.segment = segments_;
  series.updated_s = now_s_;
  series.older = newest_;
  series.newer = nullptr;
  (newest_ == nullptr ? oldest_ : newest_->newer) = &series;
  newest_ = &series;
}

void PrometheusExporter::unlink(Series& series) {
  (series.older == nullptr ? oldest_ : series.older->newer) = series.newer;
  (series.newer == nullptr ? newest_ : series.newer->older) = series.older;
}

std::string PrometheusExporter::render() {
  const std::lock_guard lock(mutex_);
  now_s_ = options_.monotonic_s();
  expire();
  std::string out;
  for (const auto& families : families_) {
    for (const auto& [base, family] : families) render_family(family, out);
  }
  return out;
}

void PrometheusExporter::render_family(const Family& family, std::string& out) {
  out += cat("# HELP ", family.name, " DogStatsD metric ");
  append_prometheus_help(out, family.original);
  out += cat("\n# TYPE ", family.name, " ", word(family.type), "\n");
  for (const auto& [labels, series] : family.series) {
    if (family.type == Type::kSummary) {
      render_summary(series, out);
    } else {
      append_sample(out, family.name, labels, series.value);
    }
  }
}

void PrometheusExporter::render_summary(const Series& series, std::string& out) {
  const std::string& name = series.family->name;
  const std::string& labels = *series.labels;
  for (size_t i = 0; i < kQuantiles.size(); ++i) {
    std::string with_quantile = cat(labels, labels.empty() ? "" : ",", "quantile=\"");
    append_prometheus_number(with_quantile, kQuantiles[i]);
    with_quantile += '"';
    append_sample(out, name, with_quantile, series.summary->quantiles[i]);
  }
  append_sample(out, cat(name, "_sum"), labels, series.value);
  append_sample(out, cat(name, "_count"), labels, static_cast<double>(series.summary->count));
}

}  // namespace penstock

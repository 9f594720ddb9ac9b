#include "tests/reference/aggregator.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <variant>

namespace penstock::reference {
namespace {

constexpr int64_t kInterval = 10;

// 8.1.
int64_t bucket_of(int64_t seconds) { return seconds - seconds % kInterval; }

std::string internal_type(const std::string& symbol) { return symbol == "ms" ? "h" : symbol; }

// 8.5: int(x*100 + 0.5), ascending; what is not in [0, 1] is skipped.
std::vector<int> percents(const std::vector<double>& percentiles) {
  std::vector<int> result;
  for (double x : percentiles) {
    if (x >= 0 && x <= 1) result.push_back(static_cast<int>(std::floor(x * 100 + 0.5)));
  }
  std::sort(result.begin(), result.end());
  return result;
}

std::string percentile_suffix(int p) {
  std::string suffix = ".";
  suffix += std::to_string(p);
  return suffix + "percentile";
}

// 7.6: of the list, the entries that end like a series of a histogram.
NameFilter second_stage(const Config& config) {
  NameFilter filter = name_filter(config.enrich);
  std::vector<std::string> suffixes;
  for (const std::string& name : config.histogram_aggregates) suffixes.push_back("." + name);
  for (int p : percents(config.histogram_percentiles)) {
    suffixes.push_back(percentile_suffix(p));
  }
  std::erase_if(filter.entries, [&](const std::string& entry) {
    return std::none_of(suffixes.begin(), suffixes.end(),
                        [&](const std::string& suffix) { return entry.ends_with(suffix); });
  });
  return filter;
}

// The first sample, by value, whose cumulative weight is above the bound (8.5).
std::optional<double> first_above(const std::vector<std::pair<double, int64_t>>& sorted,
                                  int64_t bound) {
  int64_t cumulative = 0;
  for (const auto& [value, weight] : sorted) {
    cumulative += weight;
    if (cumulative > bound) return value;
  }
  return std::nullopt;
}

}  // namespace

Aggregator::Aggregator(Config config)
    : config_(std::move(config)),
      filter_(name_filter(config_.enrich)),
      series_filter_(second_stage(config_)) {}

void Aggregator::add(const Input& input) {
  advance(input.time);
  Input packet = input;
  packet.time = now_;
  take(packet);
}

void Aggregator::take(const Input& input) {
  at_ = input.time;
  if (input.bytes.size() > config_.buffer_size) return;  // ruling 11
  bool eol_required = config_.eol_uds;
  if (input.source == Source::kUdp) eol_required = config_.eol_udp;
  if (input.source == Source::kPipe) eol_required = config_.eol_pipe;
  const Options options{.timestamps = config_.no_aggregation_pipeline,
                        .client_origin = config_.origin_detection_client};
  const auto arrival = static_cast<int64_t>(at_);
  for (const Message& message : parse_packet(input.bytes, eol_required, options)) {
    if (const auto* metric = std::get_if<Metric>(&message.body)) {
      add_metric(*metric, input.container);
    } else if (const auto* event = std::get_if<Event>(&message.body)) {
      Event resolved = *event;  // ruling 13
      Identity identity =
          identify(event->tags, event->origin, event->hostname, input.container, config_.enrich);
      resolved.hostname = identity.host;
      resolved.tags = identity.tags;
      if (resolved.timestamp == 0) resolved.timestamp = arrival;
      points_.events.push_back(resolved);
    } else if (const auto* check = std::get_if<ServiceCheck>(&message.body)) {
      ServiceCheck resolved = *check;  // ruling 13
      Identity identity =
          identify(check->tags, check->origin, check->hostname, input.container, config_.enrich);
      resolved.hostname = identity.host;
      resolved.tags = identity.tags;
      if (resolved.timestamp == 0) resolved.timestamp = arrival;
      points_.checks.push_back(resolved);
    }
  }
}

void Aggregator::add_metric(Metric metric, const std::string& container) {
  rename(metric, config_.enrich);
  if (filter_.matches(metric.name)) return;  // 7.6
  const Identity identity = identify(metric.tags, metric.origin, "", container, config_.enrich);
  const Context context{metric.name, identity.host, identity.tags};
  if (metric.timestamp != 0) {
    add_timestamped(metric, context);
  } else {
    add_sample(metric, context);
  }
  // 8.5: before the type of a timestamped sample is refused (8.8).
  if (config_.histogram_copy_to_distribution && internal_type(metric.type) == "h") {
    copy_to_distribution(metric, context);
  }
}

// 8.8; the sample rate is ignored.
void Aggregator::add_timestamped(const Metric& metric, const Context& context) {
  if (metric.type != "c" && metric.type != "g") return;
  const bool counter = metric.type == "c";
  for (double value : metric.values) {
    if (!std::isfinite(value)) continue;  // ruling 15
    points_.series.push_back({metric.timestamp, context.name, context.host, context.tags,
                              counter ? "rate" : "gauge", counter ? value / kInterval : value});
  }
}

void Aggregator::add_sample(const Metric& metric, const Context& context) {
  const std::string type = internal_type(metric.type);
  if (type == "s") sets_[context].insert(metric.set_value);  // 8.4
  if (type == "c")
    last_seen_[context] = std::max(last_seen_[context], at_);  // ruling 3: whatever the value is
  for (double value : metric.values) {
    if (!std::isfinite(value)) continue;                                        // 8.3
    if (type == "c") counters_[context].add(value * rate_factor(metric.rate));  // ruling 16
    if (type == "g") gauges_[context] = value;                                  // 8.4
    if (type == "h") add_histogram(histograms_[context], value, metric.rate);
    if (type == "d") sketches_[open_][context].insert(value, metric.rate);  // 8.6
  }
}

// 8.5. The prefix goes before the namespace, no filter test on the new name; ruling 5.
void Aggregator::copy_to_distribution(const Metric& metric, const Context& context) {
  Context copy = context;
  copy.name = config_.histogram_copy_to_distribution_prefix + context.name;
  const int64_t bucket = metric.timestamp != 0 ? bucket_of(metric.timestamp) : open_;
  for (double value : metric.values) {
    if (std::isfinite(value)) sketches_[bucket][copy].insert(value, metric.rate);
  }
}

// 8.5: the weight is int(1/r), the sum takes 1/r.
void Aggregator::add_histogram(Histogram& histogram, double value, double rate) {
  const double factor = weight_factor(rate);
  const auto weight = static_cast<int64_t>(factor);
  histogram.samples.emplace_back(value, weight);
  histogram.sum.add(value * factor);
  histogram.count += weight;
}

void Aggregator::add_series(const Context& context, const std::string& suffix,
                            const std::string& type, double value) {
  points_.series.push_back({open_, context.name + suffix, context.host, context.tags, type, value});
}

// 8.5.
void Aggregator::flush_histogram(const Context& context, Histogram& histogram) {
  std::sort(histogram.samples.begin(), histogram.samples.end(),
            [](const auto& a, const auto& b) { return less(a.first, b.first); });
  const auto& samples = histogram.samples;
  const int64_t count = histogram.count;
  const auto emit = [&](const std::string& suffix, const std::string& type, double value) {
    if (series_filter_.matches(context.name + suffix)) return;
    add_series(context, suffix, type, value);
  };
  for (const std::string& aggregate : config_.histogram_aggregates) {
    const std::string suffix = "." + aggregate;
    if (aggregate == "max") emit(suffix, "gauge", samples.back().first);
    if (aggregate == "min") emit(suffix, "gauge", samples.front().first);
    if (aggregate == "sum") emit(suffix, "gauge", histogram.sum.rounded());
    if (aggregate == "avg") {
      emit(suffix, "gauge", histogram.sum.rounded() / static_cast<double>(count));
    }
    if (aggregate == "median") {
      emit(suffix, "gauge", first_above(samples, (count - 1) / 2).value_or(0));
    }
    if (aggregate == "count") emit(suffix, "rate", static_cast<double>(count) / kInterval);
  }
  for (int p : percents(config_.histogram_percentiles)) {
    const std::optional<double> value = first_above(samples, (p * count - 1) / 100);
    if (value) emit(percentile_suffix(p), "gauge", *value);
  }
}

// 8.4 and the ruling on zero fill.
void Aggregator::flush_counters() {
  for (auto& [context, last_seen] : last_seen_) {
    const auto counter = counters_.find(context);
    if (counter != counters_.end()) {
      add_series(context, "", "rate", counter->second.rounded() / kInterval);
    } else if (last_seen + config_.expiry_seconds > static_cast<double>(open_)) {
      add_series(context, "", "rate", 0);
    }
  }
  // A context that got its last zero never gets another: time goes on.
  std::erase_if(last_seen_, [&](const auto& entry) {
    return entry.second + config_.expiry_seconds <= static_cast<double>(open_);
  });
}

void Aggregator::give_sketches(int64_t start) {
  const auto bucket = sketches_.find(start);
  if (bucket == sketches_.end()) return;
  for (const auto& [context, sketch] : bucket->second) {
    points_.sketches.push_back({start, context.name, context.host, context.tags, sketch});
  }
  sketches_.erase(bucket);
}

void Aggregator::give(int64_t start) {
  std::vector<std::string> lines = json_lines(points_);
  if (!lines.empty()) sealed_.push_back({start, std::move(lines)});
  points_ = {};
}

void Aggregator::seal() {
  flush_counters();
  for (const auto& [context, value] : gauges_) add_series(context, "", "gauge", value);
  for (const auto& [context, members] : sets_) {
    add_series(context, "", "gauge", static_cast<double>(members.size()));
  }
  for (auto& [context, histogram] : histograms_) flush_histogram(context, histogram);
  give_sketches(open_);
  give(open_);
  counters_.clear();
  gauges_.clear();
  sets_.clear();
  histograms_.clear();
}

// Ruling 5.
void Aggregator::seal_late(int64_t before) {
  while (!sketches_.empty() && sketches_.begin()->first < before) {
    const int64_t start = sketches_.begin()->first;
    give_sketches(start);
    give(start);
  }
}

// The bucket after the open one, or, when nothing can come out of those between, a later one.
int64_t Aggregator::next_open() const {
  const int64_t next = open_ + kInterval;
  const bool zeros = std::any_of(last_seen_.begin(), last_seen_.end(), [&](const auto& entry) {
    return entry.second + config_.expiry_seconds > static_cast<double>(next);
  });
  if (zeros) return next;
  const int64_t present = bucket_of(static_cast<int64_t>(now_));
  return sketches_.empty() ? present : std::min(present, sketches_.begin()->first);
}

void Aggregator::advance(double time) {
  if (!started_) {
    started_ = true;
    now_ = time;
    open_ = bucket_of(static_cast<int64_t>(time));
  }
  now_ = std::max(now_, time);  // a clock that goes back
  while (bucket_of(static_cast<int64_t>(now_)) > open_) {
    seal();
    seal_late(open_);
    open_ = next_open();
  }
}

void Aggregator::finish() {
  seal();
  seal_late(std::numeric_limits<int64_t>::max());
}

}  // namespace penstock::reference

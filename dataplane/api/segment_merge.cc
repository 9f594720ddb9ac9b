#include "dataplane/api/segment_merge.h"

#include <algorithm>
#include <string>
#include <tuple>
#include <unordered_map>

#include "dataplane/api/sketch.h"

namespace penstock::segment {
namespace {

struct Key {
  std::string_view name, host;  // into the Segments
  std::vector<std::string_view> tags;

  [[nodiscard]] Context context() const { return {name, host, tags}; }
};

// The contexts of one kind, in the order of their first row.
template <class State>
class Table {
 public:
  // The state of a context, and whether it is new.
  std::pair<State*, bool> at(const Context& c) {
    id_.clear();
    append(c.name);
    append(c.host);
    for (const std::string_view tag : c.tags) append(tag);
    const auto [it, added] = index_.try_emplace(id_, rows_.size());
    if (added) {
      rows_.emplace_back(Key{c.name, c.host, {c.tags.begin(), c.tags.end()}}, State{});
    }
    return {&rows_[it->second].second, added};
  }

  [[nodiscard]] const std::vector<std::pair<Key, State>>& rows() const { return rows_; }

 private:
  // With its length, so that no two contexts run into one.
  void append(std::string_view s) {
    const uint64_t size = s.size();
    id_.append(reinterpret_cast<const char*>(&size), sizeof size);
    id_.append(s);
  }

  std::string id_;
  std::unordered_map<std::string, size_t> index_;
  std::vector<std::pair<Key, State>> rows_;
};

struct Gauge {
  double value;
  int64_t time_ms;
  uint32_t shard;
  uint64_t sequence;  // of the Segment

  [[nodiscard]] auto age() const { return std::tie(time_ms, shard, sequence); }
};
struct Sketch {
  Summary summary;
  std::vector<WeightedValue> values;
  std::vector<Bin> bins;
};

void add(std::vector<WeightedValue>& to, std::span<const WeightedValue> from) {
  to.insert(to.end(), from.begin(), from.end());
  sketch::normalize(to);
}

void add(std::vector<Bin>& to, std::span<const Bin> from) {
  to.insert(to.end(), from.begin(), from.end());
  to.resize(sketch::normalize(to));
}

void add_values_as_bins(std::vector<Bin>& to, std::span<const WeightedValue> values) {
  for (const WeightedValue& v : values) to.push_back({sketch::key_of(v.value), v.weight});
  to.resize(sketch::normalize(to));
}

class Merger : public Reader::Visitor {
 public:
  explicit Merger(Writer& out) : out_(out) {}

  void take(const Reader& segment) {
    sequence_ = segment.meta().sequence;
    segment.visit(*this);
  }

  void counter(const Context& c, ExactSum sum) override { counters_.at(c).first->add(sum); }

  void gauge(const Context& c, double value, int64_t time_ms, uint32_t shard) override {
    const auto [state, added] = gauges_.at(c);
    const Gauge gauge = {value, time_ms, shard, sequence_};
    if (added || gauge.age() >= state->age()) *state = gauge;
  }

  void set(const Context& c, std::span<const uint64_t> members) override {
    std::vector<uint64_t>& all = *sets_.at(c).first;
    all.insert(all.end(), members.begin(), members.end());
    std::ranges::sort(all);
    all.erase(std::unique(all.begin(), all.end()), all.end());
  }

  void histogram(const Context& c, const Summary& s, std::span<const WeightedValue> values,
                 std::span<const Bin> bins) override {
    Sketch& state = *histograms_.at(c).first;
    sketch::merge(state.summary, s);
    // As spec 8.5 has it: of the rounded sum.
    if (state.summary.count != 0)
      state.summary.avg = state.summary.sum / static_cast<double>(state.summary.count);
    const bool exact = state.bins.empty() && bins.empty();
    if (exact && state.summary.samples <= kExactSamplesMax) {
      add(state.values, values);
      return;
    }
    state.summary.samples = 0;
    add_values_as_bins(state.bins, state.values);
    state.values.clear();
    add_values_as_bins(state.bins, values);
    add(state.bins, bins);
  }

  void distribution(const Context& c, const Summary& s, std::span<const Bin> bins) override {
    Sketch& state = *distributions_.at(c).first;
    sketch::merge(state.summary, s);
    add(state.bins, bins);
  }

  void timestamped(Kind kind, const Context& c, int64_t timestamp, double value) override {
    out_.timestamped(kind, c, timestamp, value);
  }
  void event(const Event& e) override { out_.event(e); }
  void service_check(const ServiceCheck& c) override { out_.service_check(c); }

  void finish() {
    for (const auto& [key, sum] : counters_.rows()) out_.counter(key.context(), sum);
    for (const auto& [key, g] : gauges_.rows()) {
      out_.gauge(key.context(), g.value, g.time_ms, g.shard);
    }
    for (const auto& [key, members] : sets_.rows()) out_.set(key.context(), members);
    for (const auto& [key, h] : histograms_.rows()) {
      out_.histogram(key.context(), h.summary, h.values, h.bins);
    }
    for (const auto& [key, d] : distributions_.rows()) {
      out_.distribution(key.context(), d.summary, d.bins);
    }
  }

 private:
  Writer& out_;
  uint64_t sequence_ = 0;
  Table<ExactSum> counters_;
  Table<Gauge> gauges_;
  Table<std::vector<uint64_t>> sets_;
  Table<Sketch> histograms_, distributions_;
};

}  // namespace

void merge(std::span<const Reader> segments, Writer& out) {
  Merger merger(out);
  for (const Reader& segment : segments) merger.take(segment);
  merger.finish();
}

}  // namespace penstock::segment

#include "bounded_model.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "dataplane/api/sketch.h"
#include "tests/support/shard_harness.h"

namespace penstock {
namespace {

using segment::Kind;

constexpr const char* kTypes[] = {"c", "g", "s", "h", "d"};
constexpr const char* kKinds[] = {"counter", "gauge", "set", "histogram", "distribution"};

std::string context_text(const BoundedShard::Context& c) {
  return absl::StrCat(kKinds[static_cast<size_t>(c.kind)], " ", c.name, "[", c.host, "]#",
                      absl::StrJoin(c.tags, ","));
}

std::string samples_text(Kind kind, const BoundedShard::Cell& cell) {
  std::map<int16_t, uint64_t> bins;
  std::map<double, uint64_t> values;
  uint64_t count = 0;
  double sum = 0;
  double weighted = 0;
  for (const auto& [value, inverse] : cell.values) {
    const auto weight = static_cast<uint64_t>(inverse);
    values[value] += weight;
    bins[sketch::key_of(value)] += weight;
    count += weight;
    sum += value * inverse;
    weighted += value * static_cast<double>(weight);
  }
  // Rates are powers of two here, so that the Agent's running average is the plain one.
  const double avg = kind == Kind::kHistogram ? sum / static_cast<double>(count)
                                              : weighted / static_cast<double>(count);
  std::string text = absl::StrFormat("cnt=%d sum=%.12g min=%.12g max=%.12g avg=%.9g", count, sum,
                                     values.begin()->first, values.rbegin()->first, nudged(avg));
  if (kind == Kind::kHistogram) {
    text += " values";
    for (const auto& [value, weight] : values)
      absl::StrAppendFormat(&text, " %.12g*%d", value, weight);
  } else {
    text += " bins";
    for (const auto& [key, n] : bins) absl::StrAppendFormat(&text, " %d:%d", key, n);
  }
  return text;
}

// The value of a merged context as text; empty: no row.
std::string value_text(Kind kind, const std::vector<const BoundedShard::Cell*>& cells) {
  BoundedShard::Cell all;
  const BoundedShard::Cell* newest = nullptr;
  double sum = 0;
  for (const auto* cell : cells) {
    all.members.insert(cell->members.begin(), cell->members.end());
    all.values.insert(all.values.end(), cell->values.begin(), cell->values.end());
    for (const auto& [value, inverse] : cell->values) sum += value * inverse;
    const auto age = [](const auto* c) { return std::pair(c->value_ms, c->shard); };
    if (!cell->values.empty() && (newest == nullptr || age(cell) > age(newest))) newest = cell;
  }
  switch (kind) {
    case Kind::kCounter:
      return absl::StrFormat("%.12g", sum);
    case Kind::kGauge:
      return newest == nullptr ? "" : absl::StrFormat("%.12g", newest->values.back().first);
    case Kind::kSet:
      return all.members.empty() ? "" : absl::StrCat(all.members.size());
    default:
      return all.values.empty() ? "" : samples_text(kind, all);
  }
}

}  // namespace

std::string Message::text() const {
  std::string s = name;
  if (kind == Kind::kSet) {
    absl::StrAppend(&s, ":", member);
  } else {
    for (const double v : values) absl::StrAppend(&s, ":", std::isnan(v) ? "nan" : absl::StrCat(v));
  }
  absl::StrAppend(&s, "|", kTypes[static_cast<size_t>(kind)]);
  if (rate != 1) absl::StrAppend(&s, "|@", rate);
  std::vector<std::string> all = tags;
  if (!host.empty()) all.push_back("host:" + host);
  if (!all.empty()) absl::StrAppend(&s, "|#", absl::StrJoin(all, ","));
  if (timestamp != 0) absl::StrAppend(&s, "|T", timestamp);
  return s;
}

BoundedShard::Context BoundedShard::resolve(const Message& m) {
  Context c{m.kind, m.name, m.host.empty() ? "h" : m.host, {m.tags.begin(), m.tags.end()}};
  if (known_.contains(c)) return c;
  if (known_.size() < limits_.contexts) {
    known_[c].born = sealed_ + 1;
    return c;
  }
  const std::string kind = kKinds[static_cast<size_t>(m.kind)];
  c = {m.kind, "penstock.overflow", "h", {"kind:" + kind}};
  overflow_.try_emplace(c);
  return c;
}

void BoundedShard::add(const Message& m, int64_t now_ms) {
  Generation& generation = open();
  if (m.timestamp != 0) {
    if (m.kind != Kind::kCounter && m.kind != Kind::kGauge) return;
    const Context c{m.kind, m.name, m.host.empty() ? "h" : m.host, {m.tags.begin(), m.tags.end()}};
    for (const double v : m.values) {
      if (!std::isfinite(v)) continue;
      generation.timestamped.push_back(
          absl::StrFormat("%s %.12g at %d", context_text(c), v, m.timestamp));
      ++generation.samples;
    }
    return;
  }
  Cell& cell = generation.cells[resolve(m)];
  cell.seen_ms = now_ms;
  cell.shard = index_;
  if (m.kind == Kind::kSet) {
    ++generation.samples;
    if (generation.members < limits_.set_members && cell.members.insert(m.member).second)
      ++generation.members;
    return;
  }
  for (const double v : m.values) {
    if (!std::isfinite(v)) continue;
    cell.values.emplace_back(v, 1 / m.rate);
    cell.value_ms = now_ms;
    ++generation.samples;
  }
}

void BoundedShard::ask() {
  if (want_ == drained_) want_ = drained_ + 1;
}

void BoundedShard::poll(int64_t now_ms) {
  if (cleaned_ != sealed_) {
    if (drained_ == sealed_) clean_step(now_ms);
  } else if (want_ != sealed_) {
    ++sealed_;
  }
}

// With the few contexts there are here a shard cleans in three polls: slots, sets, expiry.
void BoundedShard::clean_step(int64_t now_ms) {
  if (clean_steps_++ == 0) {
    clean_ms_ = std::min(now_ms, bucket_end_ms_);
    return;
  }
  if (clean_steps_ < 3) return;
  for (const auto& [context, cell] : held().cells) {
    const auto it = known_.find(context);
    (it != known_.end() ? it->second : overflow_[context]).last_seen_ms = cell.seen_ms;
  }
  generations_[sealed_ % 2] = {};
  expire();
  clean_steps_ = 0;
  cleaned_ = sealed_;
}

void BoundedShard::expire() {
  std::erase_if(known_, [this](const auto& entry) {
    const auto& [context, known] = entry;
    const int64_t ttl =
        limits_.expiry_ms + (context.kind == Kind::kCounter ? limits_.counter_expiry_ms : 0);
    return !open().cells.contains(context) && known.last_seen_ms + ttl < clean_ms_;
  });
}

std::vector<BoundedShard::Context> BoundedShard::zeros(int64_t bucket_start_ms) const {
  std::vector<Context> zeros;
  for (const auto* contexts : {&known_, &overflow_}) {
    for (const auto& [context, known] : *contexts) {
      if (context.kind == Kind::kCounter && known.born <= sealed_ && known.last_seen_ms != 0 &&
          !held().cells.contains(context) &&
          known.last_seen_ms + limits_.counter_expiry_ms > bucket_start_ms)
        zeros.push_back(context);
    }
  }
  return zeros;
}

std::vector<std::string> bounded_rows(const std::vector<BoundedShard*>& shards,
                                      int64_t bucket_start) {
  static const BoundedShard::Cell kZero;
  std::map<BoundedShard::Context, std::vector<const BoundedShard::Cell*>> merged;
  std::vector<std::string> rows;
  for (const BoundedShard* shard : shards) {
    if (!shard->holds()) continue;
    const auto& generation = shard->held();
    for (const auto& [context, cell] : generation.cells) merged[context].push_back(&cell);
    for (const auto& context : shard->zeros(bucket_start * 1000)) merged[context].push_back(&kZero);
    rows.insert(rows.end(), generation.timestamped.begin(), generation.timestamped.end());
  }
  for (const auto& [context, cells] : merged) {
    const std::string value = value_text(context.kind, cells);
    if (!value.empty()) rows.push_back(context_text(context) + " " + value);
  }
  std::ranges::sort(rows);
  return rows;
}

}  // namespace penstock

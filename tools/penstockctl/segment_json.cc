#include "tools/penstockctl/segment_json.h"

#include <array>
#include <cmath>
#include <string_view>

#include "controlplane/exporters/text.h"
#include "dataplane/api/segment_format.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

// In the order of Reader::rows_by_table.
constexpr std::array<std::string_view, 8> kTables = {"counter",   "gauge",        "set",
                                                     "histogram", "distribution", "timestamped",
                                                     "event",     "service_check"};

// `key` comes with its quotes, colon and preceding comma.
void text(std::string& out, std::string_view key, std::string_view value) {
  out += key;
  out += '"';
  append_json_text(out, value);
  out += '"';
}

void integer(std::string& out, std::string_view key, uint64_t value) {
  out += key;
  append_number(out, value);
}

void integer(std::string& out, std::string_view key, int64_t value) {
  out += key;
  append_number(out, value);
}

// JSON has no word for what is not finite.
void number(std::string& out, std::string_view key, double value) {
  out += key;
  if (std::isfinite(value)) {
    append_number(out, value);
  } else {
    out += std::isnan(value) ? "\"NaN\"" : value > 0 ? "\"+Inf\"" : "\"-Inf\"";
  }
}

// Few readers of JSON keep 64 bits of a number.
void hash(std::string& out, std::string_view key, uint64_t value) {
  out += cat(key, "\"", absl::Hex(value, absl::kZeroPad16), "\"");
}

// `each` appends one element.
template <class Range, class F>
void list(std::string& out, std::string_view key, const Range& range, const F& each) {
  out += key;
  std::string_view comma = "[";
  for (const auto& element : range) {
    out += comma;
    each(element);
    comma = ",";
  }
  out += comma == "[" ? "[]" : "]";
}

void append_tags(std::string& out, std::span<const std::string_view> tags) {
  list(out, ",\"tags\":", tags, [&](std::string_view tag) { text(out, "", tag); });
}

void append_summary(std::string& out, const segment::Summary& s) {
  integer(out, ",\"count\":", s.count);
  number(out, ",\"sum\":", s.sum);
  if (s.sum_low != 0) number(out, ",\"sum_low\":", s.sum_low);
  number(out, ",\"min\":", s.min);
  number(out, ",\"max\":", s.max);
  number(out, ",\"avg\":", s.avg);
}

void append_bins(std::string& out, std::span<const segment::Bin> bins) {
  list(out, ",\"bins\":", bins, [&](const segment::Bin& b) {
    integer(out, "[", int64_t{b.key});
    integer(out, ",", b.count);
    out += ']';
  });
}

}  // namespace

void append_segment_header(std::string& out, const segment::Reader& segment, size_t bytes) {
  const segment::Meta& meta = segment.meta();
  integer(out, "{\"row\":\"segment\",\"version\":", uint64_t{segment::kFormatVersion});
  hash(out, ",\"instance\":", meta.instance);
  integer(out, ",\"sequence\":", meta.sequence);
  integer(out, ",\"bucket_start\":", meta.bucket_start);
  integer(out, ",\"interval_s\":", uint64_t{meta.interval_s});
  integer(out, ",\"samples\":", meta.samples);
  integer(out, ",\"bytes\":", uint64_t{bytes});
  integer(out, ",\"rows\":{\"total\":", segment.rows());
  const auto rows = segment.rows_by_table();
  for (size_t i = 0; i < rows.size(); ++i) integer(out, cat(",\"", kTables[i], "\":"), rows[i]);
  out += "}}\n";
}

void SegmentRows::context(std::string_view row, const segment::Context& c) {
  text(out_, "{\"row\":", row);
  text(out_, ",\"name\":", c.name);
  text(out_, ",\"host\":", c.host);
  append_tags(out_, c.tags);
}

void SegmentRows::end() {
  out_ += "}\n";
  output_.flush_if_full();
}

void SegmentRows::counter(const segment::Context& c, ExactSum sum) {
  context("counter", c);
  number(out_, ",\"sum\":", sum.high);
  if (sum.low != 0) number(out_, ",\"sum_low\":", sum.low);
  end();
}

void SegmentRows::gauge(const segment::Context& c, double value, int64_t time_ms, uint32_t shard) {
  context("gauge", c);
  number(out_, ",\"value\":", value);
  integer(out_, ",\"time_ms\":", time_ms);
  integer(out_, ",\"shard\":", uint64_t{shard});
  end();
}

void SegmentRows::set(const segment::Context& c, std::span<const uint64_t> members) {
  context("set", c);
  list(out_, ",\"members\":", members, [&](uint64_t member) { hash(out_, "", member); });
  end();
}

void SegmentRows::histogram(const segment::Context& c, const segment::Summary& s,
                            std::span<const segment::WeightedValue> values,
                            std::span<const segment::Bin> bins) {
  context("histogram", c);
  append_summary(out_, s);
  integer(out_, ",\"samples\":", s.samples);
  list(out_, ",\"values\":", values, [&](const segment::WeightedValue& v) {
    number(out_, "[", v.value);
    integer(out_, ",", v.weight);
    out_ += ']';
  });
  append_bins(out_, bins);
  end();
}

void SegmentRows::distribution(const segment::Context& c, const segment::Summary& s,
                               std::span<const segment::Bin> bins) {
  context("distribution", c);
  append_summary(out_, s);
  if (s.weighted) {
    number(out_, ",\"weighted\":", s.weighted->high);
    number(out_, ",\"weighted_low\":", s.weighted->low);
  }
  append_bins(out_, bins);
  end();
}

void SegmentRows::timestamped(segment::Kind kind, const segment::Context& c, int64_t timestamp,
                              double value) {
  context("timestamped", c);
  text(out_, ",\"kind\":", kind == segment::Kind::kCounter ? "counter" : "gauge");
  integer(out_, ",\"timestamp\":", timestamp);
  number(out_, ",\"value\":", value);
  end();
}

void SegmentRows::event(const segment::Event& e) {
  text(out_, "{\"row\":\"event\",\"title\":", e.title);
  text(out_, ",\"text\":", e.text);
  integer(out_, ",\"timestamp\":", e.timestamp);
  text(out_, ",\"hostname\":", e.hostname);
  text(out_, ",\"aggregation_key\":", e.aggregation_key);
  text(out_, ",\"source_type\":", e.source_type);
  text(out_, ",\"priority\":", e.priority);
  text(out_, ",\"alert_type\":", e.alert_type);
  text(out_, ",\"container_id\":", e.container_id);
  integer(out_, ",\"inode\":", e.inode);
  text(out_, ",\"cardinality\":", e.cardinality);
  text(out_, ",\"external_data\":", e.external_data);
  append_tags(out_, e.tags);
  end();
}

void SegmentRows::service_check(const segment::ServiceCheck& c) {
  text(out_, "{\"row\":\"service_check\",\"name\":", c.name);
  integer(out_, ",\"status\":", uint64_t{c.status});
  integer(out_, ",\"timestamp\":", c.timestamp);
  text(out_, ",\"hostname\":", c.hostname);
  text(out_, ",\"message\":", c.message);
  text(out_, ",\"container_id\":", c.container_id);
  integer(out_, ",\"inode\":", c.inode);
  text(out_, ",\"cardinality\":", c.cardinality);
  text(out_, ",\"external_data\":", c.external_data);
  append_tags(out_, c.tags);
  end();
}

}  // namespace penstock

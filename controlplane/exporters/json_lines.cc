#include "controlplane/exporters/json_lines.h"

#include <cmath>

#include "controlplane/exporters/text.h"
#include "parsers/dogstatsd/message.h"

namespace penstock {
namespace {

// `key` comes with its quotes, colon and preceding comma.
void text(std::string& out, std::string_view key, std::string_view value) {
  out += key;
  out += '"';
  append_json_text(out, value);
  out += '"';
}

template <class T>
void number(std::string& out, std::string_view key, T value) {
  out += key;
  append_number(out, value);
}

void optional_text(std::string& out, std::string_view key, std::string_view value) {
  if (!value.empty()) text(out, key, value);
}

void list(std::string& out, std::span<const std::string_view> tags) {
  out += ",\"tags\":[";
  for (size_t i = 0; i < tags.size(); ++i) text(out, i == 0 ? "" : ",", tags[i]);
  out += ']';
}

void optional_list(std::string& out, std::span<const std::string_view> tags) {
  if (!tags.empty()) list(out, tags);
}

// The fields of a client's origin (spec 12) that an event or a check has.
template <class Message>
void origin(std::string& out, const Message& m) {
  optional_text(out, ",\"container_id\":", m.container_id);
  if (m.inode != 0) number(out, ",\"inode\":", m.inode);
  optional_text(out, ",\"cardinality\":", m.cardinality);
  const dogstatsd::ExternalData e = dogstatsd::parse_external_data(m.external_data);
  if (!e.init && e.container_name.empty() && e.pod_uid.empty()) return;
  out += e.init ? ",\"external_data\":{\"init\":true" : ",\"external_data\":{\"init\":false";
  text(out, ",\"container_name\":", e.container_name);
  text(out, ",\"pod_uid\":", e.pod_uid);
  out += '}';
}

}  // namespace

void JsonLinesEncoder::series(const SeriesPoint& p) {
  if (!std::isfinite(p.value)) {
    ++not_finite_;
    return;
  }
  number(out_, "{\"ts\":", p.timestamp);
  out_ += p.rate ? ",\"type\":\"rate\",\"metric\":\"" : ",\"type\":\"gauge\",\"metric\":\"";
  append_json_text(out_, p.name);
  out_ += p.suffix;  // ours: plain ASCII
  text(out_, "\",\"host\":", p.host);
  list(out_, p.tags);
  number(out_, ",\"interval\":", uint64_t{p.interval_s});
  number(out_, ",\"value\":", p.value);
  out_ += "}\n";
}

void JsonLinesEncoder::sketch(const SketchPoint& p) {
  const segment::Summary& s = p.summary;
  for (const double v : {s.sum, s.min, s.max, s.avg}) {
    if (std::isfinite(v)) continue;
    ++not_finite_;
    return;
  }
  number(out_, "{\"ts\":", p.timestamp);
  text(out_, ",\"type\":\"sketch\",\"metric\":", p.context.name);
  text(out_, ",\"host\":", p.context.host);
  list(out_, p.context.tags);
  out_ += ",\"k\":[";
  std::string_view comma;
  for_each_output_bin(p.bins, [&](int16_t key, uint32_t) {
    number(out_, comma, int64_t{key});
    comma = ",";
  });
  out_ += "],\"n\":[";
  comma = "";
  for_each_output_bin(p.bins, [&](int16_t, uint32_t count) {
    number(out_, comma, uint64_t{count});
    comma = ",";
  });
  number(out_, "],\"cnt\":", s.count);
  number(out_, ",\"min\":", s.min);
  number(out_, ",\"max\":", s.max);
  number(out_, ",\"avg\":", s.avg);
  number(out_, ",\"sum\":", s.sum);
  out_ += "}\n";
}

void JsonLinesEncoder::event(const segment::Event& e) {
  text(out_, "{\"type\":\"event\",\"title\":", e.title);
  text(out_, ",\"text\":", e.text);
  text(out_, ",\"priority\":", e.priority);
  text(out_, ",\"alert_type\":", e.alert_type);
  if (e.timestamp != 0) number(out_, ",\"timestamp\":", e.timestamp);
  optional_text(out_, ",\"hostname\":", e.hostname);
  optional_text(out_, ",\"aggregation_key\":", e.aggregation_key);
  optional_text(out_, ",\"source_type\":", e.source_type);
  origin(out_, e);
  optional_list(out_, e.tags);
  out_ += "}\n";
}

void JsonLinesEncoder::service_check(const segment::ServiceCheck& c) {
  text(out_, "{\"type\":\"service_check\",\"name\":", c.name);
  number(out_, ",\"status\":", uint64_t{c.status});
  if (c.timestamp != 0) number(out_, ",\"timestamp\":", c.timestamp);
  optional_text(out_, ",\"hostname\":", c.hostname);
  optional_text(out_, ",\"message\":", c.message);
  origin(out_, c);
  optional_list(out_, c.tags);
  out_ += "}\n";
}

}  // namespace penstock

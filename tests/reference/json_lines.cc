#include "tests/reference/json_lines.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <initializer_list>
#include <string_view>
#include <tuple>
#include <utility>

namespace penstock::reference {
namespace {

using Strings = std::vector<std::string>;

// The character the text begins with (RFC 3629, table 3-7 of Unicode). Of one that is broken, the
// bytes that could have become one: they are replaced together (Unicode, "substitution of maximal
// subparts").
struct Character {
  size_t size;
  bool valid;
};

Character first_character(std::string_view text) {
  const auto byte = [&](size_t i) {
    return static_cast<unsigned>(static_cast<unsigned char>(text[i]));
  };
  const unsigned first = byte(0);
  size_t size = 1;
  if (first >= 0xC2 && first <= 0xDF) size = 2;
  if (first >= 0xE0 && first <= 0xEF) size = 3;
  if (first >= 0xF0 && first <= 0xF4) size = 4;
  if (size == 1) return {1, first < 0x80};
  for (size_t i = 1; i < size; ++i) {
    if (i == text.size() || byte(i) < 0x80 || byte(i) > 0xBF) return {i, false};
    if (i > 1) continue;
    const bool overlong = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xF0 && byte(1) < 0x90);
    const bool surrogate = first == 0xED && byte(1) > 0x9F;
    const bool beyond = first == 0xF4 && byte(1) > 0x8F;
    if (overlong || surrogate || beyond) return {1, false};
  }
  return {size, true};
}

std::string text(std::string_view bytes) {
  std::string result = "\"";
  while (!bytes.empty()) {
    const Character character = first_character(bytes);
    const char c = bytes[0];
    const std::string_view plain = bytes.substr(0, character.size);
    bytes.remove_prefix(plain.size());
    if (!character.valid) {
      result += "\xEF\xBF\xBD";  // U+FFFD
    } else if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (std::string_view("\n\r\t").find(c) != std::string_view::npos) {
      result += '\\';
      result += "nrt"[std::string_view("\n\r\t").find(c)];
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\u%04x", static_cast<unsigned>(c));
      result += escape;
    } else {
      result += plain;
    }
  }
  result += '"';
  return result;
}

// The shortest decimal that reads back as the same double.
std::string number(double value) {
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value).ptr;
  return {buffer, end};
}

std::string number(int64_t value) { return std::to_string(value); }
std::string number(uint64_t value) { return std::to_string(value); }

std::string cat(std::initializer_list<std::string_view> pieces) {
  std::string result;
  for (std::string_view piece : pieces) result += piece;
  return result;
}

// `[...]` of what is already JSON.
std::string array(const Strings& items) {
  std::string result;
  for (const std::string& item : items) {
    if (!result.empty()) result += ',';
    result += item;
  }
  return cat({"[", result, "]"});
}

std::string list(const Strings& tags) {
  Strings items;
  for (const std::string& tag : tags) items.push_back(text(tag));
  return array(items);
}

template <typename Point>
std::string head(const Point& point, const std::string& type) {
  return cat({R"({"ts":)", number(point.ts), R"(,"type":)", text(type), R"(,"metric":)",
              text(point.metric), R"(,"host":)", text(point.host), R"(,"tags":)",
              list(point.tags)});
}

std::string line(const Series& series) {
  return cat({head(series, series.type), R"(,"interval":10,"value":)", number(series.value), "}"});
}

std::string line(const SketchPoint& point) {
  const Sketch& sketch = point.sketch;
  Strings keys;
  Strings counts;
  for (const auto& [key, count] : sketch.bins()) {
    keys.push_back(number(int64_t{key}));
    counts.push_back(number(count));
  }
  return cat({head(point, "sketch"), R"(,"k":)", array(keys), R"(,"n":)", array(counts),
              R"(,"cnt":)", number(sketch.count()), R"(,"min":)", number(sketch.min()),
              R"(,"max":)", number(sketch.max()), R"(,"avg":)", number(sketch.avg()), R"(,"sum":)",
              number(sketch.sum()), "}"});
}

bool finite(const Series& series) { return std::isfinite(series.value); }
bool finite(const SketchPoint& point) {
  return std::isfinite(point.sketch.sum()) && std::isfinite(point.sketch.avg());
}

// `,"key":value`, or nothing when the value is empty or 0.
std::string optional(std::string_view key, const std::string& value) {
  return value.empty() ? "" : cat({",", text(key), ":", text(value)});
}

template <typename Number>
std::string optional(std::string_view key, Number value) {
  return value == 0 ? "" : cat({",", text(key), ":", number(value)});
}

// Ruling 6: what `c:`, `e:` and `card:` said.
std::string origin_fields(const Origin& origin) {
  std::string result =
      cat({optional("container_id", origin.container_id), optional("inode", origin.inode),
           optional("cardinality", origin.cardinality)});
  const ExternalData& external = origin.external;
  if (external != ExternalData{}) {
    result += cat({R"(,"external_data":{"init":)", external.init ? "true" : "false",
                   R"(,"container_name":)", text(external.container_name), R"(,"pod_uid":)",
                   text(external.pod_uid), "}"});
  }
  return result;
}

std::string tags_field(const Strings& tags) {
  return tags.empty() ? "" : cat({R"(,"tags":)", list(tags)});
}

std::string line(const Event& event) {
  return cat({R"({"type":"event","title":)", text(event.title), R"(,"text":)", text(event.text),
              R"(,"priority":)", text(event.priority), R"(,"alert_type":)", text(event.alert_type),
              optional("timestamp", event.timestamp), optional("hostname", event.hostname),
              optional("aggregation_key", event.aggregation_key),
              optional("source_type", event.source_type), origin_fields(event.origin),
              tags_field(event.tags), "}"});
}

std::string line(const ServiceCheck& check) {
  return cat({R"({"type":"service_check","name":)", text(check.name), R"(,"status":)",
              number(int64_t{check.status}), optional("timestamp", check.timestamp),
              optional("hostname", check.hostname), optional("message", check.message),
              origin_fields(check.origin), tags_field(check.tags), "}"});
}

// Sorted by the key, then by the line, and appended.
template <typename Key>
void append_sorted(Strings& lines, std::vector<std::pair<Key, std::string>>& part) {
  std::sort(part.begin(), part.end());
  for (auto& [key, text] : part) lines.push_back(std::move(text));
}

}  // namespace

Strings json_lines(const Points& points) {
  using MetricKey = std::tuple<int64_t, std::string, std::string, Strings, std::string>;
  std::vector<std::pair<MetricKey, std::string>> metrics;
  for (const Series& s : points.series) {
    if (finite(s)) metrics.push_back({{s.ts, s.metric, s.host, s.tags, s.type}, line(s)});
  }
  for (const SketchPoint& s : points.sketches) {
    if (finite(s)) metrics.push_back({{s.ts, s.metric, s.host, s.tags, "sketch"}, line(s)});
  }
  using ItemKey = std::pair<int64_t, std::string>;
  std::vector<std::pair<ItemKey, std::string>> events;
  for (const Event& e : points.events) events.push_back({{e.timestamp, e.title}, line(e)});
  std::vector<std::pair<ItemKey, std::string>> checks;
  for (const ServiceCheck& c : points.checks) checks.push_back({{c.timestamp, c.name}, line(c)});
  Strings lines;
  append_sorted(lines, metrics);
  append_sorted(lines, events);
  append_sorted(lines, checks);
  return lines;
}

}  // namespace penstock::reference

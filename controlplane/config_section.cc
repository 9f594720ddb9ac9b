#include "controlplane/config_section.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "absl/strings/str_split.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

std::string joined(std::initializer_list<std::string_view> names) {
  std::string text;
  size_t i = 0;
  for (const std::string_view name : names) {
    if (i > 0) text += i + 1 == names.size() ? " or " : ", ";
    text += name;
    ++i;
  }
  return text;
}

constexpr size_t kListMax = kPlanFiltersMax;  // no list may be longer

}  // namespace

std::string at_line(const Problems& problems, const YAML::Node& node) {
  return cat(problems.file, ":", node.Mark().line + 1);
}

std::string Value::text() const { return node_.IsScalar() ? node_.Scalar() : std::string(); }

std::string Value::message(std::string_view what) const {
  if (node_.IsScalar()) return cat(where_, " = \"", node_.Scalar(), "\": ", what);
  return cat(where_, ": ", what);
}

void Value::fail(std::string_view what) const { problems_.errors.push_back(message(what)); }
void Value::warn(std::string_view what) const { problems_.warnings.push_back(message(what)); }

std::optional<uint64_t> Value::integer(uint64_t min, uint64_t max) const {
  const std::string s = text();
  uint64_t n = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), n);
  if (s.empty() || error != std::errc() || end != s.data() + s.size() || n < min || n > max) {
    fail(cat("must be a whole number from ", min, " to ", max));
    return std::nullopt;
  }
  return n;
}

std::optional<size_t> Value::one_of(std::initializer_list<std::string_view> names) const {
  const std::string s = text();
  const auto* const it = std::ranges::find(names, std::string_view(s));
  if (it == names.end()) {
    fail(cat("must be ", joined(names)));
    return std::nullopt;
  }
  return static_cast<size_t>(it - names.begin());
}

std::optional<std::vector<Value>> Value::items(size_t count_max) const {
  std::vector<Value> list;
  if (node_.IsMap()) {
    fail("must be a list");
    return std::nullopt;
  }
  if (node_.IsScalar()) {
    const std::vector<std::string> words =
        absl::StrSplit(node_.Scalar(), absl::ByAnyChar(" \t\n\v\f\r"), absl::SkipEmpty());
    for (const std::string& word : words) list.emplace_back(problems_, YAML::Node(word), where_);
  }
  const size_t count = node_.IsScalar() ? list.size() : node_.size();
  if (count > count_max) {
    fail(cat("has ", count, " entries; at most ", count_max, " are allowed"));
    return std::nullopt;
  }
  for (const YAML::Node& item : node_) {
    const std::string where =
        cat(at_line(problems_, item), ": ", where_.substr(where_.rfind(' ') + 1));
    list.emplace_back(problems_, item, where);
  }
  return list;
}

void Value::read(bool& out) const {
  std::string s = text();
  std::ranges::transform(s, s.begin(), [](unsigned char c) { return std::tolower(c); });
  constexpr std::string_view kTrue[] = {"true", "1", "t", "yes", "y", "on"};
  constexpr std::string_view kFalse[] = {"false", "0", "f", "no", "n", "off"};
  if (std::ranges::find(kTrue, s) != std::end(kTrue)) {
    out = true;
  } else if (std::ranges::find(kFalse, s) != std::end(kFalse)) {
    out = false;
  } else {
    fail("must be true or false");
  }
}

void Value::read(std::string& out) const {
  if (!node_.IsScalar()) return fail("must be text");
  if (node_.Scalar().find('\0') != std::string::npos) return fail("must not hold a NUL byte");
  out = node_.Scalar();
}

void Value::read(std::vector<std::string>& out) const {
  const std::optional<std::vector<Value>> list = items(kListMax);
  if (!list) return;
  out.clear();
  for (const Value& v : *list) {
    if (!v.node().IsScalar()) return v.fail("must be a list of texts");
    v.read(out.emplace_back());
  }
}

void Value::read_size(uint64_t& out, uint64_t min, uint64_t max) const {
  const absl::StatusOr<uint64_t> size = parse_size(text());
  if (!size.ok()) return fail(to_std(size.status().message()));
  if (*size < min || *size > max) return fail(cat("must be from ", min, " to ", max, " bytes"));
  out = *size;
}

void Value::read_duration_s(uint32_t& out) const {
  constexpr uint64_t kMaxS = 10ull * 365 * 86400;
  const std::string s = text();
  const bool digits =
      !s.empty() && std::ranges::all_of(s, [](char c) { return c >= '0' && c <= '9'; });
  const absl::StatusOr<uint64_t> ms = parse_duration_ms(digits ? s + "s" : s);
  if (!ms.ok() || *ms / 1000 > kMaxS)
    return fail("must be seconds, or a duration such as 90s or 1h, of at most ten years");
  out = static_cast<uint32_t>(*ms / 1000);
}

void Value::read_listen(std::optional<ListenAddress>& out) const {
  const std::string s = text();
  if (node_.IsScalar() && s.empty()) {
    out.reset();
    return;
  }
  const absl::StatusOr<ListenAddress> address = parse_listen(s);
  if (!address.ok()) return fail(to_std(address.status().message()));
  out = *address;
}

Section::Section(Problems& problems, const YAML::Node& node, std::string prefix)
    : problems_(problems), node_(node), prefix_(std::move(prefix)) {
  if (node_.IsDefined() && !node_.IsNull() && !node_.IsMap()) {
    const std::string name = prefix_.substr(0, prefix_.empty() ? 0 : prefix_.size() - 1);
    problems_.errors.push_back(
        cat(at_line(problems_, node_), ": ", name, ": must be a map of keys"));
    node_.reset();
  }
}

bool Section::has(std::string_view key) const {
  return node_.IsMap() && node_[std::string(key)].IsDefined();
}

std::optional<Value> Section::get(std::string_view key) {
  known_.emplace_back(key);
  if (!has(key)) return std::nullopt;
  const YAML::Node value = node_[std::string(key)];
  if (value.IsNull()) return std::nullopt;
  return Value(problems_, value, cat(at_line(problems_, value), ": ", prefix_, key));
}

void Section::finish() const {
  if (!node_.IsMap()) return;
  const std::vector<std::string_view> known(known_.begin(), known_.end());
  std::set<std::string> seen;
  for (const auto& entry : node_) {
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : std::string();
    const std::string where = cat(at_line(problems_, entry.first), ": ", prefix_, key);
    if (!entry.first.IsScalar()) {
      const std::string name = prefix_.substr(0, prefix_.size() - 1);
      problems_.errors.push_back(
          cat(at_line(problems_, entry.first), ": ", name, ": a key must be text"));
    } else if (!seen.insert(key).second) {
      problems_.errors.push_back(cat(where, ": written twice; remove one"));
    } else if (std::ranges::find(known, key) == known.end()) {
      problems_.errors.push_back(
          cat(where, ": unknown key; did you mean \"", nearest(key, known), "\"?"));
    }
  }
}

}  // namespace penstock

#include "controlplane/exporters/prometheus_text.h"

#include <algorithm>
#include <cmath>

#include "controlplane/exporters/text.h"

namespace penstock {
namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }
bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

void sanitise(std::string_view name, bool colons, std::string& out) {
  out.clear();
  if (name.empty() || digit(name[0])) out += '_';
  for (const char c : name) {
    out += letter(c) || digit(c) || (colons && c == ':') ? c : '_';
  }
}

bool reserved(std::string_view label) {
  return label.starts_with("__") || label == "quantile" || label == "le";
}

// A NUL is replaced too: some readers of the format end there.
void escape(std::string& out, std::string_view s, bool quotes) {
  while (!s.empty()) {
    size_t n = utf8_length(s);
    if (n == 0 || s[0] == '\0') {
      n = n == 0 ? utf8_bad_length(s) : 1;
      out += kReplacement;
    } else if (s[0] == '\n') {
      out += "\\n";
    } else {
      if (s[0] == '\\' || (quotes && s[0] == '"')) out += '\\';
      out += s.substr(0, n);
    }
    s.remove_prefix(n);
  }
}

}  // namespace

void prometheus_name(std::string_view name, std::string& out) { sanitise(name, true, out); }

void PrometheusLabels::add(std::string_view name, std::string_view value) {
  if (value.empty()) return;
  if (used_ == labels_.size()) labels_.emplace_back();
  Label& label = labels_[used_++];
  sanitise(name, false, label.name);
  if (reserved(label.name)) label.name.insert(0, "tag_");
  label.value = value;
}

void PrometheusLabels::set(const segment::Context& context, std::string& out) {
  used_ = 0;
  add("host", context.host);
  for (const std::string_view tag : context.tags) {
    if (tag.empty()) continue;
    const size_t colon = tag.find(':');
    add(tag.substr(0, colon), colon == std::string_view::npos ? "true" : tag.substr(colon + 1));
  }
  const std::span<Label> labels = std::span(labels_).first(used_);
  std::ranges::stable_sort(labels, {}, &Label::name);
  out.clear();
  for (size_t i = 0; i < used_; ++i) {
    if (i > 0 && labels[i].name == labels[i - 1].name) {
      out.back() = ',';  // instead of the quote
    } else {
      if (i > 0) out += ',';
      out += labels[i].name;
      out += "=\"";
    }
    append_prometheus_label(out, labels[i].value);
    out += '"';
  }
}

void append_prometheus_label(std::string& out, std::string_view s) { escape(out, s, true); }
void append_prometheus_help(std::string& out, std::string_view s) { escape(out, s, false); }

void append_prometheus_number(std::string& out, double value) {
  if (std::isfinite(value)) {
    append_number(out, value);
  } else {
    out += std::isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
  }
}

}  // namespace penstock

#include "tools/penstockctl/explain_print.h"

#include <array>
#include <cmath>
#include <ctime>

#include "dataplane/base/strings.h"
#include "tools/penstockctl/explain_text.h"

namespace penstock {
namespace {

using dogstatsd::Class;
using dogstatsd::Type;

constexpr size_t kLabelColumns = 16;
constexpr size_t kTooLongShown = 64;  // bytes

// Values are shown already: what comes from a message goes through `show` first.
void row(std::string& out, std::string_view label, std::string_view value) {
  out.append("  ").append(label);
  out.append(label.size() < kLabelColumns ? kLabelColumns - label.size() : 1, ' ');
  out.append(value).push_back('\n');
}

std::string shown(std::string_view bytes) { return show(bytes, 0).text; }

// Empty text is `""`, so that it can be seen.
std::string visible(std::string_view bytes) { return bytes.empty() ? "\"\"" : shown(bytes); }

void bytes_row(std::string& out, std::string_view label, std::string_view bytes) {
  row(out, label, visible(bytes));
}

void optional_row(std::string& out, std::string_view label, std::string_view bytes) {
  if (!bytes.empty()) bytes_row(out, label, bytes);
}

std::string number(double value) {
  std::string text;
  append_double(text, value);
  return text;
}

// Collects a list and puts commas between.
class List {
 public:
  void add(std::string_view item) {
    if (!text_.empty()) text_ += ", ";
    text_ += item;
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string_view type_name(Type type) {
  switch (type) {
    case Type::kCount:
      return "count";
    case Type::kGauge:
      return "gauge";
    case Type::kHistogram:
      return "histogram";
    case Type::kTiming:
      return "timing, a histogram";
    case Type::kDistribution:
      return "distribution";
    case Type::kSet:
      return "set";
  }
  return "";
}

std::string date(int64_t seconds) {
  const auto time = static_cast<time_t>(seconds);
  std::tm tm{};
  if (::gmtime_r(&time, &tm) == nullptr) return cat(seconds);
  std::array<char, 64> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &tm);
  return cat(seconds, " (", text.data(), ")");
}

// What metrics, events and checks share.
template <class Message>
void common_rows(std::string& out, const Message& m) {
  if (m.has_tags) {
    List tags;
    dogstatsd::for_each_tag(m.tags, [&](std::string_view tag) { tags.add(visible(tag)); });
    row(out, "tags", tags.text());
  }
  if (m.timestamp != 0) row(out, "timestamp", date(m.timestamp));
  const dogstatsd::LocalData local = dogstatsd::parse_local_data(m.origin.local_data);
  optional_row(out, "container id", local.container_id);
  if (local.inode != 0) row(out, "cgroup inode", cat(local.inode));
  const dogstatsd::ExternalData external = dogstatsd::parse_external_data(m.origin.external_data);
  if (external.init) row(out, "init container", "yes");
  optional_row(out, "container name", external.container_name);
  optional_row(out, "pod uid", external.pod_uid);
  optional_row(out, "cardinality", m.origin.cardinality);
}

void values_row(std::string& out, const Explained& e) {
  if (e.metric.type == Type::kSet) return bytes_row(out, "value", e.value);
  List values;
  for (const double v : e.values) {
    values.add(std::isfinite(v) ? number(v) : number(v) + " (discarded)");
  }
  row(out, e.values.size() == 1 ? "value" : "values", values.text());
}

std::string rate_text(const Explained& e) {
  const dogstatsd::Metric& m = e.metric;
  std::string text = number(m.rate);
  if (m.rate == 1) return text;
  if (m.timestamp != 0) return text + " (not used: the message has a timestamp)";
  if (m.type == Type::kGauge || m.type == Type::kSet) {
    return cat(text, " (not used: the type is ", type_name(m.type), ")");
  }
  if (e.final.bad_rate) {
    const std::string_view why = m.rate > 0 && m.rate <= 1 ? "too small" : "not in (0, 1]";
    return cat(text, " (", why, ": counts as ", number(e.final.rate), ")");
  }
  return text;
}

void metric_rows(std::string& out, const Explained& e) {
  row(out, "kind", "metric");
  bytes_row(out, "name", e.name);
  row(out, "type", cat(dogstatsd::type_symbol(e.metric.type), " (", type_name(e.metric.type), ")"));
  values_row(out, e);
  row(out, "rate", rate_text(e));
  common_rows(out, e.metric);
}

void event_rows(std::string& out, const Explained& e) {
  row(out, "kind", "event");
  bytes_row(out, "title", e.title);
  bytes_row(out, "text", e.text);
  row(out, "priority", e.event.priority);
  row(out, "alert type", e.event.alert_type);
  optional_row(out, "host", e.event.hostname);
  optional_row(out, "aggregation key", e.event.aggregation_key);
  optional_row(out, "source type", e.event.source_type);
  common_rows(out, e.event);
}

void check_rows(std::string& out, const dogstatsd::ServiceCheck& check) {
  constexpr std::array<std::string_view, 4> kStatus = {"0 (OK)", "1 (WARNING)", "2 (CRITICAL)",
                                                       "3 (UNKNOWN)"};
  row(out, "kind", "service check");
  bytes_row(out, "name", check.name);
  row(out, "status", kStatus[check.status]);
  optional_row(out, "host", check.hostname);
  optional_row(out, "message", check.message);
  common_rows(out, check);
}

void identity_rows(std::string& out, const Enriched& identity) {
  bytes_row(out, "host", identity.host);
  List tags;
  for (const std::string_view tag : identity.tags) tags.add(visible(tag));
  row(out, "tags", identity.tags.empty() ? "none" : tags.text());
}

void final_metric_rows(std::string& out, const Explained& e) {
  const FinalMessage& final = e.final;
  if (final.identity.mapped != e.name) bytes_row(out, "mapped name", final.identity.mapped);
  bytes_row(out, "name", final.identity.name);
  identity_rows(out, final.identity);
  row(out, "context id", context_id_text(final.context_id));
  const std::string* entry = final.identity.filtered;
  row(out, "filtered", entry != nullptr ? "yes, by " + visible(*entry) : "no");
  List samples;
  for (const SampleCount& s : final.samples) samples.add(cat(s.samples, " ", s.counter));
  row(out, "samples", final.samples.empty() ? "none" : samples.text());
}

void final_rows(std::string& out, const Explained& e) {
  out += "final\n";
  if (e.what == Class::kMetric) {
    final_metric_rows(out, e);
  } else {
    identity_rows(out, e.final.identity);
    visit_message(e, [&](const auto& m) {
      if (m.timestamp == 0) row(out, "timestamp", "the time of arrival");
    });
  }
  if (e.truncated) {
    row(out, "truncated",
        cat("the server refuses a packet of ", e.bytes, " bytes: dogstatsd_buffer_size is less"));
  }
}

void error_rows(std::string& out, const Explained& e) {
  if (e.too_long) {
    out += cat(shown(e.in.substr(0, kTooLongShown)), " ... (", e.bytes, " bytes)\n");
    row(out, "error", error_name(e));
  } else {
    const Shown message = show(e.in, e.position);
    out.append(message.text).append("\n").append(message.column, ' ').append("^\n");
    row(out, "error", cat(error_name(e), ", at byte ", e.position));
  }
  row(out, "", advice(e));
}

}  // namespace

void append_block(std::string& out, const Explained& e, bool with_final) {
  if (!e.ok()) return error_rows(out, e);
  out.append(shown(e.in)).append("\n");
  switch (e.what) {
    case Class::kMetric:
      metric_rows(out, e);
      break;
    case Class::kEvent:
      event_rows(out, e);
      break;
    case Class::kServiceCheck:
      check_rows(out, e.check);
      break;
  }
  if (with_final) final_rows(out, e);
}

}  // namespace penstock

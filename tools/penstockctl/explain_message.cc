#include "tools/penstockctl/explain_message.h"

#include <algorithm>
#include <cmath>

#include "dataplane/core/hash.h"
#include "dataplane/core/sample_rate.h"
#include "parsers/dogstatsd/locate.h"

namespace penstock {
namespace {

using dogstatsd::Class;
using dogstatsd::Reason;
using dogstatsd::Type;

std::string unescaped(std::string_view text) {
  std::string out(text.size(), '\0');
  out.resize(dogstatsd::unescape_newlines(text, out.data()));
  return out;
}

size_t count_finite(std::span<const double> values) {
  return static_cast<size_t>(
      std::ranges::count_if(values, [](double v) { return std::isfinite(v); }));
}

}  // namespace

Explainer::Explainer(const Plan& plan, const dogstatsd::Options& options)
    : plan_(plan), options_(options), enricher_(plan), scratch_((kMessageMax + 1) / 2) {}

const Explained* Explainer::explain(std::string_view line, size_t bytes) {
  out_ = Explained{};
  buffer_.assign(line).push_back('\n');
  std::string_view rest = buffer_;
  bool terminated = false;
  out_.in = dogstatsd::next_line(rest, terminated);
  if (out_.in.empty()) return nullptr;
  out_.bytes = std::max(bytes, line.size()) - (line.size() - out_.in.size());
  out_.too_long = out_.bytes > kMessageMax;
  out_.truncated = out_.bytes > plan_.dogstatsd.buffer_size;
  if (out_.too_long) return &out_;
  parse();
  if (out_.reason == Reason::kOk) {
    enrich();
  } else {
    out_.position = dogstatsd::locate_error(out_.in, out_.reason);
  }
  return &out_;
}

void Explainer::parse() {
  out_.what = dogstatsd::classify(out_.in);
  switch (out_.what) {
    case Class::kMetric:
      out_.reason = parse_metric();
      return;
    case Class::kEvent:
      out_.reason = dogstatsd::parse_event(out_.in, options_, out_.event);
      out_.title = unescaped(out_.event.title);
      out_.text = unescaped(out_.event.text);
      return;
    case Class::kServiceCheck:
      out_.reason = dogstatsd::parse_service_check(out_.in, options_, out_.check);
      return;
  }
}

Reason Explainer::parse_metric() {
  dogstatsd::MetricHead head;
  if (const Reason reason = dogstatsd::split_metric(out_.in, head); reason != Reason::kOk) {
    return reason;
  }
  const Reason reason = dogstatsd::parse_metric(head, options_, scratch_, out_.metric);
  if (out_.metric.type != Type::kSet) out_.values = {scratch_.data(), out_.metric.values};
  return reason;
}

void Explainer::enrich() {
  if (out_.what == Class::kMetric) return enrich_metric();
  const bool event = out_.what == Class::kEvent;
  const std::string_view host = event ? out_.event.hostname : out_.check.hostname;
  visit_message(out_, [&](const auto& m) {
    const bool origin = plan_.dogstatsd.client_origin != 0;
    out_.final.identity =
        enricher_.event(host, m.tags, m.has_tags, origin ? m.origin : dogstatsd::Origin{});
  });
}

void Explainer::enrich_metric() {
  const dogstatsd::Metric& m = out_.metric;
  const bool origin = plan_.dogstatsd.client_origin != 0;
  FinalMessage& final = out_.final;
  final.identity =
      enricher_.metric(m.name, m.tags, m.has_tags, origin ? m.origin : dogstatsd::Origin{});
  final.context_id = hash_bytes(enricher_.key(), 0);
  if (m.timestamp == 0) {  // spec 5.6
    const SampleRate rate = sample_rate(kind_of(m.type), m.rate);
    final.bad_rate = rate.bad;
    if (rate.inverse != 1) final.rate = rate.bad ? 1 / rate.inverse : m.rate;
  }
  const auto add = [&](std::string_view counter, size_t samples) {
    if (samples != 0) final.samples.push_back({counter, samples});
  };
  if (m.timestamp != 0 && m.type != Type::kCount && m.type != Type::kGauge) {
    return add("unsupported_timestamped", m.values);
  }
  const size_t finite = m.type == Type::kSet ? 1 : count_finite(out_.values);
  add(m.timestamp != 0 ? "timestamped" : "aggregated", finite);
  add("nan_inf", m.values - finite);
}

}  // namespace penstock

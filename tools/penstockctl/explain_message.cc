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
    : plan_(plan),
      options_(options),
      kernel_(simd::active()),
      enricher_(plan),
      scratch_((kMessageMax + 1) / 2) {}

const Explained* Explainer::explain(std::string_view line, size_t bytes) {
  out_ = Explained{};
  buffer_.assign(line).push_back('\n');
  const size_t size = buffer_.size();
  buffer_.append(simd::kPadding, '\0');
  size_t at = 0;
  dogstatsd::Line split{};
  if (kernel_.split(buffer_.data(), size, at, &split, 1) == 0) return nullptr;
  out_.in = split.text();
  out_.bytes = std::max(bytes, line.size()) - (line.size() - out_.in.size());
  out_.too_long = out_.bytes > kMessageMax;
  out_.truncated = out_.bytes > plan_.dogstatsd.buffer_size;
  if (out_.too_long) {
    out_.position = kMessageMax;
    return &out_;
  }
  parse(split);
  if (out_.reason == Reason::kOk) {
    enrich();
  } else {
    out_.position = dogstatsd::locate_error(out_.in, out_.reason);
  }
  return &out_;
}

void Explainer::parse(const dogstatsd::Line& line) {
  out_.what = line.what;
  switch (line.what) {
    case Class::kMetric:
      out_.reason = parse_metric(line);
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

Reason Explainer::parse_metric(const dogstatsd::Line& line) {
  if (line.reason != Reason::kOk) return line.reason;
  out_.name = line.name();
  out_.value = line.value();
  const Reason reason = kernel_.parse_metric(line, options_, scratch_, out_.metric);
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
      enricher_.metric(out_.name, m.tags, m.has_tags, origin ? m.origin : dogstatsd::Origin{});
  final.context_id = hash_bytes(enricher_.key(), 0);
  if (m.timestamp == 0) {  // spec 5.6
    const SampleRate rate = sample_rate(kind_of(m.type), m.rate);
    final.bad_rate = rate.bad;
    if (rate.inverse != 1) final.rate = rate.bad ? 1 / rate.inverse : m.rate;
  }
  count_samples();
}

// As the shard does (spec 7.6, 8.3, 8.8).
void Explainer::count_samples() {
  const dogstatsd::Metric& m = out_.metric;
  const auto add = [&](std::string_view counter, size_t samples) {
    if (samples != 0) out_.final.samples.push_back({counter, samples});
  };
  if (out_.truncated) return;  // no packet brings it
  if (out_.final.identity.filtered != nullptr) return add("filtered", m.values);
  if (m.timestamp != 0 && m.type != Type::kCount && m.type != Type::kGauge) {
    return add("unsupported_timestamped", m.values);
  }
  const size_t finite = m.type == Type::kSet ? 1 : count_finite(out_.values);
  add(m.timestamp != 0 ? "timestamped" : "aggregated", finite);
  add("nan_inf", m.values - finite);
}

}  // namespace penstock

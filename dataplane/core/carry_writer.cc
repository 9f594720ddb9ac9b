#include "dataplane/core/carry_writer.h"

#include <cassert>
#include <cmath>

#include "dataplane/core/context_key.h"
#include "dataplane/core/sample_rate.h"

namespace penstock {
namespace {

using dogstatsd::Class;
using dogstatsd::Reason;

std::string_view unescape(std::string_view text, std::vector<char>& memory) {
  memory.resize(text.size());
  return {memory.data(), dogstatsd::unescape_newlines(text, memory.data())};
}

bool is_histogram(const dogstatsd::Metric& metric) {
  return metric.type == dogstatsd::Type::kHistogram || metric.type == dogstatsd::Type::kTiming;
}

}  // namespace

CarryWriter::CarryWriter(const Plan& plan, const Senders* senders)
    : kernel_(simd::active()),
      options_{plan.dogstatsd.timestamps != 0, plan.dogstatsd.client_origin != 0},
      senders_(senders),
      interval_s_(plan.interval_s),
      copy_prefix_(plan.str(plan.dogstatsd.copy_prefix)),
      enricher_(plan),
      copy_key_(enricher_.key_size_max() + copy_prefix_.size() + kVarintMax) {}

void CarryWriter::write(const CarryBuffer& carry, segment::Writer& writer) {
  carry.for_each([&](const CarryBuffer::Record& record, std::string_view line) {
    note_sender(record);
    switch (record.what) {
      case Class::kMetric:
        return write_metric(line, writer);
      case Class::kEvent:
        return write_event(record, line, writer);
      case Class::kServiceCheck:
        return write_check(record, line, writer);
    }
  });
}

void CarryWriter::note_sender(const CarryBuffer::Record& record) {
  if (senders_ != nullptr) enricher_.from(senders_->tag(record.origin));
}

uint64_t CarryWriter::copy(const CarryBuffer& carry, LateSketches& late) {
  uint64_t unkept = 0;
  carry.for_each([&](const CarryBuffer::Record& record, std::string_view line) {
    if (record.what != Class::kMetric) return;
    note_sender(record);
    const Parsed parsed = parse(line);
    if (is_histogram(parsed.metric)) unkept += copy(parsed, late);
  });
  return unkept;
}

uint64_t CarryWriter::copy(const Parsed& line, LateSketches& late) {
  const dogstatsd::Metric& metric = line.metric;
  enricher_.metric(line.name, metric.tags, metric.has_tags, metric.origin);
  const std::string_view key{copy_key_.data(),
                             prefixed_key(enricher_.key(), copy_prefix_, copy_key_.data())};
  const double inverse = sample_rate(segment::Kind::kHistogram, metric.rate).inverse;
  const auto weight = static_cast<uint32_t>(inverse);
  const int64_t bucket = metric.timestamp - metric.timestamp % interval_s_;
  uint64_t unkept = 0;
  for (size_t i = 0; i < metric.values; ++i) {
    if (std::isfinite(values_[i]) && !late.add(bucket, key, values_[i], weight, inverse)) ++unkept;
  }
  return unkept;
}

// Its numbers go to `values_`.
CarryWriter::Parsed CarryWriter::parse(std::string_view line) {
  const dogstatsd::Line parts = kernel_.line(line);
  assert(parts.reason == Reason::kOk);
  values_.resize((parts.value().size() + 1) / 2);
  dogstatsd::Metric metric;
  const Reason reason = kernel_.parse_metric(parts, options_, values_, metric);
  assert(reason == Reason::kOk);
  return {parts.name(), metric};
}

// One row for each finite value (ruling 15).
void CarryWriter::write_metric(std::string_view line, segment::Writer& writer) {
  const auto [name, metric] = parse(line);
  if (is_histogram(metric)) return;
  const Enriched& e = enricher_.metric(name, metric.tags, metric.has_tags, metric.origin);
  const auto kind =
      metric.type == dogstatsd::Type::kCount ? segment::Kind::kCounter : segment::Kind::kGauge;
  for (size_t i = 0; i < metric.values; ++i) {
    if (!std::isfinite(values_[i])) continue;
    writer.timestamped(kind, {e.name, e.host, e.tags}, metric.timestamp, values_[i]);
  }
}

void CarryWriter::write_event(const CarryBuffer::Record& record, std::string_view line,
                              segment::Writer& writer) {
  dogstatsd::Event event;
  const Reason reason = dogstatsd::parse_event(line, options_, event);
  assert(reason == Reason::kOk);
  const Enriched& e = enricher_.event(event.hostname, event.tags, event.has_tags, event.origin);
  segment::Event out{};
  out.title = unescape(event.title, title_);
  out.text = unescape(event.text, text_);
  out.timestamp = event.timestamp != 0 ? event.timestamp : record.time_ms / 1000;
  out.hostname = e.host;
  out.aggregation_key = event.aggregation_key;
  out.source_type = event.source_type;
  out.priority = event.priority;
  out.alert_type = event.alert_type;
  out.container_id = e.container_id;
  out.cardinality = e.cardinality;
  out.tags = e.tags;
  out.inode = e.inode;
  out.external_data = event.origin.external_data;
  writer.event(out);
}

void CarryWriter::write_check(const CarryBuffer::Record& record, std::string_view line,
                              segment::Writer& writer) {
  dogstatsd::ServiceCheck check;
  const Reason reason = dogstatsd::parse_service_check(line, options_, check);
  assert(reason == Reason::kOk);
  const Enriched& e = enricher_.event(check.hostname, check.tags, check.has_tags, check.origin);
  segment::ServiceCheck out{};
  out.name = check.name;
  out.status = check.status;
  out.timestamp = check.timestamp != 0 ? check.timestamp : record.time_ms / 1000;
  out.hostname = e.host;
  out.message = check.message;
  out.container_id = e.container_id;
  out.cardinality = e.cardinality;
  out.tags = e.tags;
  out.inode = e.inode;
  out.external_data = check.origin.external_data;
  writer.service_check(out);
}

}  // namespace penstock

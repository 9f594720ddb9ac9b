#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/api/plan.h"
#include "dataplane/core/enrich.h"
#include "parsers/dogstatsd/message.h"
#include "parsers/simd/kernel.h"

namespace penstock {

inline constexpr size_t kMessageMax = UINT16_MAX;  // bytes: those of the longest packet

// A counter of the ledger, and how many of a message's samples end there.
struct SampleCount {
  std::string_view counter;
  size_t samples;
};

// What enrichment makes of a message (spec section 7).
struct FinalMessage {
  Enriched identity;
  uint64_t context_id = 0;           // metrics: XXH3 of the canonical key, seed 0
  double rate = 1;                   // metrics: what the rate counts as
  bool bad_rate = false;             // metrics: not the rate that was sent
  std::vector<SampleCount> samples;  // metrics
};

// A message, what the parser says of it, and what the server makes of that. Views are valid until
// the explainer's next call.
struct Explained {
  std::string_view in;     // without line end; of one that is too long, the beginning
  size_t bytes = 0;        // of the whole message
  bool too_long = false;   // above kMessageMax: not parsed
  bool truncated = false;  // above dogstatsd_buffer_size: the server refuses the packet
  dogstatsd::Class what = dogstatsd::Class::kMetric;
  dogstatsd::Reason reason = dogstatsd::Reason::kOk;
  size_t position = 0;  // of the error, in bytes

  dogstatsd::Metric metric;        // the one that `what` names is set
  std::string_view name, value;    // of the metric
  std::span<const double> values;  // not of a set
  dogstatsd::Event event;
  std::string title, text;  // of the event, with its line breaks
  dogstatsd::ServiceCheck check;
  FinalMessage final;

  [[nodiscard]] bool ok() const { return !too_long && reason == dogstatsd::Reason::kOk; }
};

// Calls `fn` with the metric, event or service check of a message that parsed.
template <class Fn>
void visit_message(const Explained& e, Fn&& fn) {
  if (e.what == dogstatsd::Class::kMetric) return fn(e.metric);
  if (e.what == dogstatsd::Class::kEvent) return fn(e.event);
  return fn(e.check);
}

// Runs messages through the parser and the enricher of the data plane. One thread.
class Explainer {
 public:
  // `options` are the parser's; the origin fields it lets through have an effect only if the Plan
  // says so. `plan` outlives the explainer.
  Explainer(const Plan& plan, const dogstatsd::Options& options);

  // One line without its `\n`, of which `bytes` is the true length if it is cut to more than
  // kMessageMax + 1. Null: it is empty, and skipped as the server does (spec section 4).
  const Explained* explain(std::string_view line, size_t bytes);

 private:
  void parse(const dogstatsd::Line& line);
  dogstatsd::Reason parse_metric(const dogstatsd::Line& line);
  void enrich();
  void enrich_metric();
  void count_samples();

  const Plan& plan_;
  const dogstatsd::Options options_;
  const simd::Kernel& kernel_;
  Enricher enricher_;
  std::string buffer_;  // the line and the kernel's padding
  std::vector<double> scratch_;
  Explained out_;
};

}  // namespace penstock

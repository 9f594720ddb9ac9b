#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "parsers/dogstatsd/reason.h"

namespace penstock::dogstatsd {

// DogStatsD messages (spec sections 4 to 6): bytes in, views out. Nothing here allocates, prints or
// throws, and every view points into the input. Any thread.

// Which optional fields the server honours (spec 5.4, 5.7).
struct Options {
  bool timestamps = true;      // dogstatsd_no_aggregation_pipeline: `T`
  bool client_origin = false;  // dogstatsd_origin_detection_client: `c:` `e:` `card:`
};

enum class Class : uint8_t { kMetric, kEvent, kServiceCheck };
// By prefix, exactly as spec section 4, step 5.
Class classify(std::string_view line);

// Takes the next line off `rest` (spec section 4): up to `\n`, less one trailing `\r`. `terminated`
// says whether the `\n` was there. Lines may be empty; the caller skips them. Call while `rest` is
// not empty.
std::string_view next_line(std::string_view& rest, bool& terminated);

// `c:`, `e:` and `card:` (spec 5.7), as sent. Interpreted by `resolve_local_data` and friends.
struct Origin {
  std::string_view local_data, external_data, cardinality;
};

struct LocalData {
  std::string_view container_id;
  uint64_t inode = 0;
};
struct ExternalData {
  bool init = false;
  std::string_view container_name, pod_uid;
};
LocalData parse_local_data(std::string_view text);
ExternalData parse_external_data(std::string_view text);

enum class Type : uint8_t { kCount, kGauge, kHistogram, kTiming, kDistribution, kSet };
// "c", "g", "h", "ms", "d", "s".
std::string_view type_symbol(Type type);

// The three parts of a metric message: `name:value|rest`. `suffix` starts at the first `|` and runs
// to the end of the line, so (name, suffix) is all of the message but its values.
struct MetricHead {
  std::string_view name, value, suffix;
};
// Steps 1 and 2 of spec 5.1: kOk, kNoPipe, kNoColon, kEmptyName or kEmptyValue.
Reason split_metric(std::string_view line, MetricHead& out);

struct Metric {
  std::string_view name, value;
  Type type = Type::kCount;
  double rate = 1;        // as sent: 0, negative, above 1, NaN and Inf are possible (spec 5.4)
  std::string_view tags;  // text after `#` of the last tag field; split with for_each_tag
  bool has_tags = false;  // a non-empty tag field was the last one
  int64_t timestamp = 0;  // 0 = none
  Origin origin;
  size_t values = 0;  // numbers written to the scratch; 1 for a set, whose value is `value`
};
// Steps 3 to 5 of spec 5.1, in that order of errors. Numbers go to `scratch`, which must hold
// (value.size() + 1) / 2 of them.
Reason parse_metric(const MetricHead& head, const Options& options, std::span<double> scratch,
                    Metric& out);

// Spec 5.3: the number or packed numbers of `value` (not for sets). kOk, kNoValues or kBadValue.
// `out` must hold (value.size() + 1) / 2 numbers.
Reason parse_values(std::string_view value, std::span<double> out, size_t& count);

// Go's strconv.ParseFloat, 64 bit, correctly rounded (spec 5.3). False: not a number, or overflow.
bool parse_float(std::string_view text, double& out);

struct Event {
  std::string_view title, text;  // raw: `\n` not yet unescaped
  int64_t timestamp = 0;
  std::string_view hostname, aggregation_key, source_type;
  std::string_view priority = "normal", alert_type = "info";
  std::string_view tags;
  bool has_tags = false;
  Origin origin;
};
Reason parse_event(std::string_view line, const Options& options, Event& out);

struct ServiceCheck {
  std::string_view name;
  uint8_t status = 0;  // 0..3
  int64_t timestamp = 0;
  std::string_view hostname, message;
  std::string_view tags;
  bool has_tags = false;
  Origin origin;
};
Reason parse_service_check(std::string_view line, const Options& options, ServiceCheck& out);

// Calls `fn(std::string_view tag)` for each tag of a tag field's text, empty ones included
// (spec 5.5). Call only where `has_tags`.
template <class Fn>
void for_each_tag(std::string_view tags, Fn&& fn) {
  for (;;) {
    const size_t comma = tags.find(',');
    fn(tags.substr(0, comma));
    if (comma == std::string_view::npos) return;
    tags.remove_prefix(comma + 1);
  }
}

// Replaces each two-byte `\n` escape by one LF (spec 6.1, step 5). `out` holds at least text.size()
// bytes; returns the length.
size_t unescape_newlines(std::string_view text, char* out);

}  // namespace penstock::dogstatsd

#pragma once

#include <cstddef>
#include <cstdint>
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

// A line of a packet (spec section 4), of a metric also its parts: `name:value|rest`. The suffix
// starts at the first `|`, so that (name, suffix) is all of the message but its values. What is
// hot about lines is in parsers/simd/kernel.h.
struct Line {
  const char* data;    // in the packet
  uint32_t size;       // without `\n` and one `\r` before it; see Kernel::split for 0
  uint32_t name_size;  // these two only for metrics whose reason is kOk
  uint32_t value_end;  // offset of the first `|`
  Class what;
  Reason reason;    // of a metric: kOk, kNoPipe, kNoColon, kEmptyName or kEmptyValue
  bool terminated;  // by `\n`

  [[nodiscard]] std::string_view text() const { return {data, size}; }
  [[nodiscard]] std::string_view name() const { return {data, name_size}; }
  [[nodiscard]] std::string_view value() const {
    return {data + name_size + 1, value_end - name_size - 1};
  }
  [[nodiscard]] std::string_view suffix() const { return {data + value_end, size - value_end}; }
};

struct Metric {
  Type type = Type::kCount;
  double rate = 1;        // as sent: 0, negative, above 1, NaN and Inf are possible (spec 5.4)
  std::string_view tags;  // text after `#` of the last tag field; split with for_each_tag
  bool has_tags = false;  // a non-empty tag field was the last one
  int64_t timestamp = 0;  // 0 = none
  Origin origin;
  size_t values = 0;  // numbers written to the scratch; 1 for a set, whose value is the line's
};
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

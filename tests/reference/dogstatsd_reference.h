// A second DogStatsD parser, written from the specification alone: naive, slow and obvious, so that
// it can say what the fast one must do. Nothing here may be shared with parsers/. Section numbers
// are those of the behavioural specification (4 splitting, 5 metrics, 6 events and checks).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace penstock::reference {

struct Options {
  bool timestamps = true;     // `T` fields are read (dogstatsd_no_aggregation_pipeline)
  bool client_origin = true;  // `c:`, `e:`, `card:` are read (dogstatsd_origin_detection_client)
};

struct ExternalData {
  bool init = false;
  std::string container_name;
  std::string pod_uid;
  bool operator==(const ExternalData&) const = default;
};

// What `c:`, `e:` and `card:` said (5.7). Each empty or zero when absent: the protocol does not
// tell the two apart.
struct Origin {
  std::string container_id;
  uint64_t inode = 0;
  ExternalData external;
  std::string cardinality;
  bool operator==(const Origin&) const = default;
};

// The first rule of the specification that the line breaks, in kebab-case.
struct Error {
  std::string reason;
};

struct Metric {
  std::string name;
  std::string type;            // the symbol: c, g, h, d, ms or s
  std::vector<double> values;  // of every type but s
  std::string set_value;       // of type s
  double rate = 1;
  std::vector<std::string> tags;  // in the order of the line, with duplicates and empty ones
  int64_t timestamp = 0;          // seconds; 0: none
  Origin origin;
};

struct Event {
  std::string title;
  std::string text;
  std::string priority = "normal";
  std::string alert_type = "info";
  std::vector<std::string> tags;
  int64_t timestamp = 0;
  std::string hostname;
  std::string aggregation_key;
  std::string source_type;
  Origin origin;
};

struct ServiceCheck {
  std::string name;
  int status = 0;  // 0..3
  std::vector<std::string> tags;
  int64_t timestamp = 0;
  std::string hostname;
  std::string message;
  Origin origin;
};

enum class Class : uint8_t { kMetric, kEvent, kServiceCheck };

struct Message {
  std::string text;  // the line, without its `\n` and one `\r`
  Class line_class;  // by its first bytes, for a rejected line too (4, step 5)
  std::variant<Error, Metric, Event, ServiceCheck> body;
};

// Section 4: the packet's messages in order. With `eol_required` a tail without `\n` is not one.
std::vector<Message> parse_packet(std::string_view bytes, bool eol_required,
                                  const Options& options);

// Sections 5 and 6: one message that is already split.
Message parse_line(std::string_view text, const Options& options);

// 5.3: a float in Go's syntax with nothing around it, rounded to nearest-even. Nothing when the
// text is not one or is beyond the range of a double.
std::optional<double> parse_float(const std::string& text);

}  // namespace penstock::reference

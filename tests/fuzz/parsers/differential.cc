#include "tests/fuzz/parsers/differential.h"

#include <bit>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>
#include <type_traits>

namespace penstock::differential {
namespace {

using dogstatsd::Class;
using dogstatsd::Line;
using dogstatsd::Reason;
using dogstatsd::Type;
using Expected = std::vector<reference::Message>;

// A packet in a heap block of its own: AddressSanitizer sees a read behind the padding, and a
// result that depends on the padding is a difference.
class PaddedPacket {
 public:
  PaddedPacket(std::string_view packet, uint8_t padding)
      : size_(packet.size()), bytes_(new char[size_ + simd::kPadding]) {
    // Each would continue a number, a field, a line or a message.
    static constexpr std::string_view kHostile[] = {"7",
                                                    "|",
                                                    "\n",
                                                    ":",
                                                    "|#a:b,c|@0.5\n",
                                                    "1:2|c\n",
                                                    ".5e3_0x1p4",
                                                    std::string_view("\0\xff", 2)};
    packet.copy(bytes_.get(), size_);
    const std::string_view hostile = kHostile[padding % std::size(kHostile)];
    for (size_t i = 0; i < simd::kPadding; ++i) bytes_[size_ + i] = hostile[i % hostile.size()];
  }
  [[nodiscard]] const char* data() const { return bytes_.get(); }
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] bool holds(std::string_view part) const {
    return part.data() >= data() && part.data() + part.size() <= data() + size_;
  }

 private:
  size_t size_;
  std::unique_ptr<char[]> bytes_;
};

std::string shown(const std::string& bytes) { return quoted(bytes); }

std::string shown(double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%.17g (%a)", value, value);
  return text;
}

template <class Integer>
requires std::is_integral_v<Integer> std::string shown(Integer value) {
  return std::to_string(value);
}

std::string shown(const std::vector<std::string>& texts) {
  std::string list;
  for (const std::string& text : texts) list += (list.empty() ? "" : ", ") + quoted(text);
  return "[" + list + "]";
}

bool equal(double a, double b) {
  if (std::isnan(b)) return std::isnan(a);
  return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b);
}

template <class T>
bool equal(const T& a, const T& b) {
  return a == b;
}

// Keeps the first difference.
class Difference {
 public:
  template <class T>
  void same(const char* what, const T& actual, const T& expected) {
    if (!text_.empty() || equal(actual, expected)) return;
    text_ = std::string(what) + " is " + shown(actual) + ", not " + shown(expected);
  }
  void require(const char* what, bool holds) {
    if (text_.empty() && !holds) text_ = std::string("not so: ") + what;
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string name_of(Reason reason) { return std::string(dogstatsd::reason_name(reason)); }

template <class T>
std::string reason_of(const T& body) {
  const auto* error = std::get_if<reference::Error>(&body);
  return error != nullptr ? error->reason : "ok";
}

// All lines of a packet, empty ones left out, asked for `capacity` at a time.
std::vector<Line> split_all(const simd::Kernel& kernel, const PaddedPacket& packet,
                            const Input& input, Difference& difference) {
  std::vector<Line> lines;
  const auto out = std::make_unique<Line[]>(input.capacity);
  for (size_t at = 0;;) {
    const size_t before = at;
    const size_t count = kernel.split(packet.data(), packet.size(), at, out.get(), input.capacity);
    difference.require("split gives no more lines than asked for", count <= input.capacity);
    difference.require("split ends at the packet's end", at <= packet.size());
    difference.require("split gives nothing at the packet's end only",
                       count != 0 ? at > before : at == packet.size());
    if (count == 0 || !difference.text().empty()) return lines;
    for (size_t i = 0; i < count; ++i) {
      if (out[i].size == 0 || (input.eol_required && !out[i].terminated)) continue;
      lines.push_back(out[i]);
    }
  }
}

void compare_origin(const dogstatsd::Origin& actual, const reference::Origin& expected,
                    Difference& difference) {
  const dogstatsd::LocalData local = dogstatsd::parse_local_data(actual.local_data);
  const dogstatsd::ExternalData external = dogstatsd::parse_external_data(actual.external_data);
  difference.same("container_id", std::string(local.container_id), expected.container_id);
  difference.same("inode", local.inode, expected.inode);
  difference.same("init", external.init, expected.external.init);
  difference.same("container_name", std::string(external.container_name),
                  expected.external.container_name);
  difference.same("pod_uid", std::string(external.pod_uid), expected.external.pod_uid);
  difference.same("cardinality", std::string(actual.cardinality), expected.cardinality);
}

// What all three kinds of message share.
template <class Actual, class Wanted>
void compare_common(const Actual& actual, const Wanted& wanted, Difference& difference) {
  std::vector<std::string> tags;
  if (actual.has_tags) {
    dogstatsd::for_each_tag(actual.tags, [&](std::string_view tag) { tags.emplace_back(tag); });
  }
  difference.require("has_tags is about tags", actual.has_tags == !actual.tags.empty());
  difference.same("tags", tags, wanted.tags);
  difference.same("timestamp", actual.timestamp, wanted.timestamp);
  compare_origin(actual.origin, wanted.origin, difference);
}

// A number's text alone, and packed ones, through the functions that take just these.
void compare_value(const simd::Kernel& kernel, std::string_view value, std::span<double> scratch,
                   Difference& difference) {
  const std::optional<double> wanted = reference::parse_float(std::string(value));
  double actual = 0;
  difference.same("parse_float", dogstatsd::parse_float(value, actual), wanted.has_value());
  if (wanted) difference.same("parse_float", actual, *wanted);

  size_t count = 0;
  const Reason reason = kernel.parse_values(value, scratch, count);
  if (value.find(':') != std::string_view::npos) return;  // parse_metric shows packed ones
  difference.same("parse_values", name_of(reason), std::string(wanted ? "ok" : "bad-value"));
  if (!wanted || reason != Reason::kOk) return;
  difference.same("parse_values: count", count, size_t{1});
  difference.same("parse_values", scratch[0], *wanted);
}

void compare_metric(const simd::Kernel& kernel, const Line& line, const Input& input,
                    const reference::Message& expected, Difference& difference) {
  const std::string reason = reason_of(expected.body);
  if (line.reason != Reason::kOk) {
    difference.same("reason", name_of(line.reason), reason);
    return;
  }
  const std::string_view value = line.value();
  const size_t capacity = (value.size() + 1) / 2;
  const auto scratch = std::make_unique<double[]>(capacity);
  compare_value(kernel, value, {scratch.get(), capacity}, difference);

  dogstatsd::Metric actual;
  const Reason parsed = kernel.parse_metric(line, input.options, {scratch.get(), capacity}, actual);
  difference.same("reason", name_of(parsed), reason);
  if (!difference.text().empty() || parsed != Reason::kOk) return;

  const auto& wanted = std::get<reference::Metric>(expected.body);
  difference.same("name", std::string(line.name()), wanted.name);
  difference.same("type", std::string(dogstatsd::type_symbol(actual.type)), wanted.type);
  if (actual.type == Type::kSet) {
    difference.same("values", actual.values, size_t{1});
    difference.same("set value", std::string(value), wanted.set_value);
  } else {
    difference.same("values", actual.values, wanted.values.size());
    if (!difference.text().empty()) return;
    for (size_t i = 0; i < actual.values; ++i) {
      difference.same("value", scratch[i], wanted.values[i]);
    }
  }
  difference.same("rate", actual.rate, wanted.rate);
  compare_common(actual, wanted, difference);
}

std::string unescaped(std::string_view text) {
  const auto out = std::make_unique<char[]>(text.size());
  return {out.get(), dogstatsd::unescape_newlines(text, out.get())};
}

void compare_event(std::string_view text, const Input& input, const reference::Message& expected,
                   Difference& difference) {
  dogstatsd::Event actual;
  const Reason reason = dogstatsd::parse_event(text, input.options, actual);
  difference.same("reason", name_of(reason), reason_of(expected.body));
  if (!difference.text().empty() || reason != Reason::kOk) return;

  const auto& wanted = std::get<reference::Event>(expected.body);
  difference.same("title", unescaped(actual.title), wanted.title);
  difference.same("text", unescaped(actual.text), wanted.text);
  difference.same("priority", std::string(actual.priority), wanted.priority);
  difference.same("alert_type", std::string(actual.alert_type), wanted.alert_type);
  difference.same("hostname", std::string(actual.hostname), wanted.hostname);
  difference.same("aggregation_key", std::string(actual.aggregation_key), wanted.aggregation_key);
  difference.same("source_type", std::string(actual.source_type), wanted.source_type);
  compare_common(actual, wanted, difference);
}

void compare_check(std::string_view text, const Input& input, const reference::Message& expected,
                   Difference& difference) {
  dogstatsd::ServiceCheck actual;
  const Reason reason = dogstatsd::parse_service_check(text, input.options, actual);
  difference.same("reason", name_of(reason), reason_of(expected.body));
  if (!difference.text().empty() || reason != Reason::kOk) return;

  const auto& wanted = std::get<reference::ServiceCheck>(expected.body);
  difference.same("name", std::string(actual.name), wanted.name);
  difference.same("status", int{actual.status}, wanted.status);
  difference.same("hostname", std::string(actual.hostname), wanted.hostname);
  difference.same("message", std::string(actual.message), wanted.message);
  compare_common(actual, wanted, difference);
}

// A message that is split already gives the same parts.
void compare_single(const simd::Kernel& kernel, const Line& line, Difference& difference) {
  const Line single = kernel.line(line.text());
  difference.same("line: text", std::string(single.text()), std::string(line.text()));
  difference.require("line: class", single.what == line.what);
  if (line.what != Class::kMetric) return;
  difference.same("line: reason", name_of(single.reason), name_of(line.reason));
  if (line.reason != Reason::kOk || single.reason != Reason::kOk) return;
  difference.same("line: name_size", single.name_size, line.name_size);
  difference.same("line: value_end", single.value_end, line.value_end);
}

void compare_line(const simd::Kernel& kernel, const PaddedPacket& packet, const Line& line,
                  const Input& input, const reference::Message& expected, Difference& difference) {
  difference.require("the line is in the packet", packet.holds(line.text()));
  if (!difference.text().empty()) return;
  difference.same("text", std::string(line.text()), expected.text);
  difference.same("class", static_cast<int>(line.what), static_cast<int>(expected.line_class));
  if (!difference.text().empty()) return;
  compare_single(kernel, line, difference);
  switch (line.what) {
    case Class::kMetric:
      return compare_metric(kernel, line, input, expected, difference);
    case Class::kEvent:
      return compare_event(line.text(), input, expected, difference);
    case Class::kServiceCheck:
      return compare_check(line.text(), input, expected, difference);
  }
}

}  // namespace

Input read_input(std::string_view bytes) {
  if (bytes.empty()) return {};
  static constexpr size_t kCapacities[] = {1, 2, 3, 64};
  const auto bits = static_cast<uint8_t>(bytes[0]);
  return {.options = {.timestamps = (bits & 1) != 0, .client_origin = (bits & 2) != 0},
          .eol_required = (bits & 4) != 0,
          .padding = static_cast<uint8_t>(bits >> 3 & 7),
          .capacity = kCapacities[bits >> 6],
          .packet = bytes.substr(1)};
}

Expected expected(const Input& input) {
  return reference::parse_packet(
      input.packet, input.eol_required,
      {.timestamps = input.options.timestamps, .client_origin = input.options.client_origin});
}

std::string compare(const simd::Kernel& kernel, const Input& input, const Expected& expected) {
  Difference difference;
  const PaddedPacket packet(input.packet, input.padding);
  const std::vector<Line> lines = split_all(kernel, packet, input, difference);
  difference.same("number of lines", lines.size(), expected.size());
  for (size_t i = 0; difference.text().empty() && i < lines.size(); ++i) {
    compare_line(kernel, packet, lines[i], input, expected[i], difference);
    if (difference.text().empty()) continue;
    return std::string(variant_name(kernel.variant)) + ": " + difference.text() + "; line " +
           quoted(expected[i].text);
  }
  if (difference.text().empty()) return "";
  return std::string(variant_name(kernel.variant)) + ": " + difference.text();
}

std::string compare(const simd::Kernel& kernel, std::string_view bytes) {
  const Input input = read_input(bytes);
  return compare(kernel, input, expected(input));
}

std::string quoted(std::string_view bytes) {
  std::string text = "\"";
  for (const char c : bytes) {
    if (c == '"' || c == '\\') text += '\\';
    if (c >= ' ' && c <= '~') {
      text += c;
    } else {
      char octal[8];
      std::snprintf(octal, sizeof octal, "\\%03o", static_cast<unsigned>(static_cast<uint8_t>(c)));
      text += octal;
    }
  }
  return text + '"';
}

}  // namespace penstock::differential

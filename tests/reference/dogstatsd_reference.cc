#include "tests/reference/dogstatsd_reference.h"

#include <limits>

namespace penstock::reference {
namespace {

using Strings = std::vector<std::string>;

bool has_prefix(const std::string& text, const std::string& prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// The text after `prefix`, if it begins with it.
std::optional<std::string> after(const std::string& text, const std::string& prefix) {
  if (!has_prefix(text, prefix)) return std::nullopt;
  return text.substr(prefix.size());
}

// At every separator; a text without one is one piece, an empty text one empty piece.
Strings split(const std::string& text, char separator) {
  Strings pieces(1);
  for (char c : text) {
    if (c == separator) {
      pieces.emplace_back();
    } else {
      pieces.back() += c;
    }
  }
  return pieces;
}

struct Unsigned {
  bool valid = false;     // one or more decimal digits and nothing else
  bool overflow = false;  // valid, but beyond 64 bits
  uint64_t value = 0;
};

Unsigned parse_unsigned(const std::string& text) {
  Unsigned result{.valid = !text.empty()};
  for (char c : text) {
    if (c < '0' || c > '9') return {};
    const unsigned digit = static_cast<unsigned>(c - '0');
    const uint64_t largest = std::numeric_limits<uint64_t>::max();
    if (result.value > (largest - digit) / 10) result.overflow = true;
    result.value = result.value * 10 + digit;
  }
  return result;
}

// Base 10, signed 64 bits, optional sign, leading zeros, no `_` (5.4).
std::optional<int64_t> parse_int(const std::string& text) {
  const bool negative = has_prefix(text, "-");
  const bool has_sign = negative || has_prefix(text, "+");
  const Unsigned magnitude = parse_unsigned(has_sign ? text.substr(1) : text);
  if (!magnitude.valid || magnitude.overflow) return std::nullopt;
  const uint64_t limit = uint64_t{std::numeric_limits<int64_t>::max()} + (negative ? 1 : 0);
  if (magnitude.value > limit) return std::nullopt;
  return static_cast<int64_t>(negative ? 0 - magnitude.value : magnitude.value);
}

// 5.5. The argument is the field without its `#`.
Strings parse_tags(const std::string& text) {
  if (text.empty()) return {};
  return split(text, ',');
}

// 5.7, an inode: unsigned decimal; bad: 0, merely out of range: the maximum.
uint64_t parse_inode(const std::string& text) {
  const Unsigned number = parse_unsigned(text);
  if (!number.valid) return 0;
  return number.overflow ? std::numeric_limits<uint64_t>::max() : number.value;
}

// 5.7, `c:`. Sets both members: a later field replaces an earlier one, and an empty one clears it.
void parse_local_data(const std::string& text, Origin& origin) {
  origin.container_id.clear();
  origin.inode = 0;
  if (text.empty()) return;
  const Strings items = split(text, ',');
  for (const std::string& item : items) {
    if (auto id = after(item, "ci-")) {
      origin.container_id = *id;
    } else if (auto inode = after(item, "in-")) {
      origin.inode = parse_inode(*inode);
    } else if (items.size() > 1) {
      continue;  // in a list, everything else is ignored
    } else if (auto old_id = after(item, "cid-")) {
      origin.container_id = *old_id;
    } else {
      origin.container_id = item;
    }
  }
}

// 5.7, `e:`. The last field wins as a whole, so it starts from nothing.
ExternalData parse_external_data(const std::string& text) {
  ExternalData data;
  for (const std::string& item : split(text, ',')) {
    if (auto init = after(item, "it-")) {
      data.init = *init == "1" || *init == "t" || *init == "T" || *init == "TRUE" ||
                  *init == "true" || *init == "True";
    } else if (auto name = after(item, "cn-")) {
      data.container_name = *name;
    } else if (auto uid = after(item, "pu-")) {
      data.pod_uid = *uid;
    }
  }
  return data;
}

// 5.7: the three fields that metrics, events and checks share.
void parse_origin_field(const std::string& field, const Options& options, Origin& origin) {
  if (!options.client_origin) return;
  if (auto local = after(field, "c:")) {
    parse_local_data(*local, origin);
  } else if (auto external = after(field, "e:")) {
    origin.external = parse_external_data(*external);
  } else if (auto cardinality = after(field, "card:")) {
    origin.cardinality = *cardinality;
  }
}

bool is_type(const std::string& text) {
  return text == "c" || text == "g" || text == "h" || text == "d" || text == "ms" || text == "s";
}

// 5.3. Returns a reason, or nothing.
std::optional<Error> parse_values(const std::string& text, Metric& metric) {
  if (metric.type == "s") {
    metric.set_value = text;
    return std::nullopt;
  }
  for (const std::string& piece : split(text, ':')) {
    if (piece.empty()) continue;
    const std::optional<double> value = parse_float(piece);
    if (!value) return Error{"bad-value"};
    metric.values.push_back(*value);
  }
  if (metric.values.empty()) return Error{"no-values"};
  return std::nullopt;
}

// 5.4. Returns a reason, or nothing.
std::optional<Error> parse_metric_field(const std::string& field, const Options& options,
                                        Metric& metric) {
  if (auto tags = after(field, "#")) {
    metric.tags = parse_tags(*tags);
  } else if (auto rate = after(field, "@")) {
    const std::optional<double> number = parse_float(*rate);
    if (!number) return Error{"bad-rate"};
    metric.rate = *number;
  } else if (auto timestamp = after(field, "T")) {
    if (!options.timestamps) return std::nullopt;  // not even looked at
    const std::optional<int64_t> seconds = parse_int(*timestamp);
    if (!seconds || *seconds < 1) return Error{"bad-timestamp"};
    metric.timestamp = *seconds;
  } else {
    parse_origin_field(field, options, metric.origin);
  }
  return std::nullopt;
}

std::variant<Error, Metric, Event, ServiceCheck> parse_metric(const std::string& text,
                                                              const Options& options) {
  // 5.1 step 1
  const Strings fields = split(text, '|');
  if (fields.size() < 2) return Error{"no-pipe"};

  // 5.1 step 2
  const std::string& first = fields[0];
  const size_t colon = first.find(':');
  if (colon == std::string::npos) return Error{"no-colon"};
  Metric metric;
  metric.name = first.substr(0, colon);
  if (metric.name.empty()) return Error{"empty-name"};
  const std::string value = first.substr(colon + 1);
  if (value.empty()) return Error{"empty-value"};

  // 5.1 step 3
  metric.type = fields[1];
  if (!is_type(metric.type)) return Error{"bad-type"};

  // 5.1 step 4
  if (auto error = parse_values(value, metric)) return *error;

  // 5.1 step 5
  for (size_t i = 2; i < fields.size(); ++i) {
    if (auto error = parse_metric_field(fields[i], options, metric)) return *error;
  }
  return metric;
}

// 6.1 step 5: every `\` `n` becomes a line feed, and nothing else does anything.
std::string unescape(const std::string& text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && text[i + 1] == 'n') {
      result += '\n';
      ++i;
    } else {
      result += text[i];
    }
  }
  return result;
}

// 6.1 step 3: decimal digits, optional `+`. A number that 64 signed bits do not hold is a bad one.
std::optional<uint64_t> parse_length(const std::string& text) {
  if (has_prefix(text, "-")) return std::nullopt;
  const std::optional<int64_t> length = parse_int(text);
  if (!length) return std::nullopt;
  return static_cast<uint64_t>(*length);
}

// 6.1, the table of fields.
void parse_event_field(const std::string& field, const Options& options, Event& event) {
  if (auto timestamp = after(field, "d:")) {
    if (auto seconds = parse_int(*timestamp)) event.timestamp = *seconds;
  } else if (auto host = after(field, "h:")) {
    event.hostname = *host;
  } else if (auto key = after(field, "k:")) {
    event.aggregation_key = *key;
  } else if (auto priority = after(field, "p:")) {
    if (*priority == "normal" || *priority == "low") event.priority = *priority;
  } else if (auto source = after(field, "s:")) {
    event.source_type = *source;
  } else if (auto type = after(field, "t:")) {
    if (*type == "error" || *type == "warning" || *type == "info" || *type == "success") {
      event.alert_type = *type;
    }
  } else if (auto tags = after(field, "#")) {
    event.tags = parse_tags(*tags);
  } else {
    parse_origin_field(field, options, event.origin);
  }
}

std::variant<Error, Metric, Event, ServiceCheck> parse_event(const std::string& text,
                                                             const Options& options) {
  // 6.1 step 1
  const size_t colon = text.find(':');
  if (colon == std::string::npos) return Error{"event-no-colon"};
  const std::string header = text.substr(0, colon);
  const std::string body = text.substr(colon + 1);

  // 6.1 step 2
  if (header.size() < 7) return Error{"event-bad-header"};
  const std::string lengths = header.substr(3, header.size() - 4);
  const size_t comma = lengths.find(',');
  if (comma == std::string::npos) return Error{"event-bad-header"};

  // 6.1 step 3
  const std::optional<uint64_t> title_length = parse_length(lengths.substr(0, comma));
  if (!title_length) return Error{"event-bad-header"};
  const std::optional<uint64_t> text_length = parse_length(lengths.substr(comma + 1));
  if (!text_length) return Error{"event-bad-header"};
  if (*title_length == 0) return Error{"event-empty-title"};

  // 6.1 step 4; each length is below 2^63, so the sum does not wrap
  if (body.size() < *title_length + 1 + *text_length) return Error{"event-too-short"};

  // 6.1 step 5
  Event event;
  event.title = unescape(body.substr(0, *title_length));
  event.text = unescape(body.substr(*title_length + 1, *text_length));

  // 6.1 step 6; what stands between the text and the first `|` is an unknown field
  const Strings fields = split(body.substr(*title_length + 1 + *text_length), '|');
  for (size_t i = 1; i < fields.size(); ++i) parse_event_field(fields[i], options, event);
  return event;
}

// 6.2 step 5.
void parse_check_field(const std::string& field, const Options& options, ServiceCheck& check) {
  if (auto timestamp = after(field, "d:")) {
    if (auto seconds = parse_int(*timestamp)) check.timestamp = *seconds;
  } else if (auto host = after(field, "h:")) {
    check.hostname = *host;
  } else if (auto tags = after(field, "#")) {
    check.tags = parse_tags(*tags);
  } else if (auto message = after(field, "m:")) {
    check.message = *message;
  } else {
    parse_origin_field(field, options, check.origin);
  }
}

std::variant<Error, Metric, Event, ServiceCheck> parse_check(const std::string& text,
                                                             const Options& options) {
  // 6.2 step 1
  if (split(text, '|').size() < 3) return Error{"sc-format"};

  // 6.2 step 2: two `|` are there and the fourth byte can be one of them, so one is left
  const Strings fields = split(text.substr(4), '|');

  // 6.2 step 3
  ServiceCheck check;
  check.name = fields[0];
  if (check.name.empty()) return Error{"sc-empty-name"};

  // 6.2 step 4
  const std::string& status = fields[1];
  if (status != "0" && status != "1" && status != "2" && status != "3") {
    return Error{"sc-bad-status"};
  }
  check.status = status[0] - '0';

  // 6.2 step 5
  for (size_t i = 2; i < fields.size(); ++i) parse_check_field(fields[i], options, check);
  return check;
}

}  // namespace

// Section 4, step 5.
Message parse_line(std::string_view line, const Options& options) {
  const std::string text(line);
  if (has_prefix(text, "_e{")) return {text, Class::kEvent, parse_event(text, options)};
  if (has_prefix(text, "_sc")) return {text, Class::kServiceCheck, parse_check(text, options)};
  return {text, Class::kMetric, parse_metric(text, options)};
}

std::vector<Message> parse_packet(std::string_view bytes, bool eol_required,
                                  const Options& options) {
  std::vector<Message> messages;
  std::string rest(bytes);
  while (!rest.empty()) {
    // step 1
    const size_t newline = rest.find('\n');
    const bool terminated = newline != std::string::npos;
    std::string line = rest.substr(0, newline);
    rest = terminated ? rest.substr(newline + 1) : "";
    // step 2
    if (!line.empty() && line.back() == '\r') line.pop_back();
    // step 3
    if (eol_required && !terminated) break;
    // step 4
    if (line.empty()) continue;
    // step 5
    messages.push_back(parse_line(line, options));
  }
  return messages;
}

}  // namespace penstock::reference

// JSON lines: {"t":seconds,"packet":"...","source":"udp","container":"..."}.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "controlplane/exporters/text.h"
#include "dataplane/base/strings.h"
#include "dataplane/core/senders.h"
#include "tools/replay/input.h"

namespace penstock::replay {
namespace {

using Json = nlohmann::json;

// A packet of 65535 bytes, each written as \u00XX, needs 400 KB.
constexpr size_t kLineMax = size_t{1} << 20;
constexpr size_t kChunk = size_t{1} << 16;

struct SourceName {
  std::string_view name;
  Source source;
};
constexpr std::array<SourceName, 4> kSources = {{{"udp", Source::kUdp},
                                                 {"uds", Source::kUds},
                                                 {"uds-stream", Source::kUdsStream},
                                                 {"pipe", Source::kPipe}}};

// Packets are bytes, JSON is UTF-8. Bytes that are no UTF-8 come raw, or as the lone surrogates
// \udc80 to \udcff (Python's surrogateescape); either way JSON forbids them. They pass the JSON
// parser as U+10FF80 to U+10FFFF and become bytes again behind it; the bytes of such a character of
// the line's own pass it in the same way.
constexpr std::string_view kStandIn = "\xf4\x8f";  // U+10FFxx is F4 8F (BE|BF) 80..BF

void append_stand_in(std::string& out, uint8_t byte) {
  out += kStandIn;
  out += static_cast<char>(byte < 0xc0 ? 0xbe : 0xbf);
  out += static_cast<char>(0x80 | (byte & 0x3f));
}

bool is_stand_in(std::string_view s) {
  return s.size() >= 4 && s.starts_with(kStandIn) && static_cast<uint8_t>(s[2]) >= 0xbe;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// The byte of a lone surrogate escape that `s` begins with, or -1.
int surrogate_byte(std::string_view s) {
  if (s.size() < 6 || s[0] != '\\' || s[1] != 'u' || (s[2] | 32) != 'd' || (s[3] | 32) != 'c')
    return -1;
  const int high = hex_digit(s[4]);
  const int low = hex_digit(s[5]);
  return high < 8 || low < 0 ? -1 : high * 16 + low;
}

// True for \ud800 to \udbff: the next escape is its second half.
bool is_high_surrogate(std::string_view s) {
  return s.size() >= 6 && s[0] == '\\' && s[1] == 'u' && (s[2] | 32) == 'd' &&
         hex_digit(s[3]) >= 8 && hex_digit(s[3]) <= 11;
}

// The stand-in that the line writes itself, as a pair of surrogate escapes; else nothing.
std::string escaped_stand_in(std::string_view s) {
  std::string out;
  if (s.size() < 12 || !is_high_surrogate(s) || hex_digit(s[3]) != 11 || hex_digit(s[4]) != 15 ||
      hex_digit(s[5]) != 15 || s[6] != '\\' || s[7] != 'u' || hex_digit(s[8]) != 13 ||
      hex_digit(s[9]) != 15 || hex_digit(s[10]) < 8 || hex_digit(s[11]) < 0) {
    return out;
  }
  append_stand_in(out, static_cast<uint8_t>(hex_digit(s[10]) * 16 + hex_digit(s[11])));
  return out;
}

std::string with_stand_ins(std::string_view line) {
  std::string out;
  while (!line.empty()) {
    size_t size = 1;
    const std::string escaped = escaped_stand_in(line);
    if (!escaped.empty() || (utf8_length(line) == 4 && is_stand_in(line))) {
      const std::string_view own = escaped.empty() ? line.substr(0, 4) : escaped;
      for (const char c : own) append_stand_in(out, static_cast<uint8_t>(c));
      line.remove_prefix(escaped.empty() ? 4 : 12);
      continue;
    }
    if (line[0] == '\\') {
      const int byte = surrogate_byte(line);
      if (byte >= 0) {
        append_stand_in(out, static_cast<uint8_t>(byte));
        line.remove_prefix(6);
        continue;
      }
      size = std::min<size_t>(is_high_surrogate(line) ? 12 : 2, line.size());
    } else if (size = utf8_length(line); size == 0) {
      append_stand_in(out, static_cast<uint8_t>(line[0]));
      line.remove_prefix(1);
      continue;
    }
    out += line.substr(0, size);
    line.remove_prefix(size);
  }
  return out;
}

std::string without_stand_ins(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    if (is_stand_in(text)) {
      const int high = static_cast<uint8_t>(text[2]) == 0xbe ? 0x80 : 0xc0;
      out += static_cast<char>(high | (text[3] & 0x3f));
      text.remove_prefix(4);
    } else {
      out += text[0];
      text.remove_prefix(1);
    }
  }
  return out;
}

class JsonLines : public Input {
 public:
  explicit JsonLines(Bytes bytes) : bytes_(std::move(bytes)) {}

  absl::StatusOr<bool> next(Record& record) override {
    for (;;) {
      ASSIGN_OR_RETURN(const bool more, next_line());
      if (!more) return false;
      if (line_.find_first_not_of(" \t\r") == std::string::npos && !too_long_) continue;
      record = {};
      if (const std::string error = take(record); !error.empty())
        record.error = cat("line ", number_, ": ", error);
      return true;
    }
  }

 private:
  absl::StatusOr<bool> next_line();
  std::string take(Record& record);
  bool parse(std::string& error);
  std::string take_time(Record& record);
  std::string take_source(Record& record);
  static std::string take_text(const Json& value, std::string_view key, bool stand_ins,
                               std::string& out);

  Bytes bytes_;
  std::string chunk_;
  size_t chunk_at_ = 0;
  uint64_t number_ = 0;
  std::string line_;
  bool too_long_ = false;
  Json json_;
  bool stand_ins_ = false;
  std::string packet_, container_;
};

absl::StatusOr<bool> JsonLines::next_line() {
  line_.clear();
  too_long_ = false;
  for (bool any = false;;) {
    if (chunk_at_ == chunk_.size()) {
      chunk_.resize(kChunk);
      ASSIGN_OR_RETURN(const size_t got, bytes_.read(chunk_.data(), kChunk));
      chunk_.resize(got);
      chunk_at_ = 0;
      if (got == 0) {
        number_ += any ? 1 : 0;
        return any;
      }
    }
    any = true;
    const size_t end = chunk_.find('\n', chunk_at_);
    const size_t stop = std::min(end, chunk_.size());
    const size_t size = stop - chunk_at_;
    too_long_ = too_long_ || line_.size() + size > kLineMax;
    if (!too_long_) line_.append(chunk_, chunk_at_, size);
    chunk_at_ = std::min(stop + 1, chunk_.size());
    if (end == std::string::npos) continue;
    ++number_;
    return true;
  }
}

// What is wrong; empty: nothing.
std::string JsonLines::take(Record& record) {
  if (too_long_) return cat("longer than ", kLineMax, " bytes");
  std::string error;
  if (!parse(error)) return error;
  if (!json_.is_object()) return "must be a JSON object";
  if (error = take_time(record); !error.empty()) return error;
  if (error = take_source(record); !error.empty()) return error;
  const auto packet = json_.find("packet");
  if (packet == json_.end()) return "\"packet\" is missing";
  if (error = take_text(*packet, "packet", stand_ins_, packet_); !error.empty()) return error;
  container_.clear();
  if (const auto container = json_.find("container");
      container != json_.end() && !container->is_null()) {
    if (error = take_text(*container, "container", stand_ins_, container_); !error.empty())
      return error;
    if (container_.size() > Senders::kContainerMax)
      return cat("\"container\": longer than ", Senders::kContainerMax, " bytes");
  }
  record.packet = packet_;
  record.container = container_;
  return {};
}

bool JsonLines::parse(std::string& error) {
  stand_ins_ = false;
  json_ = Json::parse(line_, nullptr, /*allow_exceptions=*/false);
  if (!json_.is_discarded()) return true;
  stand_ins_ = true;
  const std::string replaced = with_stand_ins(line_);
  json_ = Json::parse(replaced, nullptr, /*allow_exceptions=*/false);
  if (!json_.is_discarded()) return true;
  try {
    Json::parse(replaced).is_null();  // once more, to hear why not
  } catch (const Json::exception& e) {
    const std::string_view what = e.what();
    const size_t end = what.find("] ");
    error = cat("no JSON: ", end == std::string_view::npos ? what : what.substr(end + 2));
  }
  return false;
}

std::string JsonLines::take_time(Record& record) {
  const auto t = json_.find("t");
  if (t == json_.end()) return "\"t\" is missing";
  const double seconds = t->is_number() ? t->get<double>() : -1;
  if (!(seconds >= 0 && seconds < static_cast<double>(kSecondsMax)))
    return cat("\"t\" = ", t->dump(-1, ' ', true, Json::error_handler_t::replace),
               ": must be Unix seconds, from 0 to 253402300799");
  const double whole = std::floor(seconds);
  // Never rounds up to the next second.
  const auto nanoseconds = static_cast<int64_t>((seconds - whole) * 1e9);
  record.time_ms =
      to_ms(static_cast<int64_t>(whole), std::max<int64_t>(nanoseconds, seconds > whole));
  record.timed = true;
  return {};
}

std::string JsonLines::take_source(Record& record) {
  const auto given = json_.find("source");
  if (given == json_.end() || given->is_null()) return {};
  const std::string name = given->is_string() ? given->get<std::string>() : "";
  const auto* known = std::ranges::find(kSources, std::string_view(name), &SourceName::name);
  if (known == kSources.end())
    return cat("\"source\" = ", given->dump(-1, ' ', true, Json::error_handler_t::replace),
               ": must be \"udp\", \"uds\", \"uds-stream\" or \"pipe\"");
  record.source = known->source;
  return {};
}

std::string JsonLines::take_text(const Json& value, std::string_view key, bool stand_ins,
                                 std::string& out) {
  if (!value.is_string())
    return cat("\"", key, "\" = ", value.dump(-1, ' ', true, Json::error_handler_t::replace),
               ": must be a string");
  const auto& text = value.get_ref<const std::string&>();
  out = stand_ins ? without_stand_ins(text) : text;
  return {};
}

}  // namespace

std::unique_ptr<Input> open_json_lines(Bytes bytes) {
  return std::make_unique<JsonLines>(std::move(bytes));
}

}  // namespace penstock::replay

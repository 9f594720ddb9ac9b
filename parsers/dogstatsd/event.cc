#include <charconv>
#include <cstring>

#include "parsers/dogstatsd/fields.h"

namespace penstock::dogstatsd {
namespace {

// A byte count of the header: decimal, optional `+` (spec 6.1, step 3).
Reason parse_length(std::string_view text, uint64_t& out) {
  if (text.starts_with('+')) text.remove_prefix(1);
  const char* end = text.data() + text.size();
  const auto [ptr, error] = std::from_chars(text.data(), end, out);
  if (ptr != end || error == std::errc::invalid_argument) return Reason::kEventBadHeader;
  return error == std::errc() ? Reason::kOk : Reason::kEventBadLength;
}

// `_e{<title bytes>,<text bytes>}`; the last byte is not looked at.
Reason parse_lengths(std::string_view header, uint64_t& title, uint64_t& text) {
  constexpr size_t kOpening = 3;  // "_e{"
  if (header.size() < 7) return Reason::kEventBadHeader;
  const std::string_view lengths = header.substr(kOpening, header.size() - kOpening - 1);
  const size_t comma = lengths.find(',');
  if (comma == std::string_view::npos) return Reason::kEventBadHeader;
  const Reason reason = parse_length(lengths.substr(0, comma), title);
  return reason != Reason::kOk ? reason : parse_length(lengths.substr(comma + 1), text);
}

// Spec 6.1, step 6: what is unknown or invalid leaves the earlier value.
void parse_field(std::string_view field, const Options& options, Event& out) {
  std::string_view content;
  if (strip_prefix(field, "#", content)) {
    set_tags(content, out);
  } else if (strip_prefix(field, "d:", content)) {
    parse_int(content, out.timestamp);
  } else if (strip_prefix(field, "p:", content)) {
    if (content == "normal" || content == "low") out.priority = content;
  } else if (strip_prefix(field, "t:", content)) {
    if (content == "error" || content == "warning" || content == "info" || content == "success") {
      out.alert_type = content;
    }
  } else if (!strip_prefix(field, "h:", out.hostname) &&
             !strip_prefix(field, "k:", out.aggregation_key) &&
             !strip_prefix(field, "s:", out.source_type) && options.client_origin) {
    take_origin_field(field, out.origin);
  }
}

}  // namespace

Reason parse_event(std::string_view line, const Options& options, Event& out) {
  out = Event{};
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return Reason::kEventNoColon;
  uint64_t title = 0;
  uint64_t text = 0;
  const Reason reason = parse_lengths(line.substr(0, colon), title, text);
  if (reason != Reason::kOk) return reason;
  if (title == 0) return Reason::kEventEmptyTitle;
  const std::string_view body = line.substr(colon + 1);
  // One byte is skipped between title and text; subtractions, because the lengths may be huge.
  if (title >= body.size() || text > body.size() - title - 1) return Reason::kEventTooShort;
  out.title = body.substr(0, title);
  out.text = body.substr(title + 1, text);
  // Bytes between the text and the next `|` are an unknown field, whatever they look like.
  const size_t pipe = body.find('|', title + 1 + text);
  std::string_view rest = pipe != std::string_view::npos ? body.substr(pipe) : "";
  while (!rest.empty()) parse_field(take_field(rest), options, out);
  return Reason::kOk;
}

size_t unescape_newlines(std::string_view text, char* out) {
  char* at = out;
  for (;;) {
    const size_t escape = text.find("\\n");
    const std::string_view plain = text.substr(0, escape);
    if (!plain.empty()) std::memcpy(at, plain.data(), plain.size());
    at += plain.size();
    if (escape == std::string_view::npos) return static_cast<size_t>(at - out);
    *at++ = '\n';
    text.remove_prefix(escape + 2);
  }
}

}  // namespace penstock::dogstatsd

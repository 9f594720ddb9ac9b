#include <cstring>

#include "parsers/dogstatsd/fields.h"

namespace penstock::dogstatsd {
namespace {

// A byte count of the header: decimal, optional `+` and no `-`, not even of 0 (spec 6.1, step 3).
bool parse_length(std::string_view text, int64_t& out) {
  return !text.starts_with('-') && parse_int(text, out);
}

// `_e{<title bytes>,<text bytes>}`; the last byte is not looked at.
bool parse_lengths(std::string_view header, int64_t& title, int64_t& text) {
  constexpr size_t kOpening = 3;  // "_e{"
  if (header.size() < 7) return false;
  const std::string_view lengths = header.substr(kOpening, header.size() - kOpening - 1);
  const size_t comma = lengths.find(',');
  if (comma == std::string_view::npos) return false;
  return parse_length(lengths.substr(0, comma), title) &&
         parse_length(lengths.substr(comma + 1), text);
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
  int64_t title_bytes = 0;
  int64_t text_bytes = 0;
  if (!parse_lengths(line.substr(0, colon), title_bytes, text_bytes)) {
    return Reason::kEventBadHeader;
  }
  if (title_bytes == 0) return Reason::kEventEmptyTitle;
  const auto title = static_cast<size_t>(title_bytes);
  const auto text = static_cast<size_t>(text_bytes);
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

#include "parsers/dogstatsd/locate.h"

#include <string>

#include "parsers/dogstatsd/fields.h"

namespace penstock::dogstatsd {
namespace {

// Any beginning of a number becomes one with some of these behind it.
constexpr std::string_view kEndings[] = {"",   "0", "p0", "0p0", "nf",   "f",
                                         "an", "n", "y",  "ty",  "nity", "ity"};

bool can_become_number(std::string_view text) {
  std::string whole;
  double ignored = 0;
  for (const std::string_view ending : kEndings) {
    whole.assign(text).append(ending);
    if (parse_float(whole, ignored)) return true;
  }
  return false;
}

// The length of the longest beginning of `text` that can become a number.
size_t number_prefix(std::string_view text) {
  size_t good = 0;
  for (size_t bad = text.size() + 1; good + 1 < bad;) {
    const size_t middle = good + (bad - good) / 2;
    (can_become_number(text.substr(0, middle)) ? good : bad) = middle;
  }
  return good;
}

// Whether `text` is a decimal integer, maybe with a `+` before it; if not, `at` is the first byte
// that does not belong, or the end if it has no digit.
bool is_integer(std::string_view text, size_t& at) {
  const size_t sign = text.starts_with('+') ? 1 : 0;
  at = sign;
  while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
  return at == text.size() && at > sign;
}

size_t find_bad_value(std::string_view value) {
  double ignored = 0;
  for (size_t begin = 0;;) {
    const size_t colon = value.find(':', begin);
    const std::string_view piece = value.substr(begin, colon - begin);
    if (!piece.empty() && !parse_float(piece, ignored)) return begin + number_prefix(piece);
    if (colon == std::string_view::npos) return 0;
    begin = colon + 1;
  }
}

// In the field that is to blame: the first one that starts with `mark` and is bad.
size_t find_bad_field(std::string_view line, size_t type_pipe, Reason reason) {
  std::string_view rest = line.substr(type_pipe);
  take_field(rest);  // the type
  while (!rest.empty()) {
    const std::string_view field = take_field(rest);
    const size_t content = static_cast<size_t>(field.data() - line.data()) + 1;
    if (reason == Reason::kBadRate && field.starts_with('@')) {
      double rate = 0;
      if (!parse_float(field.substr(1), rate)) return content + number_prefix(field.substr(1));
    }
    if (reason == Reason::kBadTimestamp && field.starts_with('T')) {
      int64_t timestamp = 0;
      if (!parse_int(field.substr(1), timestamp) || timestamp < 1) {
        size_t at = 0;
        return is_integer(field.substr(1), at) ? content : content + at;
      }
    }
  }
  return line.size();
}

size_t locate_metric(std::string_view line, Reason reason) {
  const size_t pipe = line.find('|');
  if (pipe == std::string_view::npos) return line.size();
  const size_t value = line.find(':') + 1;
  switch (reason) {
    case Reason::kNoColon:
      return pipe;
    case Reason::kEmptyName:
      return 0;
    case Reason::kEmptyValue:
    case Reason::kNoValues:
      return value;
    case Reason::kBadType:
      return pipe + 1;
    case Reason::kBadValue:
      return value + find_bad_value(line.substr(value, pipe - value));
    default:
      return find_bad_field(line, pipe, reason);
  }
}

// Where a length goes wrong; at its start if it is only too large.
bool is_length(std::string_view text, size_t& at) {
  int64_t length = 0;
  if (!is_integer(text, at)) return false;
  at = 0;
  return parse_int(text, length);
}

// Spec 6.1, steps 2 and 3.
size_t locate_event_header(std::string_view header) {
  constexpr size_t kOpening = 3;  // "_e{"
  if (header.size() < 7) return header.size();
  const std::string_view lengths = header.substr(kOpening, header.size() - kOpening - 1);
  const size_t comma = lengths.find(',');
  if (comma == std::string_view::npos) return header.size() - 1;
  const std::string_view title = lengths.substr(0, comma), text = lengths.substr(comma + 1);
  size_t at = 0;
  if (!is_length(title, at)) return kOpening + at;
  is_length(text, at);
  return kOpening + comma + 1 + at;
}

size_t locate_bad_status(std::string_view line) {
  const size_t status = line.find('|', 4) + 1;
  const bool starts_well = status < line.size() && line[status] >= '0' && line[status] <= '3';
  return starts_well ? status + 1 : status;
}

}  // namespace

size_t locate_error(std::string_view line, Reason reason) {
  switch (reason) {
    case Reason::kOk:
    case Reason::kCount:
      return 0;
    case Reason::kEventNoColon:
    case Reason::kEventTooShort:
    case Reason::kScFormat:
      return line.size();
    case Reason::kEventBadHeader:
      return locate_event_header(line.substr(0, line.find(':')));
    case Reason::kEventEmptyTitle:
      return 3;
    case Reason::kScEmptyName:
      return 4;
    case Reason::kScBadStatus:
      return locate_bad_status(line);
    default:
      return locate_metric(line, reason);
  }
}

}  // namespace penstock::dogstatsd

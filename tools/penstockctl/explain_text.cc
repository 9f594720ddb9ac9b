#include "tools/penstockctl/explain_text.h"

#include <clocale>
#include <cmath>
#include <cwchar>

#include "controlplane/exporters/text.h"

namespace penstock {
namespace {

using dogstatsd::Reason;

// The columns of a code point: 1 or 2, and 0 for all that is better not sent to a terminal. UTF-8
// whatever the user's locale, so that the output is the same everywhere.
int columns_of(wchar_t code_point) {
  static const locale_t kUtf8 = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  if (kUtf8 == nullptr) return code_point >= 0x20 && code_point < 0x7f ? 1 : 0;
  const locale_t before = ::uselocale(kUtf8);
  const int columns = ::wcwidth(code_point);
  ::uselocale(before);
  return columns > 0 ? columns : 0;
}

// Of a valid sequence.
wchar_t code_point(std::string_view sequence) {
  const auto lead = static_cast<uint8_t>(sequence[0]);
  if (sequence.size() == 1) return lead;
  auto point = static_cast<uint32_t>(lead & (0xff >> (sequence.size() + 1)));
  for (const char c : sequence.substr(1)) point = (point << 6) | (static_cast<uint8_t>(c) & 0x3f);
  return static_cast<wchar_t>(point);
}

}  // namespace

void append_hex(std::string& out, char byte) {
  constexpr char kDigits[] = "0123456789abcdef";
  out += kDigits[static_cast<uint8_t>(byte) >> 4];
  out += kDigits[byte & 15];
}

void append_double(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else if (value == 0 && std::signbit(value)) {
    out += "-0.0";  // many readers take -0 for an integer, which has no sign
  } else {
    append_number(out, value);
  }
}

std::string context_id_text(uint64_t id) {
  std::string text;
  for (int shift = 56; shift >= 0; shift -= 8) append_hex(text, static_cast<char>(id >> shift));
  return text;
}

std::string_view error_name(const Explained& e) {
  return e.too_long ? "too-long" : dogstatsd::reason_name(e.reason);
}

std::string_view advice(const Explained& e) {
  if (e.too_long) return "It is longer than 65535 bytes, which no packet holds: split it up.";
  switch (e.reason) {
    case Reason::kOk:
    case Reason::kCount:
      return "";
    case Reason::kNoPipe:
      return "A metric is name:value|type and this has no '|': add the type, such as |c.";
    case Reason::kNoColon:
      return "A metric is name:value|type and there is no ':' before the first '|': add the value.";
    case Reason::kEmptyName:
      return "Nothing is before the ':': put the metric's name there.";
    case Reason::kEmptyValue:
      return "Nothing is between ':' and '|': put a value there.";
    case Reason::kBadType:
      return "The type is not exactly one of c, g, h, d, ms, s: use one of them, in lower case and "
             "without spaces.";
    case Reason::kNoValues:
      return "Only ':' is where values belong: put at least one number there.";
    case Reason::kBadValue:
      return "This value is not a number, or beyond what a double holds, and one such value "
             "refuses "
             "the whole message: send plain decimals such as 12.5, or use the type s for text.";
    case Reason::kBadRate:
      return "A field that begins with '@' is the sample rate and this is not a number: send one "
             "above 0 and at most 1, such as @0.5.";
    case Reason::kBadTimestamp:
      return "A field that begins with 'T' is the time and this is not a whole number of seconds "
             "from 1 on: send Unix time, such as T1700000000.";
    case Reason::kEventNoColon:
      return "An event is _e{title bytes,text bytes}:title|text and this has no ':': add it after "
             "the header.";
    case Reason::kEventTooShort:
      return "The message ends before title and text are as long as the header says: count bytes, "
             "not characters, and write line breaks as \\n, since a real one ends the message.";
    case Reason::kEventBadHeader:
      return "The header is not _e{title bytes,text bytes} with two whole numbers: write both "
             "lengths, such as _e{5,4}.";
    case Reason::kEventEmptyTitle:
      return "The header says that the title has 0 bytes: give the event a title.";
    case Reason::kScFormat:
      return "What begins with _sc is a service check, _sc|name|status, and this has fewer than "
             "two "
             "'|': add what is missing, or let a metric's name begin otherwise.";
    case Reason::kScEmptyName:
      return "The name of the service check is empty: put it between the first two '|'.";
    case Reason::kScBadStatus:
      return "The status is not exactly 0 (OK), 1 (WARNING), 2 (CRITICAL) or 3 (UNKNOWN): use one "
             "of "
             "them.";
  }
  return "";
}

Shown show(std::string_view bytes, size_t position) {
  Shown shown;
  size_t column = 0;
  for (size_t at = 0; at < bytes.size();) {
    const std::string_view rest = bytes.substr(at);
    const size_t length = utf8_length(rest);
    const int columns = length > 0 ? columns_of(code_point(rest.substr(0, length))) : 0;
    const size_t taken = columns > 0 ? length : 1;
    if (at <= position) shown.column = column;
    if (columns > 0) {
      shown.text.append(rest.substr(0, taken));
      column += static_cast<size_t>(columns);
    } else {
      shown.text += "\\x";
      append_hex(shown.text, rest[0]);
      column += 4;
    }
    at += taken;
  }
  if (position >= bytes.size()) shown.column = column;
  return shown;
}

}  // namespace penstock

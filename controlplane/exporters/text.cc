#include "controlplane/exporters/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

namespace penstock {
namespace {

// How a sequence goes on after its first byte: the number of bytes in all, and the range of the
// second one; the others are 80..BF.
struct Lead {
  uint8_t length, low, high;
};

Lead lead_of(uint8_t c) {
  if (c < 0x80) return {1, 0, 0};
  if (c < 0xC2) return {0, 0, 0};
  if (c < 0xE0) return {2, 0x80, 0xBF};
  if (c < 0xF0) {
    return {3, static_cast<uint8_t>(c == 0xE0 ? 0xA0 : 0x80),
            static_cast<uint8_t>(c == 0xED ? 0x9F : 0xBF)};
  }
  if (c < 0xF5) {
    return {4, static_cast<uint8_t>(c == 0xF0 ? 0x90 : 0x80),
            static_cast<uint8_t>(c == 0xF4 ? 0x8F : 0xBF)};
  }
  return {0, 0, 0};
}

// The bytes at the beginning of `s` that fit a sequence with this lead.
size_t fitting(std::string_view s, Lead lead) {
  size_t n = 1;
  for (; n < lead.length && n < s.size(); ++n) {
    const auto c = static_cast<uint8_t>(s[n]);
    const uint8_t low = n == 1 ? lead.low : 0x80, high = n == 1 ? lead.high : 0xBF;
    if (c < low || c > high) break;
  }
  return n;
}

void append_escape(std::string& out, char c) {
  switch (c) {
    case '"':
    case '\\':
      out += '\\';
      out += c;
      return;
    case '\n':
      out += "\\n";
      return;
    case '\t':
      out += "\\t";
      return;
    case '\r':
      out += "\\r";
      return;
    default:
      constexpr char kHex[] = "0123456789abcdef";
      out += "\\u00";
      out += kHex[static_cast<uint8_t>(c) >> 4];
      out += kHex[c & 15];
  }
}

// Bytes that stand for themselves in JSON.
constexpr auto kPlain = [] {
  std::array<bool, 256> plain{};
  for (size_t c = 0x20; c < 0x80; ++c) plain[c] = c != '"' && c != '\\';
  return plain;
}();

template <class T>
void append_chars(std::string& out, T value) {
  std::array<char, 32> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  out.append(buffer.data(), end);
}

}  // namespace

size_t utf8_length(std::string_view s) {
  const Lead lead = lead_of(static_cast<uint8_t>(s[0]));
  return lead.length > 0 && fitting(s, lead) == lead.length ? lead.length : 0;
}

size_t utf8_bad_length(std::string_view s) {
  return fitting(s, lead_of(static_cast<uint8_t>(s[0])));
}

void append_json_text(std::string& out, std::string_view s) {
  while (!s.empty()) {
    size_t plain = 0;
    while (plain < s.size() && kPlain[static_cast<uint8_t>(s[plain])]) ++plain;
    out.append(s.substr(0, plain));
    s.remove_prefix(plain);
    if (s.empty()) return;
    if (static_cast<uint8_t>(s[0]) < 0x80) {
      append_escape(out, s[0]);
      s.remove_prefix(1);
    } else if (const size_t n = utf8_length(s); n > 0) {
      out.append(s.substr(0, n));
      s.remove_prefix(n);
    } else {
      out.append(kReplacement);
      s.remove_prefix(utf8_bad_length(s));
    }
  }
}

void append_number(std::string& out, double value) { append_chars(out, value); }
void append_number(std::string& out, int64_t value) { append_chars(out, value); }
void append_number(std::string& out, uint64_t value) { append_chars(out, value); }

}  // namespace penstock

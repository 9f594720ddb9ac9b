#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "parsers/dogstatsd/fields.h"

namespace penstock::dogstatsd {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

// -1: not a digit of that base.
int digit_value(char c, int base) {
  if (is_digit(c)) return c - '0';
  const char l = lower(c);
  return base == 16 && l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

bool equals_ignoring_case(std::string_view text, std::string_view lower_case) {
  if (text.size() != lower_case.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (lower(text[i]) != lower_case[i]) return false;
  }
  return true;
}

// A number cut into its parts, leading zeros gone: 0.d1d2d3... * base^point * (10 or 2)^exponent.
struct Parts {
  // A double's decimal expansion and the midpoints between two of them have less than 770
  // significant digits; beyond that only whether something is left matters.
  static constexpr size_t kDigits = 800;
  std::array<char, kDigits + 1> digits;
  size_t count = 0;   // significant digits kept
  bool more = false;  // a digit that was not kept is not zero
  int64_t point = 0;  // digits before the point, counted from the first significant one
  int64_t exponent = 0;
};

// Walks digits and underscores; an underscore must stand between two digits (or after a base
// prefix, `after_digit` then being true at the start). Returns the end of the run, or npos on a bad
// underscore.
template <class Fn>
size_t walk_digits(std::string_view text, size_t at, int base, bool after_digit, Fn&& fn) {
  for (; at < text.size(); ++at) {
    if (text[at] == '_') {
      if (!after_digit || at + 1 == text.size() || digit_value(text[at + 1], base) < 0) {
        return std::string_view::npos;
      }
      after_digit = false;
      continue;
    }
    if (digit_value(text[at], base) < 0) break;
    fn(text[at]);
    after_digit = true;
  }
  return at;
}

// `text` has neither sign nor base prefix. Go's readFloat, with the exponent kept in bounds.
bool split_parts(std::string_view text, int base, Parts& out) {
  bool any = false;
  bool fraction = false;
  const auto take = [&](char c) {
    any = true;
    if (c == '0' && out.count == 0) {
      if (fraction) --out.point;
      return;
    }
    if (out.count < Parts::kDigits) {
      out.digits[out.count++] = c;
    } else {
      out.more |= c != '0';
    }
    if (!fraction) ++out.point;
  };
  size_t at = walk_digits(text, 0, base, base == 16, take);
  if (at == std::string_view::npos) return false;
  if (at < text.size() && text[at] == '.') {
    fraction = true;
    at = walk_digits(text, at + 1, base, false, take);
    if (at == std::string_view::npos) return false;
  }
  if (!any) return false;
  if (at == text.size()) return base == 10;  // hexadecimal needs its exponent
  if (lower(text[at]) != (base == 16 ? 'p' : 'e')) return false;
  if (++at == text.size()) return false;
  const bool negative = text[at] == '-';
  if (negative || text[at] == '+') ++at;
  if (at == text.size() || !is_digit(text[at])) return false;
  constexpr int64_t kExponentMax = 1'000'000'000;  // beyond any number a packet can hold
  at = walk_digits(text, at, 10, false, [&](char c) {
    if (out.exponent < kExponentMax) out.exponent = out.exponent * 10 + (c - '0');
  });
  if (negative) out.exponent = -out.exponent;
  return at == text.size();
}

// What from_chars cannot read or calls out of range: underscores, underflow, overflow.
bool parse_long_decimal(std::string_view text, double& out) {
  Parts parts;
  if (!split_parts(text, 10, parts)) return false;
  out = 0;
  if (parts.count == 0) return true;
  if (parts.more) parts.digits[parts.count++] = '1';
  const int64_t magnitude = parts.point + parts.exponent;  // value is 0.ddd * 10^magnitude
  if (magnitude > 310) return false;
  if (magnitude < -330) return true;
  std::array<char, Parts::kDigits + 32> buffer;
  std::memcpy(buffer.data(), parts.digits.data(), parts.count);
  char* at = buffer.data() + parts.count;
  *at++ = 'e';
  const auto scale = magnitude - static_cast<int64_t>(parts.count);
  const char* end = std::to_chars(at, buffer.data() + buffer.size(), scale).ptr;
  const auto [ptr, error] = std::from_chars(buffer.data(), end, out);
  // Out of range says neither which side nor what to use.
  if (error != std::errc() && magnitude < 0) {
    out = 0;
    return true;
  }
  return error == std::errc() && std::isfinite(out);
}

// Rounds `mantissa` (not 0), whose lowest bit also stands for all bits below it, times 2^exponent
// to the nearest double, ties to even. False: overflow.
bool round_binary(uint64_t mantissa, int64_t exponent, double& out) {
  constexpr int kMantissaBits = 53;
  constexpr int64_t kExponentMin = -1074;  // of the lowest bit of a denormal
  const int64_t width = 64 - __builtin_clzll(mantissa);
  if (exponent + width > 1024) return false;
  const int64_t lowest = std::max(exponent + width - kMantissaBits, kExponentMin);
  const int64_t shift = lowest - exponent;
  if (shift > 64) {
    out = 0;
    return true;
  }
  if (shift > 0) {
    const uint64_t kept = shift == 64 ? 0 : mantissa >> shift;
    const uint64_t half = uint64_t{1} << (shift - 1);
    const uint64_t dropped = mantissa & ((half - 1) | half);
    mantissa = kept + (dropped > half || (dropped == half && (kept & 1)) ? 1 : 0);
    exponent = lowest;
  }
  out = std::ldexp(static_cast<double>(mantissa), static_cast<int>(exponent));
  return std::isfinite(out);
}

// Hexadecimal after its `0x`. By hand: the standard library's reader has other rules.
bool parse_hex(std::string_view text, double& out) {
  Parts parts;
  if (!split_parts(text, 16, parts)) return false;
  out = 0;
  if (parts.count == 0) return true;
  constexpr size_t kNibbles = 15;  // room for 53 bits, a leading digit of 1, and the sticky bit
  uint64_t mantissa = 0;
  size_t used = 0;
  for (; used < parts.count && used < kNibbles; ++used) {
    mantissa = mantissa << 4 | static_cast<uint64_t>(digit_value(parts.digits[used], 16));
  }
  bool sticky = parts.more;
  for (size_t i = used; i < parts.count; ++i) sticky |= parts.digits[i] != '0';
  mantissa = mantissa << 1 | (sticky ? 1 : 0);
  const int64_t exponent = 4 * (parts.point - static_cast<int64_t>(used)) - 1 + parts.exponent;
  return round_binary(mantissa, exponent, out);
}

bool parse_unsigned(std::string_view text, double& out) {
  if (text.empty()) return false;
  if (!is_digit(text[0]) && text[0] != '.') {
    out = std::numeric_limits<double>::infinity();
    return equals_ignoring_case(text, "inf") || equals_ignoring_case(text, "infinity");
  }
  if (text.size() > 1 && text[0] == '0' && lower(text[1]) == 'x') {
    return parse_hex(text.substr(2), out);
  }
  const char* end = text.data() + text.size();
  const auto [ptr, error] = std::from_chars(text.data(), end, out);
  if (ptr == end && error == std::errc() && std::isfinite(out)) return true;
  if (error == std::errc() && ptr != end && *ptr != '_') return false;
  return parse_long_decimal(text, out);
}

}  // namespace

bool parse_float(std::string_view text, double& out) {
  if (text.empty()) return false;
  if (text[0] != '-' && text[0] != '+') {
    if (equals_ignoring_case(text, "nan")) {
      out = std::numeric_limits<double>::quiet_NaN();
      return true;
    }
    return parse_unsigned(text, out);
  }
  const bool negative = text[0] == '-';
  text.remove_prefix(1);
  if (!parse_unsigned(text, out)) return false;
  if (negative) out = -out;
  return true;
}

bool parse_int(std::string_view text, int64_t& out) {
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) return false;
  }
  const char* end = text.data() + text.size();
  int64_t value = 0;
  const auto [ptr, error] = std::from_chars(text.data(), end, value);
  if (ptr != end || error != std::errc()) return false;
  out = value;
  return true;
}

}  // namespace penstock::dogstatsd

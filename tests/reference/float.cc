#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "tests/reference/dogstatsd_reference.h"

namespace penstock::reference {
namespace {

bool is_decimal_digit(char c) { return c >= '0' && c <= '9'; }

bool is_hex_digit(char c) {
  return is_decimal_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

std::string lower_case(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

// The grammar of 5.3, one function to one of its words. Each eats what it recognises from the
// front.
class Recogniser {
 public:
  explicit Recogniser(const std::string& text) : rest_(text) {}

  // number = [sign] (hexadecimal / decimal), and nothing after
  bool number() {
    sign();
    const bool ok = eat("0x") || eat("0X") ? hexadecimal() : decimal();
    return ok && rest_.empty();
  }

 private:
  bool eat(const std::string& text) {
    if (rest_.compare(0, text.size(), text) != 0) return false;
    rest_.erase(0, text.size());
    return true;
  }

  void sign() {
    if (!eat("+")) eat("-");
  }

  // digits = digit *(["_"] digit): an underscore stands between two digits only.
  // Returns how many digits there were.
  int digits(bool (*is_digit)(char)) {
    int count = 0;
    while (true) {
      if (!rest_.empty() && is_digit(rest_[0])) {
        rest_.erase(0, 1);
      } else if (count > 0 && rest_.size() >= 2 && rest_[0] == '_' && is_digit(rest_[1])) {
        rest_.erase(0, 2);
      } else {
        return count;
      }
      ++count;
    }
  }

  // mantissa = digits ["." [digits]] / "." digits
  bool mantissa(bool (*is_digit)(char)) {
    int count = digits(is_digit);
    if (eat(".")) count += digits(is_digit);
    return count > 0;
  }

  // exponent = letter [sign] digits; its digits are decimal in both bases
  bool exponent(const std::string& lower, const std::string& upper) {
    if (!eat(lower) && !eat(upper)) return false;
    sign();
    return digits(is_decimal_digit) > 0;
  }

  // decimal = mantissa [exponent]
  bool decimal() {
    if (!mantissa(is_decimal_digit)) return false;
    return rest_.empty() || exponent("e", "E");
  }

  // hexadecimal = ["_" before a digit] mantissa exponent; the exponent is mandatory
  bool hexadecimal() {
    if (rest_.size() >= 2 && rest_[0] == '_' && is_hex_digit(rest_[1])) rest_.erase(0, 1);
    return mantissa(is_hex_digit) && exponent("p", "P");
  }

  std::string rest_;
};

// A recognised hexadecimal number without underscores. By hand, because strtod of glibc 2.36 rounds
// some denormal ones wrongly (0x1.ffffffffffffd8p-1023). 26 digits and one bit for all behind them
// fit exactly into the 113 bits of a quadruple, whose conversion to double rounds once.
double hexadecimal_value(std::string text) {
  const bool negative = text[0] == '-';
  if (text[0] == '-' || text[0] == '+') text.erase(0, 1);
  const size_t p = text.find('p');
  const std::string mantissa = text.substr(2, p - 2);
  constexpr long kEnough = 1'000'000'000;  // more than the digits of any message can make good
  long exponent = std::clamp(std::strtol(text.c_str() + p + 1, nullptr, 10), -kEnough, kEnough);
  __float128 value = 0;
  int digits = 0;
  bool rest = false;
  bool fraction = false;
  for (const char c : mantissa) {
    if (c == '.') {
      fraction = true;
      continue;
    }
    const int digit = c <= '9' ? c - '0' : c - 'a' + 10;
    if (digits < 26) {
      value = value * 16 + digit;
      if (digits > 0 || digit != 0) ++digits;
      if (fraction) exponent -= 4;
    } else {
      rest = rest || digit != 0;
      if (!fraction) exponent += 4;
    }
  }
  value = value * 2 + (rest ? 1 : 0);
  --exponent;
  if (value == 0) return negative ? -0.0 : 0.0;
  constexpr __float128 kHuge = __float128{0x1p1000} * 0x1p100;    // overflows a double
  constexpr __float128 kTiny = __float128{0x1p-1000} * 0x1p-300;  // far below half a denormal
  for (; exponent > 0 && value < kHuge; --exponent) value *= 2;
  for (; exponent < 0 && value > kTiny; ++exponent) value /= 2;
  return static_cast<double>(negative ? -value : value);
}

}  // namespace

std::optional<double> parse_float(const std::string& text) {
  const std::string lower = lower_case(text);
  const double infinity = std::numeric_limits<double>::infinity();
  if (lower == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (lower == "inf" || lower == "+inf") return infinity;
  if (lower == "infinity" || lower == "+infinity") return infinity;
  if (lower == "-inf" || lower == "-infinity") return -infinity;

  if (!Recogniser(text).number()) return std::nullopt;
  std::string plain = text;
  plain.erase(std::remove(plain.begin(), plain.end(), '_'), plain.end());
  // glibc rounds decimals correctly; the tests run in the C locale, so the point is a point.
  const bool hexadecimal = lower.find("0x") != std::string::npos;
  const double value =
      hexadecimal ? hexadecimal_value(lower_case(plain)) : std::strtod(plain.c_str(), nullptr);
  if (std::isinf(value)) return std::nullopt;  // overflow; underflow is a value
  return value;
}

}  // namespace penstock::reference

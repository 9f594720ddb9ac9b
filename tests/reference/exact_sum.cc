#include "tests/reference/exact_sum.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace penstock::reference {
namespace {

constexpr int64_t kBase = int64_t{1} << 32;

void carry(std::array<int64_t, 72>& digits) {
  for (size_t i = 0; i + 1 < digits.size(); ++i) {
    digits[i + 1] += digits[i] >> 32;  // rounds down, so that the rest is not negative
    digits[i] &= kBase - 1;
  }
}

}  // namespace

void ExactSum::add_product(double value, uint64_t times) {
  if (!std::isfinite(value)) {
    finite_ = false;
    return;
  }
  int exponent = 0;
  const double fraction = std::frexp(std::fabs(value), &exponent);  // in [0.5, 1), or 0
  // |value| is whole * 2^(exponent - 53). A denormal has zeros at the end of `whole`.
  const auto whole = static_cast<uint64_t>(std::ldexp(fraction, 53));
  const int position = exponent - 53 + kPoint;
  unsigned __int128 rest = static_cast<unsigned __int128>(whole) * times;
  rest <<= position % 32;
  for (size_t i = static_cast<size_t>(position / 32); rest != 0; ++i) {
    const auto low = static_cast<int64_t>(rest & (kBase - 1));
    digits_[i] += value < 0 ? -low : low;
    rest >>= 32;
  }
  carry(digits_);
}

double ExactSum::divided_by(uint64_t divisor) const {
  if (!finite_) return std::numeric_limits<double>::infinity();
  std::array<int64_t, 72> digits = digits_;
  const bool negative = digits.back() < 0;
  if (negative) {
    for (int64_t& digit : digits) digit = -digit;
    carry(digits);
  }
  // As on paper, from the highest digit down. What remains is less than the lowest digit can show.
  unsigned __int128 remainder = 0;
  for (size_t i = digits.size(); i-- > 0;) {
    remainder = (remainder << 32) + static_cast<uint64_t>(digits[i]);
    digits[i] = static_cast<int64_t>(remainder / divisor);
    remainder %= divisor;
  }
  const auto bit = [&](int i) { return (digits[static_cast<size_t>(i / 32)] >> (i % 32)) & 1; };
  int high = 72 * 32 - 1;
  while (high >= 0 && bit(high) == 0) --high;
  if (high < 0) return 0;
  // 53 bits, fewer where even the smallest denormal (2^-1074) is more.
  const int low = std::max(high - 52, kPoint - 1074);
  uint64_t kept = 0;
  for (int i = high; i >= low; --i) kept = kept * 2 + static_cast<uint64_t>(bit(i));
  bool below_half = remainder != 0;
  for (int i = 0; i < low - 1; ++i) below_half = below_half || bit(i) != 0;
  if (bit(low - 1) != 0 && (below_half || kept % 2 == 1)) ++kept;
  const double magnitude = std::ldexp(static_cast<double>(kept), low - kPoint);
  return negative ? -magnitude : magnitude;
}

}  // namespace penstock::reference

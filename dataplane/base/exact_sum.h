#pragma once

#include <cmath>
#include <cstdint>

namespace penstock {

// A sum of doubles that does not depend on the order of the additions, nor on how they were spread
// over shards: the rounded value and what rounding left out, renormalised at each step (Knuth's
// TwoSum). Exact, and `value` rounded once, as long as the largest partial sum is at most 2^54
// times the smallest term; beyond that off by less than 2^-104 of the largest partial sum. A
// partial sum beyond the range of a double stays infinite or NaN.
//
// All zero is the empty sum, so that it may lie in zeroed memory.
struct ExactSum {
  double high;  // the sum, rounded
  double low;   // at most half a unit in the last place of `high`

  ExactSum() = default;
  constexpr ExactSum(double term) : high(term), low(0) {}  // NOLINT: a number is a sum of one term
  constexpr ExactSum(double high, double low) : high(high), low(low) {}
  bool operator==(const ExactSum&) const = default;

  void add(double term) {
    const double sum = high + term;
    if (!std::isfinite(sum)) [[unlikely]] {
      *this = {sum, 0};
      return;
    }
    const double part = sum - high;
    const double lost = (high - (sum - part)) + (term - part) + low;
    high = sum + lost;
    low = lost - (high - sum);
  }
  void add(const ExactSum& other) {
    add(other.high);
    add(other.low);
  }
  [[nodiscard]] double value() const { return high; }
  // The sum over `divisor` (not 0), rounded once.
  [[nodiscard]] double over(uint64_t divisor) const {
    const auto n = static_cast<double>(divisor);
    const double quotient = high / n;
    if (!std::isfinite(quotient)) return quotient;
    return quotient + (std::fma(-quotient, n, high) + low) / n;  // and what the quotient leaves
  }
};

}  // namespace penstock

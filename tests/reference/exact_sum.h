// Sums of doubles without any rounding until the end ("sums" of the differences from the Agent): a
// fixed-point number wide enough for every double and for as many as memory holds.
#pragma once

#include <array>
#include <cstdint>

namespace penstock::reference {

class ExactSum {
 public:
  void add(double value) { add_product(value, 1); }
  // Adds value * times, exactly. `times` is at most 2^40.
  void add_product(double value, uint64_t times);
  // The nearest double, ties to even; infinite when beyond, or when an infinity or NaN was added.
  double rounded() const { return divided_by(1); }
  // The same of the sum over `divisor` (1 to 2^63), which is rounded once, too.
  double divided_by(uint64_t divisor) const;

 private:
  // Digit i stands for digits_[i] * 2^(32 * i - kPoint); all but the last are in [0, 2^32), and the
  // last carries the sign.
  static constexpr int kPoint = 1152;
  std::array<int64_t, 72> digits_{};
  bool finite_ = true;
};

}  // namespace penstock::reference

#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace penstock {

// The bins of the Agent's distribution sketch (spec 8.6): bin k > 0 holds the values around
// gamma^(k - bias), negative keys mirror positive ones, 0 holds what is nearer to zero than that.

inline constexpr double kSketchLogGamma = 0.015504186535965254;  // ln(1 + 2/128)
inline constexpr int kSketchBias = 1338;
inline constexpr double kSketchMinNormal = 9.94185408912145e-10;  // gamma^(1 - bias)
inline constexpr int16_t kSketchMaxKey = 32766;
inline constexpr int16_t kSketchInfinityKey = 32767;
inline constexpr size_t kSketchBinsMax = 4096;

// The bin of `value`; of a NaN, 0.
inline int16_t sketch_key(double value) {
  if (value < 0) return static_cast<int16_t>(-sketch_key(-value));
  if (!(value >= kSketchMinNormal)) return 0;
  // Rounds half to even, as the floating-point environment does by default.
  const double key = std::nearbyint(std::log(value) / kSketchLogGamma) + kSketchBias;
  if (key > kSketchMaxKey) return kSketchInfinityKey;
  return key < 1 ? int16_t{1} : static_cast<int16_t>(key);
}

// The value that stands for a bin: its lower bound in the specification, which, as keys round, lies
// in the (geometric) middle of the values that fall into the bin. Infinite for the infinity key.
inline double sketch_value(int key) {
  if (key < 0) return -sketch_value(-key);
  if (key == 0) return 0;
  if (key >= kSketchInfinityKey) return std::numeric_limits<double>::infinity();
  return std::exp((key - kSketchBias) * kSketchLogGamma);
}

}  // namespace penstock

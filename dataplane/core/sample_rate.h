#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "dataplane/api/segment.h"

namespace penstock {

// How often a sample counts: 1 / rate, or 1 where the type takes no rate.
struct InverseRate {
  double value;
  bool bad;  // the rate as sent could not be followed
};

// A rate outside (0, 1], NaN, or too small to invert counts as 1 (architecture, section 12). No
// sample of a histogram or distribution counts for more than a stored weight can say.
inline InverseRate inverse_of(segment::Kind kind, double rate) {
  constexpr double kWeightMax = std::numeric_limits<uint32_t>::max();
  if (kind == segment::Kind::kGauge || kind == segment::Kind::kSet) return {1, false};
  const double inverse = 1 / rate;
  if (!(rate > 0 && rate <= 1) || !std::isfinite(inverse)) return {1, true};
  if (kind != segment::Kind::kCounter && inverse > kWeightMax) return {kWeightMax, true};
  return {inverse, false};
}

}  // namespace penstock

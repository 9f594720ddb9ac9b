#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "dataplane/api/segment.h"
#include "parsers/dogstatsd/message.h"

namespace penstock {

// How a type is aggregated (spec 5.2).
inline segment::Kind kind_of(dogstatsd::Type type) {
  using dogstatsd::Type;
  using segment::Kind;
  switch (type) {
    case Type::kCount:
      return Kind::kCounter;
    case Type::kGauge:
      return Kind::kGauge;
    case Type::kSet:
      return Kind::kSet;
    case Type::kHistogram:
    case Type::kTiming:
      return Kind::kHistogram;
    case Type::kDistribution:
      return Kind::kDistribution;
  }
  return Kind::kCounter;
}

// What one sample stands for.
struct SampleRate {
  double inverse = 1;
  bool bad = false;  // the rate as sent could not be used as it is
};

// A rate outside (0, 1] or NaN counts as 1 (architecture, section 12), where the type uses it at
// all (spec 5.6). No sample of a histogram or distribution counts for more than a stored weight can
// say; in a counter, a rate too small to invert counts as 1.
inline SampleRate sample_rate(segment::Kind kind, double rate) {
  constexpr double kWeightMax = std::numeric_limits<uint32_t>::max();
  if (kind == segment::Kind::kGauge || kind == segment::Kind::kSet) return {};
  const double inverse = 1 / rate;
  if (!(rate > 0 && rate <= 1)) return {1, true};
  if (kind != segment::Kind::kCounter && inverse > kWeightMax) return {kWeightMax, true};
  return std::isfinite(inverse) ? SampleRate{inverse, false} : SampleRate{1, true};
}

}  // namespace penstock

#pragma once

#include <cstdint>
#include <string>

#include "controlplane/exporters/points.h"

namespace penstock {

// Encodes points as JSON, one object a line. docs/json-lines.md documents the format, which is
// stable: keys are added at most.
class JsonLinesEncoder : public PointSink {
 public:
  // Appends to `out`, which outlives the encoder.
  explicit JsonLinesEncoder(std::string& out) : out_(out) {}

  void series(const SeriesPoint& point) override;
  void sketch(const SketchPoint& point) override;
  void event(const segment::Event& event) override;
  void service_check(const segment::ServiceCheck& check) override;

  // Points that were left out because a value is infinite or NaN, which JSON cannot say.
  [[nodiscard]] uint64_t not_finite() const { return not_finite_; }

 private:
  std::string& out_;
  uint64_t not_finite_ = 0;
};

}  // namespace penstock

#pragma once

#include <string_view>
#include <vector>

#include "dataplane/api/plan.h"
#include "dataplane/api/segment.h"
#include "dataplane/core/carry.h"
#include "dataplane/core/enrich.h"
#include "parsers/simd/kernel.h"

namespace penstock {

// Enriches the messages of a carry buffer and writes them as rows. Keeper's thread.
class CarryWriter {
 public:
  // `plan` outlives the writer.
  explicit CarryWriter(const Plan& plan);

  void write(const CarryBuffer& carry, segment::Writer& writer);

 private:
  void write_metric(std::string_view line, segment::Writer& writer);
  void write_event(const CarryBuffer::Record& record, std::string_view line,
                   segment::Writer& writer);
  void write_check(const CarryBuffer::Record& record, std::string_view line,
                   segment::Writer& writer);

  const simd::Kernel& kernel_;
  const dogstatsd::Options options_;
  Enricher enricher_;
  std::vector<double> values_;
  std::vector<char> title_, text_;
};

}  // namespace penstock

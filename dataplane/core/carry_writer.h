#pragma once

#include <string_view>
#include <vector>

#include "dataplane/api/plan.h"
#include "dataplane/api/segment.h"
#include "dataplane/core/carry.h"
#include "dataplane/core/enrich.h"
#include "dataplane/core/late_sketches.h"
#include "dataplane/core/senders.h"
#include "parsers/simd/kernel.h"

namespace penstock {

// Enriches the messages of a carry buffer and writes them as rows; timestamped histogram samples,
// which are there to be copied (spec 8.5), go to the late sketches instead. Keeper's thread.
class CarryWriter {
 public:
  // `plan` and `senders` (see Shard) outlive the writer.
  explicit CarryWriter(const Plan& plan, const Senders* senders = nullptr);

  void write(const CarryBuffer& carry, segment::Writer& writer);

  // Adds the copies of timestamped histogram samples to `late`, and returns how many values it had
  // no room for.
  uint64_t copy(const CarryBuffer& carry, LateSketches& late);

 private:
  struct Parsed {
    std::string_view name;
    dogstatsd::Metric metric;
  };
  Parsed parse(std::string_view line);
  void note_sender(const CarryBuffer::Record& record);
  uint64_t copy(const Parsed& line, LateSketches& late);
  void write_metric(std::string_view line, segment::Writer& writer);
  void write_event(const CarryBuffer::Record& record, std::string_view line,
                   segment::Writer& writer);
  void write_check(const CarryBuffer::Record& record, std::string_view line,
                   segment::Writer& writer);

  const simd::Kernel& kernel_;
  const dogstatsd::Options options_;
  const Senders* const senders_;
  const int64_t interval_s_;
  const std::string_view copy_prefix_;
  Enricher enricher_;
  std::vector<char> copy_key_;
  std::vector<double> values_;
  std::vector<char> title_, text_;
};

}  // namespace penstock

#pragma once

#include <string>

#include "dataplane/api/segment.h"
#include "tools/penstockctl/output.h"

namespace penstock {

// Appends the header of a Segment of `bytes` bytes as one line of JSON (docs/segment.md).
void append_segment_header(std::string& out, const segment::Reader& segment, size_t bytes);

// Prints each row, with all its state, as one line of JSON (docs/segment.md).
class SegmentRows : public segment::Reader::Visitor {
 public:
  // `output` outlives it.
  explicit SegmentRows(Output& output) : output_(output), out_(output.text()) {}

  void counter(const segment::Context& c, ExactSum sum) override;
  void gauge(const segment::Context& c, double value, int64_t time_ms, uint32_t shard) override;
  void set(const segment::Context& c, std::span<const uint64_t> members) override;
  void histogram(const segment::Context& c, const segment::Summary& s,
                 std::span<const segment::WeightedValue> values,
                 std::span<const segment::Bin> bins) override;
  void distribution(const segment::Context& c, const segment::Summary& s,
                    std::span<const segment::Bin> bins) override;
  void timestamped(segment::Kind kind, const segment::Context& c, int64_t timestamp,
                   double value) override;
  void event(const segment::Event& e) override;
  void service_check(const segment::ServiceCheck& c) override;

 private:
  void context(std::string_view row, const segment::Context& c);
  void end();

  Output& output_;
  std::string& out_;
};

}  // namespace penstock

#pragma once

#include <functional>
#include <string>
#include <vector>

#include "dataplane/api/segment.h"

namespace penstock {

// A Segment in memory, with a reader on it.
class TestSegment {
 public:
  explicit TestSegment(const std::function<void(segment::Writer&)>& write, uint64_t sequence = 1)
      : bytes_(build(write, sequence)), reader_(*segment::Reader::open(bytes_)) {}

  [[nodiscard]] const segment::Reader& reader() const { return reader_; }

 private:
  static std::vector<std::byte> build(const std::function<void(segment::Writer&)>& write,
                                      uint64_t sequence) {
    segment::Writer w({.instance = 1,
                       .sequence = sequence,
                       .bucket_start = 1700000000,
                       .interval_s = 10,
                       .samples = 0});
    write(w);
    return w.finish(1);
  }

  std::vector<std::byte> bytes_;
  segment::Reader reader_;
};

}  // namespace penstock

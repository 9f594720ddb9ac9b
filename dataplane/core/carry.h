#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "dataplane/core/lazy_array.h"
#include "parsers/simd/kernel.h"

namespace penstock {

// Messages that are not aggregated - events, service checks, timestamped samples - as they came,
// until the keeper enriches them and writes them into the Segment. They passed the parser. Bounded
// in what they take here and, since a value of two bytes becomes a row of some twenty while the
// Segment is written, in half of what they take there. One for each generation.
class CarryBuffer {
 public:
  struct Record {
    int64_t time_ms;  // arrival, Unix
    uint32_t origin;
    uint32_t size;
    dogstatsd::Class what;
  };

  explicit CarryBuffer(uint64_t bytes) : limit_(bytes), bytes_(bytes + simd::kPadding) {}

  // Of a metric with `values`. False: full.
  bool add(const Record& record, std::string_view line, size_t values = 0) {
    const size_t size = padded(line.size());
    const size_t charge = size + values * kValueBytes;
    if (charge > limit_ - charged_) return false;
    charged_ += charge;
    std::memcpy(bytes_.data() + used_, &record, sizeof record);
    std::memcpy(bytes_.data() + used_ + sizeof record, line.data(), line.size());
    used_ += size;
    return true;
  }

  // Calls `fn(const Record&, std::string_view line)` for each, in order of arrival. What follows a
  // line is readable as a kernel wants it.
  template <class Fn>
  void for_each(Fn&& fn) const {
    for (size_t at = 0; at < used_;) {
      Record record;
      std::memcpy(&record, bytes_.data() + at, sizeof record);
      fn(record, std::string_view(bytes_.data() + at + sizeof record, record.size));
      at += padded(record.size);
    }
  }

  void clear() { used_ = charged_ = 0; }

 private:
  // With the two of the value itself, half of what it takes there.
  static constexpr size_t kValueBytes = 8;

  static size_t padded(size_t line) { return sizeof(Record) + (line + 7) / 8 * 8; }

  const size_t limit_;
  LazyArray<char> bytes_;
  size_t used_ = 0;
  size_t charged_ = 0;  // at least used_
};

}  // namespace penstock

#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "dataplane/core/lazy_array.h"
#include "parsers/simd/kernel.h"

namespace penstock {

// Messages that are not aggregated - events, service checks, timestamped samples - as they came,
// until the keeper enriches them and writes them into the Segment. They passed the parser. Bounded;
// one for each generation.
class CarryBuffer {
 public:
  struct Record {
    int64_t time_ms;  // arrival, Unix
    uint32_t origin;
    uint32_t size;
    dogstatsd::Class what;
  };

  explicit CarryBuffer(uint64_t bytes) : limit_(bytes), bytes_(bytes + simd::kPadding) {}

  // False: full.
  bool add(const Record& record, std::string_view line) {
    const size_t size = padded(line.size());
    if (size > limit_ - used_) return false;
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

  void clear() { used_ = 0; }
  [[nodiscard]] bool empty() const { return used_ == 0; }

 private:
  static size_t padded(size_t line) { return sizeof(Record) + (line + 7) / 8 * 8; }

  const size_t limit_;
  LazyArray<char> bytes_;
  size_t used_ = 0;
};

}  // namespace penstock

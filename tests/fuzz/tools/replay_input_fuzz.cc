// Recordings of any bytes. Every record is good or named, packets fit a packet, times are in range,
// and the input ends.
#include <cstdlib>
#include <string>

#include "tools/replay/input.h"

namespace {

using penstock::replay::Bytes;
using penstock::replay::Record;

constexpr int64_t kYear10000Ms = 253402300800'000;

void check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (text.starts_with("\x28\xb5\x2f\xfd")) return 0;  // libzstd's own business
  const auto input = penstock::replay::open_input(Bytes::of(text), {8125});
  if (!input.ok()) return 0;
  Record record;
  for (size_t records = 0;; ++records) {
    check(records <= size);
    const auto more = (*input)->next(record);
    if (!more.ok() || !*more) return 0;
    check(!record.timed || (record.time_ms >= 0 && record.time_ms < kYear10000Ms));
    check(record.timed || !record.error.empty());
    check(record.packet.size() <= size && record.container.size() <= size);
  }
}

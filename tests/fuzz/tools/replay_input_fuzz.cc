// Recordings of any bytes. Every record is good or named, packets fit a packet, times are in range,
// the input ends, and by then every frame has been told once.
#include <cstdlib>
#include <string>

#include "tools/replay/input.h"

namespace {

using penstock::packet::Verdict;
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
  uint64_t read = 0, told = 0;  // frames
  for (size_t records = 0;; ++records) {
    check(records <= size);
    const auto more = (*input)->next(record);
    if (!more.ok() || !*more) break;
    // The only ones that are nothing of the file: fragments to which nothing came.
    const bool given_up = !record.timed && record.error.empty();
    check(!given_up || (record.verdict == Verdict::kFragment && record.packet.empty()));
    check(!record.timed || (record.time_ms >= 0 && record.time_ms < kYear10000Ms));
    check(record.packet.size() <= size && record.container.size() <= size);
    if (!given_up) ++read;
    told += record.frames;
    check(told <= read);
  }
  check(told == read);
  return 0;
}

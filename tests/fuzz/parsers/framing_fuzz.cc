#include <algorithm>
#include <cstdint>
#include <string_view>

#include "tests/support/framing_reference.h"

// A byte stream in any fragmentation against the same stream as a whole. The first byte chooses
// frames or lines and the limit, the second how many bytes follow that say where inputs end.

namespace penstock::framing {
namespace {

template <class Splitter>
Outcome split(std::string_view stream, std::string_view lengths, uint32_t max) {
  Feeder<Splitter> feeder(max);
  for (size_t i = 0; !stream.empty(); ++i) {
    const size_t n = lengths.empty() ? max : static_cast<uint8_t>(lengths[i % lengths.size()]) + 1;
    const std::string_view input = stream.substr(0, std::min<size_t>(n, max));
    if (!feeder.feed(input)) break;
    stream.remove_prefix(input.size());
  }
  return feeder.outcome();
}

}  // namespace
}  // namespace penstock::framing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock::framing;  // NOLINT
  if (size < 2) return 0;
  const bool lines = (data[0] & 1) != 0;
  const uint32_t max = 1 + data[0] / 2;
  std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::string_view lengths = rest.substr(0, data[1] % 16);
  rest.remove_prefix(lengths.size());
  const bool equal = lines ? split<LineSplitter>(rest, lengths, max) == lines_of(rest, max)
                           : split<FrameSplitter>(rest, lengths, max) == frames_of(rest, max);
  if (!equal) __builtin_trap();
  return 0;
}

#include "parsers/framing/line_splitter.h"

#include <cstring>
#include <utility>

namespace penstock::framing {
namespace {

// Bytes up to and including the first or last line feed; 0 if there is none.
size_t to_first_end(std::span<const uint8_t> input) {
  const void* at = input.empty() ? nullptr : std::memchr(input.data(), '\n', input.size());
  return at == nullptr ? 0 : static_cast<const uint8_t*>(at) - input.data() + 1;
}
size_t to_last_end(std::span<const uint8_t> input) {
  size_t n = input.size();
  while (n != 0 && input[n - 1] != '\n') --n;
  return n;
}

}  // namespace

Step LineSplitter::next(std::span<const uint8_t>& input, uint8_t* storage) {
  if (skipping_) {
    const size_t n = to_first_end(input);
    skipping_ = n == 0;
    input = input.subspan(skipping_ ? input.size() : n);
    if (!skipping_ && std::exchange(cut_off_, false)) return {Found::kCutOff, {}};
  }
  if (input.empty()) return {Found::kMore, {}};
  return filled_ != 0 ? finish_line(input, storage) : whole_lines(input, storage);
}

Step LineSplitter::finish_line(std::span<const uint8_t>& input, uint8_t* storage) {
  const size_t end = to_first_end(input);
  const size_t n = end == 0 ? input.size() : end;
  // A line that is full and not at its end cannot end within the limit.
  if (filled_ + n + (end == 0 ? 1 : 0) > max_) return too_long();
  std::memcpy(storage + filled_, input.data(), n);
  filled_ += static_cast<uint32_t>(n);
  input = input.subspan(n);
  if (end == 0) return {Found::kMore, {}};
  const Step line{Found::kAssembled, {storage, filled_}};
  filled_ = 0;
  return line;
}

Step LineSplitter::whole_lines(std::span<const uint8_t>& input, uint8_t* storage) {
  if (const size_t n = to_last_end(input); n != 0) {
    const Step lines{Found::kPayload, input.first(n)};
    input = input.subspan(n);
    return lines;
  }
  if (input.size() >= max_) return too_long();
  if (storage == nullptr) return {Found::kNeedsStorage, {}};
  std::memcpy(storage, input.data(), input.size());
  filled_ = static_cast<uint32_t>(input.size());
  input = {};
  return {Found::kMore, {}};
}

Step LineSplitter::too_long() {
  filled_ = 0;
  skipping_ = true;
  return {Found::kTooLong, {}};
}

}  // namespace penstock::framing

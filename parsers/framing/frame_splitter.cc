#include "parsers/framing/frame_splitter.h"

#include <algorithm>
#include <cstring>

namespace penstock::framing {

void FrameSplitter::take_header(std::span<const uint8_t>& input) {
  const size_t n = std::min(header_.size() - header_filled_, input.size());
  std::copy_n(input.begin(), n, header_.begin() + header_filled_);
  header_filled_ += static_cast<uint8_t>(n);
  input = input.subspan(n);
  length_ = uint32_t{header_[0]} | uint32_t{header_[1]} << 8 | uint32_t{header_[2]} << 16 |
            uint32_t{header_[3]} << 24;
}

Step FrameSplitter::next(std::span<const uint8_t>& input, uint8_t* storage) {
  if (header_filled_ < header_.size()) {
    take_header(input);
    if (header_filled_ < header_.size()) return {Found::kMore, {}};
    if (length_ == 0) return {Found::kEmpty, {}};
    if (length_ > max_) return {Found::kTooLong, {}};
  }
  if (filled_ == 0 && input.size() >= length_) {
    const Step whole{Found::kPayload, input.first(length_)};
    input = input.subspan(length_);
    header_filled_ = 0;
    return whole;
  }
  if (input.empty()) return {Found::kMore, {}};
  if (storage == nullptr) return {Found::kNeedsStorage, {}};
  const size_t n = std::min<size_t>(length_ - filled_, input.size());
  std::memcpy(storage + filled_, input.data(), n);
  filled_ += static_cast<uint32_t>(n);
  input = input.subspan(n);
  if (filled_ < length_) return {Found::kMore, {}};
  filled_ = 0;
  header_filled_ = 0;
  return {Found::kAssembled, {storage, length_}};
}

}  // namespace penstock::framing

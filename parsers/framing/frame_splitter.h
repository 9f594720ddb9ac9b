#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "parsers/framing/step.h"

namespace penstock::framing {

// Frames of a Unix stream connection: a length of 4 bytes, little endian, then so many bytes, which
// are one packet (spec 2.4).
class FrameSplitter {
 public:
  // `max`: the most bytes a frame may hold.
  explicit FrameSplitter(uint32_t max) : max_(max) {}

  // Finds the next packet in `input`, and takes what it used off its front. Call until kMore.
  // `storage` has room for `max` bytes, or is null; it must be the same one from the call that
  // asked for it until kAssembled. kEmpty and kTooLong are the end: what follows cannot be split.
  Step next(std::span<const uint8_t>& input, uint8_t* storage);

  // Whether a frame, its length included, has begun and not ended.
  [[nodiscard]] bool inside() const { return header_filled_ != 0; }

 private:
  void take_header(std::span<const uint8_t>& input);

  uint32_t max_;
  uint32_t length_ = 0;  // of the frame, once the header is whole
  uint32_t filled_ = 0;  // bytes of it in the storage
  std::array<uint8_t, 4> header_{};
  uint8_t header_filled_ = 0;
};

}  // namespace penstock::framing

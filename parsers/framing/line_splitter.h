#pragma once

#include <cstdint>
#include <span>

#include "parsers/framing/step.h"

namespace penstock::framing {

// Lines of a pipe. What lies up to the last line feed of an input is one packet; the rest is kept
// until the next input ends its line (spec 2.5). A line of more than `max` bytes, its line feed
// included, is thrown away up to its line feed: kTooLong, once, when it is found to be too long.
class LineSplitter {
 public:
  explicit LineSplitter(uint32_t max) : max_(max) {}

  // As FrameSplitter::next, but that kTooLong is not the end. No `input` is longer than `max`.
  Step next(std::span<const uint8_t>& input, uint8_t* storage);

  // The beginning of the next line is lost: what comes up to the next line feed is no line of its
  // own, and is thrown away: kCutOff.
  void skip_line() { skipping_ = cut_off_ = true; }

  // Whether a line has begun and not ended; one that is being thrown away has been told of.
  [[nodiscard]] bool inside() const { return filled_ != 0; }

 private:
  Step finish_line(std::span<const uint8_t>& input, uint8_t* storage);
  Step whole_lines(std::span<const uint8_t>& input, uint8_t* storage);
  Step too_long();

  uint32_t max_;
  uint32_t filled_ = 0;    // bytes of the unfinished line in the storage
  bool skipping_ = false;  // throwing away up to the next line feed
  bool cut_off_ = false;   // and not told of yet
};

}  // namespace penstock::framing

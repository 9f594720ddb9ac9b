#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "parsers/framing/frame_splitter.h"
#include "parsers/framing/line_splitter.h"

namespace penstock::framing {

// What a splitter made of a byte stream, or should make of it.
struct Outcome {
  std::vector<std::string> packets;  // of frames: each; of lines: one a line, however they came
  size_t too_long = 0;
  bool empty = false;   // ended by a frame of no bytes
  bool inside = false;  // the stream ends within a packet
  bool operator==(const Outcome&) const = default;
};

// The rules of spec 2.4 over a stream as a whole.
inline Outcome frames_of(std::string_view stream, uint32_t max) {
  Outcome out;
  while (stream.size() >= 4) {
    uint32_t length = 0;
    for (int i = 3; i >= 0; --i) length = length << 8 | static_cast<uint8_t>(stream[i]);
    out.empty = length == 0;
    out.too_long = length > max ? 1 : 0;
    if (out.empty || out.too_long != 0) {
      out.inside = true;  // for ever
      return out;
    }
    if (stream.size() - 4 < length) break;
    out.packets.emplace_back(stream.substr(4, length));
    stream.remove_prefix(4 + length);
  }
  out.inside = !stream.empty();
  return out;
}

// The rules of spec 2.5.
inline Outcome lines_of(std::string_view stream, uint32_t max) {
  Outcome out;
  while (!stream.empty()) {
    const size_t end = stream.find('\n');
    const std::string_view line = stream.substr(0, end == stream.npos ? end : end + 1);
    const bool whole = end != stream.npos;
    if (line.size() + (whole ? 0 : 1) > max) {
      ++out.too_long;
    } else if (whole) {
      out.packets.emplace_back(line);
    } else {
      out.inside = true;
    }
    stream.remove_prefix(line.size());
  }
  return out;
}

// Feeds a splitter one input after the other. Every input is a heap block of its own, and there is
// a new storage for every packet, of no more than `max` bytes: a sanitizer sees what goes beyond.
template <class Splitter>
class Feeder {
 public:
  explicit Feeder(uint32_t max) : max_(max), splitter_(max) {}

  // False once the stream has ended before its time.
  bool feed(std::string_view bytes) {
    const std::vector<uint8_t> copy(bytes.begin(), bytes.end());
    std::span<const uint8_t> input(copy);
    while (true) {
      const Step step = splitter_.next(input, storage_.get());
      switch (step.found) {
        case Found::kMore:
          if (!input.empty()) __builtin_trap();
          return true;
        case Found::kNeedsStorage:
          if (storage_ != nullptr) __builtin_trap();
          storage_ = std::make_unique<uint8_t[]>(max_);
          break;
        case Found::kPayload:
        case Found::kAssembled:
          add({reinterpret_cast<const char*>(step.payload.data()), step.payload.size()});
          if (step.found == Found::kAssembled) storage_.reset();
          break;
        case Found::kEmpty:
          out_.empty = true;
          return false;
        case Found::kTooLong:
          ++out_.too_long;
          if (std::is_same_v<Splitter, FrameSplitter>) return false;
          break;
        case Found::kCutOff:
          __builtin_trap();  // nobody said so
      }
    }
  }

  Outcome outcome() {
    out_.inside = splitter_.inside();
    return out_;
  }

 private:
  void add(std::string_view packet) {
    if (packet.empty() || packet.size() > max_) __builtin_trap();
    if constexpr (std::is_same_v<Splitter, LineSplitter>) {
      if (packet.back() != '\n') __builtin_trap();
      for (size_t end; !packet.empty(); packet.remove_prefix(end)) {
        end = packet.find('\n') + 1;
        out_.packets.emplace_back(packet.substr(0, end));
      }
    } else {
      out_.packets.emplace_back(packet);
    }
  }

  uint32_t max_;
  Splitter splitter_;
  std::unique_ptr<uint8_t[]> storage_;
  Outcome out_;
};

}  // namespace penstock::framing

#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace penstock {

// Cuts a stream into lines with bounded memory.
class LineReader {
 public:
  // A line longer than `max` bytes is cut to `max`.
  explicit LineReader(size_t max) : max_(max) {}

  // Calls `fn(std::string_view line, size_t bytes)` for each line that ends in `bytes`, without its
  // `\n` and with its true length.
  template <class Fn>
  void feed(std::string_view bytes, Fn&& fn) {
    for (;;) {
      const size_t newline = bytes.find('\n');
      append(bytes.substr(0, newline));
      if (newline == std::string_view::npos) return;
      bytes.remove_prefix(newline + 1);
      finish(fn);
    }
  }

  // The same for what is left at the end.
  template <class Fn>
  void finish(Fn&& fn) {
    if (bytes_ != 0) fn(std::string_view(line_), bytes_);
    line_.clear();
    bytes_ = 0;
  }

 private:
  void append(std::string_view piece) {
    line_.append(piece.substr(0, max_ - std::min(max_, line_.size())));
    bytes_ += piece.size();
  }

  size_t max_;
  std::string line_;
  size_t bytes_ = 0;
};

}  // namespace penstock

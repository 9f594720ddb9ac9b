#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace penstock::pktgen {

// From `min` to `max`, both included; or one number.
struct Range {
  uint32_t min = 0;
  uint32_t max = 0;

  constexpr Range(uint32_t n) : min(n), max(n) {}  // NOLINT(google-explicit-constructor)
  constexpr Range(uint32_t least, uint32_t most) : min(least), max(most) {}
  bool operator==(const Range&) const = default;
};

// SplitMix64: the same numbers with every compiler and library, which <random>'s distributions do
// not promise, and nothing to set up, so that each context can have one of its own.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t operator()() {
    state_ += 0x9e3779b97f4a7c15;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  // From 0 to n - 1; n is not 0.
  uint64_t below(uint64_t n) { return (*this)() % n; }
  uint32_t in(const Range& range) {
    return range.min + static_cast<uint32_t>(below(uint64_t{1} + range.max - range.min));
  }
  // True in `percent` of 100 cases, to a hundredth.
  bool percent(double percent) { return static_cast<double>(below(10000)) < percent * 100; }
  // Appends `size` characters of `alphabet`.
  void append(std::string& out, size_t size, std::string_view alphabet) {
    for (size_t i = 0; i < size; ++i) out += alphabet[below(alphabet.size())];
  }

 private:
  uint64_t state_;
};

}  // namespace penstock::pktgen

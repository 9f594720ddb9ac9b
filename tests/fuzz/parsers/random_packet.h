// DogStatsD packets made from a seed: mostly well formed, with the lengths, numbers and bytes at
// which a parser can go wrong. For fuzzers and property tests; same seed, same packet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace penstock::differential {

// SplitMix64: small, and the same everywhere (the distributions of <random> are not).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next();
  // 0 to bound - 1; bound at least 1.
  size_t below(size_t bound) { return next() % bound; }
  bool one_in(size_t n) { return below(n) == 0; }
  template <class T, size_t N>
  const T& pick(const T (&from)[N]) {
    return from[below(N)];
  }

 private:
  uint64_t state_;
};

// Often next to a multiple of a vector's width, else short; 0 to about 260.
size_t random_length(Random& random);
// `size` bytes without line feed; mostly letters, seldom separators.
std::string random_text(Random& random, size_t size);
// A text in the neighbourhood of Go's float syntax, mostly inside it.
std::string random_number(Random& random);
// An optional field with its `|`.
std::string random_field(Random& random);
// A message without its line end.
std::string random_line(Random& random);
std::string random_packet(Random& random);

// `_e{title,text}:title|text`, with the lengths written right.
std::string event_of(std::string_view title, std::string_view text);

}  // namespace penstock::differential

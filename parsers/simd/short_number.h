#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

// Up to 16 digits and a point in one vector (SSE4.1), without a branch on their number: the length
// of a value is what a branch predictor cannot learn.
namespace penstock::simd {

// `Ops` makes the code local to its build (see body.h).
template <class Ops>
struct ShortNumber {
  static constexpr size_t kBytes = 16;
  static constexpr size_t kDigits = 15;  // mantissa and power of ten are then exact doubles
  static constexpr double kPowers[kBytes] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                             1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

  // `count` digits as bytes 0 to 9, moved to the end of the vector over the point at `point`, zeros
  // before them. A number without a point is one with a point at its end.
  static __m128i align(__m128i digits, size_t count, uint32_t point) {
    alignas(32) static constexpr int8_t kIndices[2 * kBytes] = {
        -16, -15, -14, -13, -12, -11, -10, -9, -8, -7, -6, -5, -4, -3, -2, -1,
        0,   1,   2,   3,   4,   5,   6,   7,  8,  9,  10, 11, 12, 13, 14, 15};
    const __m128i from = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kIndices + count + 1));
    // Up to the point it is one byte further to the left; -1 gives a zero.
    const __m128i before = _mm_cmpgt_epi8(_mm_set1_epi8(static_cast<char>(point + 1)), from);
    return _mm_shuffle_epi8(digits, _mm_add_epi8(from, before));
  }

  // Sixteen decimal digits, the most significant one first.
  static uint64_t sum(__m128i digits) {
    const __m128i tens = _mm_set1_epi16(0x010a);
    const __m128i hundreds = _mm_set1_epi32(0x00010064);
    const __m128i myriads = _mm_set1_epi32(0x00012710);
    const __m128i twos = _mm_maddubs_epi16(digits, tens);
    const __m128i fours = _mm_madd_epi16(twos, hundreds);
    const __m128i eights = _mm_madd_epi16(_mm_packus_epi32(fours, fours), myriads);
    const auto both = static_cast<uint64_t>(_mm_cvtsi128_si64(eights));
    return (both & 0xffffffff) * 100'000'000 + (both >> 32);
  }

  static bool short_number(const char* text, size_t size, double& out) {
    if (size - 1 >= kBytes) [[unlikely]]
      return false;
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text));
    const __m128i digits = _mm_sub_epi8(bytes, _mm_set1_epi8('0'));
    const __m128i small = _mm_min_epu8(digits, _mm_set1_epi8(9));
    const uint32_t all = (1u << size) - 1;
    const uint32_t is_digit =
        static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(digits, small))) & all;
    const uint32_t is_point =
        static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('.')))) & all;
    const bool one_point = (is_point & (is_point - 1)) == 0;
    const size_t count = size - static_cast<size_t>(__builtin_popcount(is_point));
    const bool number = (is_digit | is_point) == all;
    if (!(number & one_point & (count - 1 < kDigits))) [[unlikely]]
      return false;
    const auto point = static_cast<uint32_t>(__builtin_ctz(is_point | (1u << size)));
    const uint64_t mantissa = sum(align(digits, count, point));
    out = static_cast<double>(static_cast<int64_t>(mantissa)) / kPowers[count - point];
    return true;
  }
};

}  // namespace penstock::simd

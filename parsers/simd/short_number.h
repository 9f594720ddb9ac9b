#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

// A sign, up to 15 digits and a point in one vector (SSE4.1), without a branch on their number: the
// length of a value is what a branch predictor cannot learn.
namespace penstock::simd {

// `Ops` makes the code local to its build (see body.h).
template <class Ops>
struct ShortNumber {
  static constexpr size_t kBytes = 16;
  static constexpr size_t kDigits = 15;  // mantissa and power of ten are then exact doubles

  // All constants in one place, behind one pointer whose target the compiler does not know: it
  // would otherwise make each vector anew with three instructions.
  struct alignas(kBytes) Constants {
    struct Vector {
      uint64_t low, high;
    };
    static constexpr Vector repeat(uint64_t word) { return {word, word}; }
    Vector zeros = repeat(0x3030303030303030);
    Vector nines = repeat(0x0909090909090909);
    Vector points = repeat(0x2e2e2e2e2e2e2e2e);
    Vector tens = repeat(0x010a010a010a010a);
    Vector hundreds = repeat(0x0001006400010064);
    Vector myriads = repeat(0x0001271000012710);
    int8_t indices[2 * kBytes] = {-16, -15, -14, -13, -12, -11, -10, -9, -8, -7, -6,
                                  -5,  -4,  -3,  -2,  -1,  0,   1,   2,  3,  4,  5,
                                  6,   7,   8,   9,   10,  11,  12,  13, 14, 15};
    double powers[kBytes] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                             1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    double signs[2] = {1, -1};
  };
  static constexpr Constants kConstants{};

  static __m128i vector(const typename Constants::Vector& v) {
    return _mm_load_si128(reinterpret_cast<const __m128i*>(&v));
  }

  // `count` digits as bytes 0 to 9, moved to the end of the vector over the point at `point`, zeros
  // before them. A number without a point is one with a point at its end.
  static __m128i align(const Constants& k, __m128i digits, size_t count, uint32_t point) {
    const __m128i from = _mm_loadu_si128(reinterpret_cast<const __m128i*>(k.indices + count + 1));
    // Up to the point it is one byte further to the left; -1 gives a zero.
    const __m128i before = _mm_cmpgt_epi8(_mm_set1_epi8(static_cast<char>(point + 1)), from);
    return _mm_shuffle_epi8(digits, _mm_add_epi8(from, before));
  }

  // Sixteen decimal digits, the most significant one first.
  static int64_t sum(const Constants& k, __m128i digits) {
    const __m128i twos = _mm_maddubs_epi16(digits, vector(k.tens));
    const __m128i fours = _mm_madd_epi16(twos, vector(k.hundreds));
    const __m128i eights = _mm_madd_epi16(_mm_packus_epi32(fours, fours), vector(k.myriads));
    const auto both = static_cast<uint64_t>(_mm_cvtsi128_si64(eights));
    return static_cast<int64_t>((both & 0xffffffff) * 100'000'000 + (both >> 32));
  }

  // False: another kind of number, or none. 64 bytes are readable from `text`, `size` is not 0.
  static bool short_number(const char* text, size_t size, double& out) {
    const Constants* constants = &kConstants;
    __asm__("" : "+r"(constants));
    const Constants& k = *constants;
    const size_t sign = *text == '-' ? 1 : 0;
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + sign));
    size -= sign;
    if (size - 1 >= kBytes) [[unlikely]]
      return false;
    const __m128i digits = _mm_sub_epi8(bytes, vector(k.zeros));
    const __m128i small = _mm_min_epu8(digits, vector(k.nines));
    const uint32_t end = 1u << size;
    const uint32_t all = end - 1;
    const auto is_digit = static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(digits, small)));
    const uint32_t is_point =
        static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, vector(k.points)))) & all;
    if (((is_digit | is_point) & all) != all) [[unlikely]]
      return false;
    const size_t points = static_cast<size_t>(__builtin_popcount(is_point));
    const size_t count = size - points;
    if (points > 1 || count - 1 >= kDigits) [[unlikely]]
      return false;
    const auto point = static_cast<uint32_t>(__builtin_ctz(is_point | end));
    const auto mantissa = static_cast<double>(sum(k, align(k, digits, count, point)));
    out = mantissa / k.powers[count - point] * k.signs[sign];
    return true;
  }
};

}  // namespace penstock::simd

#include "parsers/simd/body.h"
#include "parsers/simd/short_number.h"

namespace penstock::simd {
namespace {

struct Ops : ShortNumber<Ops> {
  struct Block {
    __m128i parts[4];
  };

  static Block load(const char* p) {
    const auto* from = reinterpret_cast<const __m128i*>(p);
    return {{_mm_loadu_si128(from), _mm_loadu_si128(from + 1), _mm_loadu_si128(from + 2),
             _mm_loadu_si128(from + 3)}};
  }

  static uint64_t equal(const Block& block, char c) {
    const __m128i pattern = _mm_set1_epi8(c);
    const auto part = [&](int i) {
      const int mask = _mm_movemask_epi8(_mm_cmpeq_epi8(block.parts[i], pattern));
      return uint64_t{static_cast<uint32_t>(mask)} << (16 * i);
    };
    return (part(0) | part(1)) | (part(2) | part(3));
  }
};

}  // namespace

const Kernel kSse42Kernel = Body<Ops>::make(Variant::kSse42);

}  // namespace penstock::simd

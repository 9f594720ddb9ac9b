#include "parsers/simd/body.h"
#include "parsers/simd/short_number.h"

namespace penstock::simd {
namespace {

struct Ops : ShortNumber<Ops> {
  struct Block {
    __m256i low, high;
  };

  static Block load(const char* p) {
    const auto* from = reinterpret_cast<const __m256i*>(p);
    return {_mm256_loadu_si256(from), _mm256_loadu_si256(from + 1)};
  }

  static uint64_t equal(const Block& block, char c) {
    const __m256i pattern = _mm256_set1_epi8(c);
    const int low = _mm256_movemask_epi8(_mm256_cmpeq_epi8(block.low, pattern));
    const int high = _mm256_movemask_epi8(_mm256_cmpeq_epi8(block.high, pattern));
    return static_cast<uint32_t>(low) | uint64_t{static_cast<uint32_t>(high)} << 32;
  }
};

}  // namespace

const Kernel kAvx2Kernel = Body<Ops>::make(Variant::kAvx2);

}  // namespace penstock::simd

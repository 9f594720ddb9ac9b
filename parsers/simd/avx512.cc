#include "parsers/simd/body.h"
#include "parsers/simd/short_number.h"

namespace penstock::simd {
namespace {

struct Ops : ShortNumber<Ops> {
  using Block = __m512i;

  static Block load(const char* p) { return _mm512_loadu_si512(p); }

  static uint64_t equal(Block block, char c) {
    return _mm512_cmpeq_epi8_mask(block, _mm512_set1_epi8(c));
  }
};

}  // namespace

const Kernel kAvx512Kernel = Body<Ops>::make(Variant::kAvx512);

}  // namespace penstock::simd

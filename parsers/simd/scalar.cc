#include <cstring>

#include "parsers/simd/body.h"

// Eight bytes at a time in ordinary registers: for CPUs that have none of the others, and as the
// plainest of the builds to compare them with.
namespace penstock::simd {
namespace {

struct Ops {
  struct Block {
    uint64_t words[8];
  };

  static Block load(const char* p) {
    Block block;
    std::memcpy(&block, p, sizeof block);
    return block;
  }

  static uint64_t equal(const Block& block, char c) {
    constexpr uint64_t kOnes = 0x0101010101010101;
    constexpr uint64_t kLow7 = 0x7f * kOnes;
    const uint64_t pattern = kOnes * static_cast<uint8_t>(c);
    uint64_t mask = 0;
    for (int i = 0; i < 8; ++i) {
      const uint64_t x = block.words[i] ^ pattern;
      const uint64_t zero = ~(((x & kLow7) + kLow7) | x | kLow7) >> 7;  // 1 in each byte that is 0
      mask |= ((zero * 0x0102040810204080) >> 56) << (8 * i);           // those bits, side by side
    }
    return mask;
  }

  static bool short_number(const char* text, size_t size, double& out) {
    const bool negative = *text == '-';
    if (negative) {
      ++text;
      --size;
    }
    constexpr size_t kDigits = 15;  // mantissa and power of ten are then exact doubles
    static constexpr double kPowers[kDigits + 1] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    if (size > kDigits + 1) return false;
    uint64_t mantissa = 0;
    size_t digits = 0;
    size_t point = size;
    for (size_t i = 0; i < size; ++i) {
      const auto digit = static_cast<uint8_t>(text[i] - '0');
      if (digit < 10) {
        mantissa = mantissa * 10 + digit;
        ++digits;
      } else if (text[i] == '.' && point == size) {
        point = i;
      } else {
        return false;
      }
    }
    if (digits == 0 || digits > kDigits) return false;
    const auto value = static_cast<double>(static_cast<int64_t>(mantissa));
    out = (negative ? -1.0 : 1.0) * (point == size ? value : value / kPowers[size - 1 - point]);
    return true;
  }
};

}  // namespace

const Kernel kScalarKernel = Body<Ops>::make(Variant::kScalar);

}  // namespace penstock::simd

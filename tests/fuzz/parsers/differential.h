// The fast parser against the naive one (tests/reference), on any bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "parsers/simd/kernel.h"
#include "tests/reference/dogstatsd_reference.h"

namespace penstock::differential {

struct Input {
  dogstatsd::Options options;
  bool eol_required = false;
  uint8_t padding = 0;   // which bytes stand behind the packet, 0 to 7
  size_t capacity = 64;  // lines asked of one call of split
  std::string_view packet;
};

// The first byte is made of the options: bit 0 timestamps, 1 client_origin, 2 eol_required, 3 to 5
// padding, 6 and 7 capacity (1, 2, 3 or 64). The packet follows, a view of `bytes`. No bytes: all
// 0.
Input read_input(std::string_view bytes);

std::vector<reference::Message> expected(const Input& input);

// What `kernel` makes of the input, compared with what it should: number of lines, text, class,
// then the reason or every field, doubles bit by bit. The kernel gets a heap block of exactly the
// size it may read. Empty: no difference; else the first one, for people.
std::string compare(const simd::Kernel& kernel, const Input& input,
                    const std::vector<reference::Message>& expected);

// The same for bytes as the fuzzer makes them.
std::string compare(const simd::Kernel& kernel, std::string_view bytes);

// Bytes as a C string literal would hold them.
std::string quoted(std::string_view bytes);

}  // namespace penstock::differential

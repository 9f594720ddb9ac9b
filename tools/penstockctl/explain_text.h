#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tools/penstockctl/explain_message.h"

namespace penstock {

// Two hexadecimal digits, lower case.
void append_hex(std::string& out, char byte);

// The shortest decimal that reads back as `value`, -0 included; "NaN", "+Inf", "-Inf".
void append_double(std::string& out, double value);

// 16 hexadecimal digits.
std::string context_id_text(uint64_t id);

// The reason of a message that is not ok: spec 12's, or "too-long".
std::string_view error_name(const Explained& e);

// One sentence: what that means and what to do.
std::string_view advice(const Explained& e);

// Bytes as a terminal shows them, each code point where it belongs: controls, what is not UTF-8 and
// what has no width of its own are written `\xNN`.
struct Shown {
  std::string text;
  size_t column = 0;  // of the byte at `position`
};
Shown show(std::string_view bytes, size_t position);

}  // namespace penstock

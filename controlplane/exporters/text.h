#pragma once

#include <string>
#include <string_view>

namespace penstock {

// Bytes of clients as text. Names, tags and texts of DogStatsD are any bytes; what we write is
// always valid UTF-8.

// The length of the valid UTF-8 sequence `s` begins with (RFC 3629: no surrogates, no overlong
// forms), or 0. `s` is not empty.
size_t utf8_length(std::string_view s);

// After `utf8_length` was 0: the bytes that one U+FFFD stands for, which is the longest beginning
// of a sequence, at least 1 (Unicode, "substitution of maximal subparts").
size_t utf8_bad_length(std::string_view s);

inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// Appends `s` as the inside of a JSON string (RFC 8259), without quotes.
void append_json_text(std::string& out, std::string_view s);

// Appends the shortest decimal that reads back as `value`; `value` is finite.
void append_number(std::string& out, double value);
void append_number(std::string& out, int64_t value);
void append_number(std::string& out, uint64_t value);

}  // namespace penstock

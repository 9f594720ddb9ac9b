#pragma once

#include <cstdint>
#include <string_view>

#include "parsers/dogstatsd/message.h"

// What metrics, events and service checks share once a line is cut at its pipes. For the parsers'
// own files only.
namespace penstock::dogstatsd {

// Takes the next field off `rest`, which starts at the `|` before it and is left at the `|` after
// it, or empty. Call while `rest` is not empty.
inline std::string_view take_field(std::string_view& rest) {
  rest.remove_prefix(1);
  const size_t pipe = rest.find('|');
  const std::string_view field = rest.substr(0, pipe);
  rest.remove_prefix(pipe == std::string_view::npos ? rest.size() : pipe);
  return field;
}

// If `field` starts with `prefix`, sets `content` to what follows it.
inline bool strip_prefix(std::string_view field, std::string_view prefix,
                         std::string_view& content) {
  if (!field.starts_with(prefix)) return false;
  content = field.substr(prefix.size());
  return true;
}

// A `#` field without its `#` (spec 5.5): the last one replaces, also when it is empty.
template <class Message>
void set_tags(std::string_view text, Message& out) {
  out.tags = text;
  out.has_tags = !text.empty();
}

// Takes `c:`, `e:` and `card:` fields (spec 5.7). False: another kind of field.
bool take_origin_field(std::string_view field, Origin& out);

// A signed 64-bit decimal as Go's ParseInt reads it: optional sign, no `_`, no white space. False
// and `out` untouched on anything else, overflow included.
bool parse_int(std::string_view text, int64_t& out);

}  // namespace penstock::dogstatsd

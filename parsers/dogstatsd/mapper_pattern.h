#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace penstock::dogstatsd {

// How a mapping of a mapper profile says which names it takes (spec 7.1).
enum class MatchType : uint8_t { kWildcard, kRegex };

// Why `pattern` is no wildcard pattern, in words that follow "must"; empty if it is one. A pattern
// consists of `[A-Za-z0-9_.*-]` and holds no `**`.
std::string_view wildcard_fault(std::string_view pattern);

// The pattern as a regular expression in RE2 syntax. A wildcard's dot is literal and its `*` a
// group `([^.]*)`. A regex is put between `^` and `$` as text, so that of `a|b` each side is
// anchored at one end only, as in the Agent.
std::string mapper_regex(std::string_view pattern, MatchType type);

}  // namespace penstock::dogstatsd

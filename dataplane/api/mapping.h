#pragma once

#include <re2/re2.h>

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "dataplane/base/status.h"
#include "parsers/dogstatsd/mapper_pattern.h"

namespace penstock::mapping {

// Patterns and expressions of mapper profiles (spec 7.1), read by the plan compiler to check them
// and by the data plane to apply them.

// What one compiled pattern may take: its program, and the states it keeps as it runs.
inline constexpr size_t kPatternBytes = size_t{1} << 20;

// INVALID_ARGUMENT says what is wrong with `match` and what to write.
absl::StatusOr<std::unique_ptr<RE2>> compile(std::string_view match, dogstatsd::MatchType type);

// A part of a `name` or tag expression: literal text, or what a group matched.
struct Piece {
  std::string_view text;  // where `group` < 0
  int group;              // 0: all of the match
};

// Splits `$1`, `${1}`, `$name`, `${name}`, `$$` from the text around them, as Go's Regexp.Expand
// does. Groups that `pattern` does not have are left out, as they are empty. Views into
// `expression`.
std::vector<Piece> parse_expression(std::string_view expression, const RE2& pattern);

}  // namespace penstock::mapping

#include "parsers/dogstatsd/mapper_pattern.h"

#include <algorithm>

namespace penstock::dogstatsd {
namespace {

bool in_wildcard(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == '*' || c == '-';
}

}  // namespace

std::string_view wildcard_fault(std::string_view pattern) {
  if (!std::all_of(pattern.begin(), pattern.end(), in_wildcard))
    return "consist of letters, digits, '_', '.', '-' and '*'";
  if (pattern.find("**") != std::string_view::npos) return "not hold \"**\"";
  return {};
}

std::string mapper_regex(std::string_view pattern, MatchType type) {
  std::string regex = "^";
  if (type == MatchType::kRegex) {
    regex += pattern;
  } else {
    for (const char c : pattern) {
      if (c == '.') {
        regex += "\\.";
      } else if (c == '*') {
        regex += "([^.]*)";
      } else {
        regex += c;
      }
    }
  }
  regex += '$';
  return regex;
}

}  // namespace penstock::dogstatsd

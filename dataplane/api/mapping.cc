#include "dataplane/api/mapping.h"

#include <charconv>
#include <string>

#include "dataplane/base/strings.h"

namespace penstock::mapping {
namespace {

re2::StringPiece piece_of(std::string_view s) { return {s.data(), s.size()}; }

// Group names are letters, digits and `_` of all scripts.
size_t name_size(std::string_view text) {
  static const RE2 kName("^[\\pL\\p{Nd}_]+", RE2::Quiet);
  re2::StringPiece found;
  const re2::StringPiece all = piece_of(text);
  return kName.Match(all, 0, all.size(), RE2::ANCHOR_START, &found, 1) ? found.size() : 0;
}

// A number as Go reads it: no leading zeros, nine digits at most; -1: none.
int number_of(std::string_view name) {
  if (name.size() > 9 || (name.size() > 1 && name[0] == '0')) return -1;
  int n = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), n);
  return error == std::errc() && end == name.data() + name.size() ? n : -1;
}

int group_of(std::string_view name, const RE2& pattern) {
  const int number = number_of(name);
  if (number >= 0) return number <= pattern.NumberOfCapturingGroups() ? number : -1;
  const auto& named = pattern.NamedCapturingGroups();
  const auto it = named.find(std::string(name));
  return it == named.end() ? -1 : it->second;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RE2>> compile(std::string_view match, dogstatsd::MatchType type) {
  if (type == dogstatsd::MatchType::kWildcard) {
    const std::string_view fault = dogstatsd::wildcard_fault(match);
    if (!fault.empty()) {
      return absl::InvalidArgumentError(
          cat("a wildcard pattern must ", fault,
              "; write one, or a regular expression with match_type: regex"));
    }
  }
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kPatternBytes);
  auto pattern = std::make_unique<RE2>(dogstatsd::mapper_regex(match, type), options);
  if (!pattern->ok()) {
    // Agents built with newer Go take `(?<name>...)`, so it may well stand in a working
    // datadog.yaml.
    const std::string_view remedy =
        pattern->error_arg() == "(?<"
            ? "a named group is written (?P<name>...), and nothing looks behind"
            : "correct it";
    return absl::InvalidArgumentError(cat("is no regular expression in RE2 syntax (",
                                          std::string_view(pattern->error()), "); ", remedy));
  }
  return pattern;
}

std::vector<Piece> parse_expression(std::string_view expression, const RE2& pattern) {
  std::vector<Piece> pieces;
  const auto add_text = [&](std::string_view text) {
    if (!text.empty()) pieces.push_back({text, -1});
  };
  for (size_t dollar; (dollar = expression.find('$')) != std::string_view::npos;) {
    add_text(expression.substr(0, dollar));
    const std::string_view sign = expression.substr(dollar, 1);
    expression.remove_prefix(dollar + 1);
    if (expression.starts_with('$')) {
      add_text(sign);
      expression.remove_prefix(1);
      continue;
    }
    const size_t brace = expression.starts_with('{') ? 1 : 0;
    const size_t size = name_size(expression.substr(brace));
    const bool closed = brace == 0 || expression.substr(1 + size).starts_with('}');
    if (size == 0 || !closed) {  // no reference: the sign stands for itself
      add_text(sign);
      continue;
    }
    const int group = group_of(expression.substr(brace, size), pattern);
    if (group >= 0) pieces.push_back({{}, group});
    expression.remove_prefix(size + 2 * brace);
  }
  add_text(expression);
  return pieces;
}

}  // namespace penstock::mapping

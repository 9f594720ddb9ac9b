#include "parsers/dogstatsd/cardinality.h"

#include <algorithm>

namespace penstock::dogstatsd {
namespace {

bool is_word(std::string_view text, std::string_view word) {
  return std::equal(text.begin(), text.end(), word.begin(), word.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; });
}

}  // namespace

std::optional<Cardinality> parse_cardinality(std::string_view text) {
  if (is_word(text, "low")) return Cardinality::kLow;
  if (is_word(text, "orchestrator") || is_word(text, "orch")) return Cardinality::kOrchestrator;
  if (is_word(text, "high")) return Cardinality::kHigh;
  if (text == "none") return Cardinality::kNone;
  return std::nullopt;
}

}  // namespace penstock::dogstatsd

#include "parsers/dogstatsd/message.h"

namespace penstock::dogstatsd {

Class classify(std::string_view line) {
  if (line.empty() || line[0] != '_') return Class::kMetric;
  if (line.starts_with("_e{")) return Class::kEvent;
  if (line.starts_with("_sc")) return Class::kServiceCheck;
  return Class::kMetric;
}

std::string_view next_line(std::string_view& rest, bool& terminated) {
  const size_t newline = rest.find('\n');
  terminated = newline != std::string_view::npos;
  std::string_view line = rest.substr(0, newline);
  rest.remove_prefix(terminated ? newline + 1 : rest.size());
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace penstock::dogstatsd

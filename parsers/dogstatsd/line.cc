#include "parsers/dogstatsd/message.h"

namespace penstock::dogstatsd {

Class classify(std::string_view line) {
  if (line.empty() || line[0] != '_') return Class::kMetric;
  if (line.starts_with("_e{")) return Class::kEvent;
  if (line.starts_with("_sc")) return Class::kServiceCheck;
  return Class::kMetric;
}

std::string_view type_symbol(Type type) {
  switch (type) {
    case Type::kCount:
      return "c";
    case Type::kGauge:
      return "g";
    case Type::kHistogram:
      return "h";
    case Type::kTiming:
      return "ms";
    case Type::kDistribution:
      return "d";
    case Type::kSet:
      return "s";
  }
  return "";
}

}  // namespace penstock::dogstatsd

#include "parsers/dogstatsd/fields.h"

namespace penstock::dogstatsd {
namespace {

bool parse_type(std::string_view text, Type& out) {
  if (text.size() == 1) {
    switch (text[0]) {
      case 'c':
        out = Type::kCount;
        return true;
      case 'g':
        out = Type::kGauge;
        return true;
      case 'h':
        out = Type::kHistogram;
        return true;
      case 'd':
        out = Type::kDistribution;
        return true;
      case 's':
        out = Type::kSet;
        return true;
      default:
        return false;
    }
  }
  out = Type::kTiming;
  return text == "ms";
}

// One optional field (spec 5.4). Kinds are told apart by prefix; what is none of them is ignored.
Reason parse_field(std::string_view field, const Options& options, Metric& out) {
  if (field.empty()) return Reason::kOk;
  const std::string_view content = field.substr(1);
  switch (field[0]) {
    case '#':
      set_tags(content, out);
      return Reason::kOk;
    case '@':
      return parse_float(content, out.rate) ? Reason::kOk : Reason::kBadRate;
    case 'T':
      if (!options.timestamps) return Reason::kOk;
      return parse_int(content, out.timestamp) && out.timestamp >= 1 ? Reason::kOk
                                                                     : Reason::kBadTimestamp;
    default:
      if (options.client_origin) take_origin_field(field, out.origin);
      return Reason::kOk;
  }
}

}  // namespace

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

Reason split_metric(std::string_view line, MetricHead& out) {
  const size_t pipe = line.find('|');
  if (pipe == std::string_view::npos) return Reason::kNoPipe;
  const std::string_view head = line.substr(0, pipe);
  const size_t colon = head.find(':');
  if (colon == std::string_view::npos) return Reason::kNoColon;
  if (colon == 0) return Reason::kEmptyName;
  if (colon + 1 == head.size()) return Reason::kEmptyValue;
  out.name = head.substr(0, colon);
  out.value = head.substr(colon + 1);
  out.suffix = line.substr(pipe);
  return Reason::kOk;
}

Reason parse_values(std::string_view value, std::span<double> out, size_t& count) {
  count = 0;
  size_t colon = value.find(':');
  if (colon == std::string_view::npos) {
    if (!parse_float(value, out[0])) return Reason::kBadValue;
    count = 1;
    return Reason::kOk;
  }
  for (;; colon = value.find(':')) {
    const std::string_view piece = value.substr(0, colon);
    if (!piece.empty() && !parse_float(piece, out[count++])) return Reason::kBadValue;
    if (colon == std::string_view::npos) break;
    value.remove_prefix(colon + 1);
  }
  return count != 0 ? Reason::kOk : Reason::kNoValues;
}

Reason parse_metric(const MetricHead& head, const Options& options, std::span<double> scratch,
                    Metric& out) {
  out = Metric{};
  out.name = head.name;
  out.value = head.value;
  std::string_view rest = head.suffix;
  if (!parse_type(take_field(rest), out.type)) return Reason::kBadType;
  if (out.type == Type::kSet) {
    out.values = 1;
  } else {
    const Reason reason = parse_values(head.value, scratch, out.values);
    if (reason != Reason::kOk) return reason;
  }
  while (!rest.empty()) {
    const Reason reason = parse_field(take_field(rest), options, out);
    if (reason != Reason::kOk) return reason;
  }
  return Reason::kOk;
}

}  // namespace penstock::dogstatsd

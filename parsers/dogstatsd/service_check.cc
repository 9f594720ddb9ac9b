#include "parsers/dogstatsd/fields.h"

namespace penstock::dogstatsd {
namespace {

// Spec 6.2, step 5: what is unknown or invalid leaves the earlier value.
void parse_field(std::string_view field, const Options& options, ServiceCheck& out) {
  std::string_view content;
  if (strip_prefix(field, "#", content)) {
    set_tags(content, out);
  } else if (strip_prefix(field, "d:", content)) {
    parse_int(content, out.timestamp);
  } else if (!strip_prefix(field, "h:", out.hostname) && !strip_prefix(field, "m:", out.message) &&
             options.client_origin) {
    take_origin_field(field, out.origin);
  }
}

}  // namespace

Reason parse_service_check(std::string_view line, const Options& options, ServiceCheck& out) {
  constexpr size_t kPrefix = 4;  // "_sc" and one byte that nobody looks at
  out = ServiceCheck{};
  const size_t pipe = line.find('|');
  if (pipe == std::string_view::npos || line.find('|', pipe + 1) == std::string_view::npos) {
    return Reason::kScFormat;
  }
  const size_t name_end = line.find('|', kPrefix);
  out.name = line.substr(kPrefix, name_end - kPrefix);
  if (out.name.empty()) return Reason::kScEmptyName;
  std::string_view rest = line.substr(name_end);
  const std::string_view status = take_field(rest);
  if (status.size() != 1 || status[0] < '0' || status[0] > '3') return Reason::kScBadStatus;
  out.status = static_cast<uint8_t>(status[0] - '0');
  while (!rest.empty()) parse_field(take_field(rest), options, out);
  return Reason::kOk;
}

}  // namespace penstock::dogstatsd

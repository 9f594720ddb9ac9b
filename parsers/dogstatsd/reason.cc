#include "parsers/dogstatsd/reason.h"

#include <array>

namespace penstock::dogstatsd {
namespace {

constexpr std::array<std::string_view, kReasons> kNames = {
    "ok",
    "no-pipe",
    "no-colon",
    "empty-name",
    "empty-value",
    "bad-type",
    "no-values",
    "bad-value",
    "bad-rate",
    "bad-timestamp",
    "event-no-colon",
    "event-too-short",
    "event-bad-header",
    "event-empty-title",
    "sc-format",
    "sc-empty-name",
    "sc-bad-status",
};
static_assert(!kNames.back().empty(), "every reason has a name");

}  // namespace

std::string_view reason_name(Reason reason) {
  const auto index = static_cast<size_t>(reason);
  return index < kNames.size() ? kNames[index] : std::string_view("unknown");
}

}  // namespace penstock::dogstatsd

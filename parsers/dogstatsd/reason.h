#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace penstock::dogstatsd {

// Why a message was refused. A closed list: each value indexes one counter, and its name is part of
// the documented output (spec 12).
enum class Reason : uint8_t {
  kOk,
  kNoPipe,
  kNoColon,
  kEmptyName,
  kEmptyValue,
  kBadType,
  kNoValues,
  kBadValue,
  kBadRate,
  kBadTimestamp,
  kEventNoColon,
  kEventTooShort,
  kEventBadHeader,
  kEventEmptyTitle,
  kScFormat,
  kScEmptyName,
  kScBadStatus,
  kCount
};
inline constexpr size_t kReasons = static_cast<size_t>(Reason::kCount);

// "ok", "no-pipe", "no-colon", ... : the names of spec 12.
std::string_view reason_name(Reason reason);

}  // namespace penstock::dogstatsd

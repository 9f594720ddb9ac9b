#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock::dogstatsd {

// How many of a container's tags a metric is to have (spec 7.5).
enum class Cardinality : uint8_t { kLow, kOrchestrator, kHigh, kNone };

// `low`, `orchestrator`, `orch`, `high` in any case, and exactly `none`; nothing for other texts,
// which the Agent takes for low.
std::optional<Cardinality> parse_cardinality(std::string_view text);

}  // namespace penstock::dogstatsd

#pragma once

#include <span>
#include <string_view>

#include "dataplane/api/stats.h"

namespace penstock {

// The parts that add up, by the names of stats.h.
inline constexpr std::string_view kMalformed[] = {"malformed_ethernet", "malformed_ipv4",
                                                  "malformed_ipv6",     "malformed_udp",
                                                  "malformed_checksum", "malformed_fragment"};
inline constexpr std::string_view kReceivedParts[] = {
    "not_ours",           "malformed_ethernet", "malformed_ipv4", "malformed_ipv6", "malformed_udp",
    "malformed_checksum", "malformed_fragment", "truncated",      "ring_full",      "dispatched"};
inline constexpr std::string_view kLinesOkParts[] = {"metrics", "events", "service_checks"};
inline constexpr std::string_view kSampleParts[] = {
    "aggregated", "timestamped", "unsupported_timestamped", "filtered", "overflow",
    "nan_inf",    "carry_full"};

// True for receive queues and listeners.
bool is_source(const StatsBlockValues& block);
uint64_t sum_of_names(const StatsBlockValues& block, std::span<const std::string_view> names);
uint64_t sum_of_prefix(const StatsBlockValues& block, std::string_view prefix);

}  // namespace penstock

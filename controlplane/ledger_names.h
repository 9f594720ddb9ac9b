#pragma once

#include <array>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/api/stats.h"

namespace penstock {

// The listener that has connections (spec 2.8).
inline constexpr std::string_view kStreamListener = "uds-unix";

// The parts that add up, by the names of stats.h.
inline constexpr std::string_view kMalformed[] = {
    "malformed_ethernet",    "malformed_ipv4",       "malformed_ipv6",
    "malformed_udp",         "malformed_checksum",   "malformed_fragment",
    "malformed_frame_empty", "malformed_frame_long", "malformed_cut_off"};
inline constexpr std::string_view kReceivedParts[] = {"not_ours",
                                                      "malformed_ethernet",
                                                      "malformed_ipv4",
                                                      "malformed_ipv6",
                                                      "malformed_udp",
                                                      "malformed_checksum",
                                                      "malformed_fragment",
                                                      "malformed_frame_empty",
                                                      "malformed_frame_long",
                                                      "malformed_cut_off",
                                                      "fragments_joined",
                                                      "fragments_full",
                                                      "fragments_waiting",
                                                      "truncated",
                                                      "ring_full",
                                                      "dispatched"};
inline constexpr std::string_view kLinesOkParts[] = {"metrics", "events", "service_checks"};
inline constexpr std::string_view kSampleParts[] = {
    "aggregated", "timestamped", "unsupported_timestamped", "filtered", "overflow",
    "nan_inf",    "carry_full"};

// Whose a packet of a listener with origin detection was.
inline constexpr std::string_view kOriginParts[] = {"origin_container",  "origin_none",
                                                    "origin_errors",     "origin_replayed",
                                                    "origin_unresolved", "origin_full"};

// Keys of penstock.limits, and the counters that say how often the bound was met.
struct Bound {
  std::string_view key;
  std::array<std::string_view, 3> counters;  // empty: no more
};
inline constexpr Bound kBounds[] = {
    {"contexts", {"contexts_full"}},
    {"context_bytes", {"context_bytes_full"}},
    {"memo_bytes", {"memo_evicted"}},
    {"sample_bytes", {"samples_unkept"}},
    {"sketch_bins", {"bins_folded"}},
    {"set_members", {"set_members_unkept"}},
    {"carry_bytes", {"carry_full", "carry_full_events", "copies_unkept"}},
    {"fragments", {"fragments_full"}},
    {"origins", {"origin_full", "origin_evicted"}},
};

// How often a bound was met, by all shards and the keeper.
uint64_t times_met(const Bound& bound, const std::vector<StatsBlockValues>& blocks);

// True for receive queues and listeners.
bool is_source(const StatsBlockValues& block);
uint64_t sum_of_names(const StatsBlockValues& block, std::span<const std::string_view> names);
uint64_t sum_of_prefix(const StatsBlockValues& block, std::string_view prefix);

}  // namespace penstock

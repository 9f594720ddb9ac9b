#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace penstock {

// Replies of penstockd as tables for people.
std::string status_table(const nlohmann::ordered_json& status);
std::string stats_table(const nlohmann::ordered_json& stats);

}  // namespace penstock

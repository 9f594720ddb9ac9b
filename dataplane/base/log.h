#pragma once

#include <string_view>

#include "spdlog/spdlog.h"

namespace penstock {

// Sends the process's log to standard error, one line an entry: time, process name, level, text.
// `level` is one of trace, debug, info, warning, error, off. Call once, before any thread starts;
// then use `spdlog::info(...)` and friends. Never used by the data path.
void init_log(std::string_view process, std::string_view level);

}  // namespace penstock

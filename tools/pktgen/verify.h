#pragma once

#include <cstdint>
#include <istream>
#include <map>
#include <string>
#include <vector>

#include "dataplane/base/status.h"

namespace penstock::pktgen {

using Sums = std::map<std::string, uint64_t>;

// Adds the `counters` of one report (see report_json) to `sums`. Fails on text that is not one.
absl::Status add_report(std::istream& report, Sums& sums);

// Adds up value * interval of the rate series in a JSON-lines output and compares with `sent`, by
// metric name. Returns one sentence for each name that differs; none means equal. Counters were
// sent with integer values, so a sum that is not an integer differs too. Fails on a line that is
// not JSON.
absl::StatusOr<std::vector<std::string>> differences(std::istream& output, const Sums& sent);

}  // namespace penstock::pktgen

#include "tools/pktgen/verify.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "dataplane/base/strings.h"

namespace penstock::pktgen {
namespace {

// A rate is the sum divided by 10 in binary floating point, so a point may be off in the last bits;
// more than this is not rounding.
constexpr double kRounding = 1e-9;

struct Received {
  uint64_t sum = 0;
  uint64_t uneven = 0;  // points whose sum is not an integer
};

void add_point(double sum, Received& received) {
  const double whole = std::nearbyint(sum);
  if (whole < 0 || std::abs(sum - whole) > kRounding * std::max(1.0, whole)) {
    ++received.uneven;
  } else {
    received.sum += static_cast<uint64_t>(whole);
  }
}

}  // namespace

absl::Status add_report(std::istream& report, Sums& sums) {
  const auto json = nlohmann::json::parse(report, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("counters") || !json["counters"].is_object())
    return absl::InvalidArgumentError("not a report: no object with \"counters\"");
  for (const auto& [name, sum] : json["counters"].items()) {
    if (!sum.is_number_unsigned())
      return absl::InvalidArgumentError(
          cat("not a report: the sum of ", std::string_view(name), " is no integer"));
    sums[name] += sum.get<uint64_t>();
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> differences(std::istream& output, const Sums& sent) {
  std::map<std::string, Received> received;
  std::string line;
  for (uint64_t number = 1; std::getline(output, line); ++number) {
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object())
      return absl::InvalidArgumentError(cat("line ", number, ": not a JSON object"));
    if (json.value("type", "") != "rate") continue;
    const std::string metric = json.value("metric", "");
    if (sent.contains(metric))
      add_point(json.value("value", 0.0) * json.value("interval", 10.0), received[metric]);
  }
  std::vector<std::string> out;
  for (const auto& [name, sum] : sent) {
    const Received& got = received[name];
    if (got.uneven > 0)
      out.push_back(cat(std::string_view(name), ": ", got.uneven, " points are not whole counts"));
    if (got.sum != sum)
      out.push_back(cat(std::string_view(name), ": sent ", sum, ", output has ", got.sum));
  }
  return out;
}

}  // namespace penstock::pktgen

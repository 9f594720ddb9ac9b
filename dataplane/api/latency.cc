#include "dataplane/api/latency.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace penstock::latency {

uint64_t quantile_ns(const Counts& counts, double q) {
  const uint64_t all = std::accumulate(counts.begin(), counts.end(), uint64_t{0});
  if (all == 0) return 0;
  const auto wanted =
      std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(static_cast<double>(all) * q)));
  uint64_t seen = 0;
  for (size_t i = 0; i + 1 < kBuckets; ++i) {
    seen += counts[i];
    if (seen >= wanted) return limit_ns(i);
  }
  return begin_of(kBuckets - 1) * kTickNs;
}

}  // namespace penstock::latency

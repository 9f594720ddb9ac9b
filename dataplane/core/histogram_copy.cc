// histogram_copy_to_distribution (spec 8.5).

#include <algorithm>
#include <cmath>

#include "dataplane/core/context_key.h"
#include "dataplane/core/shard_state.h"

namespace penstock {

using segment::Kind;

// Adds the values to the distribution that goes with a histogram. Copies are no samples of the
// ledger: their histogram's are.
void ShardState::copy_samples(const LineTarget& histogram, std::span<const double> values) {
  LineTarget target = histogram;
  target.kind = static_cast<uint8_t>(Kind::kDistribution);
  Slot* slot = nullptr;
  if (const Copy& copy = copies[histogram.id]; copy.id != 0 && copy.of == histogram.incarnation) {
    target.id = copy.id;
    target.incarnation = copy.incarnation;
    slot = touch(target);
  }
  if (slot == nullptr) {
    find_copy(histogram, target);
    slot = touch(target);
  }
  add_samples(target, *slot, values);
  burst.copied += static_cast<uint64_t>(
      std::ranges::count_if(values, [](double v) { return std::isfinite(v); }));
}

// The context of the copy, created if it is new; remembered, unless it is an overflow context:
// there may be room the next time.
void ShardState::find_copy(const LineTarget& histogram, LineTarget& target) {
  ContextTable::Found found{static_cast<uint32_t>(Kind::kDistribution), false, false};
  if (!ContextTable::is_overflow(histogram.id)) {
    const std::string_view prefix = plan.str(plan.dogstatsd.copy_prefix);
    const size_t size = prefixed_key(contexts.key(histogram.id), prefix, copy_key.data());
    found = contexts.find_or_create({copy_key.data(), size}, Kind::kDistribution, sealed_epoch + 1);
    burst.contexts_created += found.created ? 1 : 0;
  }
  target.id = found.id;
  target.incarnation = open().slots[found.id].incarnation;
  if (ContextTable::is_overflow(found.id)) return;
  copies[histogram.id] = {histogram.incarnation, target.id, target.incarnation};
}

}  // namespace penstock

#include "dataplane/core/set_members.h"

#include <bit>

#include "dataplane/core/hash.h"

namespace penstock {

SetMembers::SetMembers(uint32_t limit)
    : multiplier_(random_seed() | 1),
      context_multiplier_(random_seed() | 1),
      members_(limit),
      index_(std::bit_ceil(uint64_t{limit} * 2 + 2)),
      shift_(64 - std::countr_zero(index_.size())) {}

uint64_t SetMembers::hash_of(std::string_view value) { return hash_bytes(value, 0); }

// Clients know the hash of what they send, and can choose it: so by multipliers that they do not
// know (multiply-shift, Dietzfelbinger et al. 1997: two differ in their place but for a chance of 2
// in the number of places).
size_t SetMembers::home(uint32_t context, uint64_t hash) const {
  return ((hash ^ (context * context_multiplier_)) * multiplier_) >> shift_;
}

bool SetMembers::add(uint32_t context, uint64_t hash) {
  const size_t mask = index_.size() - 1;
  size_t i = home(context, hash);
  for (; index_[i] != 0; i = (i + 1) & mask) {
    const Member& m = members_[index_[i] - 1];
    if (m.hash == hash && m.context == context) return true;
  }
  if (count_ == members_.size()) return false;
  members_[count_] = {hash, context};
  index_[i] = ++count_;
  return true;
}

// Taking members out in the reverse of their order of arrival leaves no gap in a run of probes:
// each is the last of its run that was put in.
bool SetMembers::clear(uint32_t budget) {
  const size_t mask = index_.size() - 1;
  for (; count_ != 0 && budget != 0; --budget) {
    const Member& m = members_[count_ - 1];
    size_t i = home(m.context, m.hash);
    while (index_[i] != count_) i = (i + 1) & mask;
    index_[i] = 0;
    --count_;
  }
  return count_ == 0;
}

}  // namespace penstock

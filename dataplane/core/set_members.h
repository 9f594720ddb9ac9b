#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "dataplane/core/lazy_array.h"

namespace penstock {

// The distinct members of every set of one generation: one bounded table of (context, hash).
class SetMembers {
 public:
  struct Member {
    uint64_t hash;
    uint32_t context;
  };

  explicit SetMembers(uint32_t limit);

  // The hash that stands for a member. The same in every process, so that sets merge.
  static uint64_t hash_of(std::string_view value);

  void prefetch(uint32_t context, uint64_t hash) const {
    __builtin_prefetch(&index_[home(context, hash)]);
  }

  // False: the limit is reached and the member is not known.
  bool add(uint32_t context, uint64_t hash);

  // In order of arrival.
  [[nodiscard]] std::span<const Member> members() const { return {members_.data(), count_}; }

  // Forgets up to `budget` members, the newest first; false: some are left.
  bool clear(uint32_t budget);

 private:
  [[nodiscard]] size_t home(uint32_t context, uint64_t hash) const;

  const uint64_t multiplier_, context_multiplier_;  // random, odd
  LazyArray<Member> members_;
  LazyArray<uint32_t> index_;  // member + 1; 0: empty. Linear probing
  const int shift_;            // to an index into `index_`
  uint32_t count_ = 0;
};

}  // namespace penstock

#pragma once

#include <cstddef>
#include <vector>

namespace penstock {

// Where a source that is set to spread sends what it has next: the one of `outlets` with the least
// `load(outlet)`. Of equals, the next after `last`, so that they take turns. `outlets` is not
// empty.
template <class Outlet, class Load>
size_t emptiest(const std::vector<Outlet>& outlets, size_t last, Load&& load) {
  size_t best = last + 1 < outlets.size() ? last + 1 : 0;
  size_t least = load(outlets[best]);
  for (size_t step = 1, i = best; step < outlets.size() && least != 0; ++step) {
    i = i + 1 < outlets.size() ? i + 1 : 0;
    if (const size_t n = load(outlets[i]); n < least) {
      best = i;
      least = n;
    }
  }
  return best;
}

}  // namespace penstock

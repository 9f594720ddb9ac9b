#include "dataplane/core/hash.h"

#include <random>

namespace penstock {

uint64_t random_seed() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

uint64_t process_seed() {
  static const uint64_t seed = random_seed();
  return seed;
}

}  // namespace penstock

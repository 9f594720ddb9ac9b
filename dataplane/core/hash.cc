#include "dataplane/core/hash.h"

#include <random>

namespace penstock {

uint64_t random_seed() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

}  // namespace penstock

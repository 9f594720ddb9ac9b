#pragma once

#include <cstdint>
#include <string_view>

// Inlined: the call and its dispatch cost as much as hashing a short key.
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace penstock {

// XXH3, 64 bit. Internal tables use a seed of their own process, so that nobody can aim at a
// bucket; hashes that leave the process (set members) use seed 0, so that they merge.
inline uint64_t hash_bytes(std::string_view bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

// A random seed for one table of this process.
uint64_t random_seed();

// One for the tables whose hashes are compared with each other: the contexts of all shards.
uint64_t process_seed();

}  // namespace penstock

#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "parsers/simd/kernel.h"

namespace penstock {

// Calls `run` for the seeds 1 to `count`, or as the environment says: PENSTOCK_SIM_SEED is the
// first (then the only one), PENSTOCK_SIM_COUNT how many. Stops at the first that fails and prints
// the command that runs it again. Skips where PENSTOCK_SIMD cannot be followed.
template <class Run>
void for_each_seed(uint64_t count, Run run) {
  if (const std::string error = simd::environment_error(); !error.empty()) GTEST_SKIP() << error;
  const auto number = [](const char* name, uint64_t otherwise) {
    const char* text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
  };
  const uint64_t first = number("PENSTOCK_SIM_SEED", 1);
  const bool chosen = std::getenv("PENSTOCK_SIM_SEED") != nullptr;
  const uint64_t end = first + number("PENSTOCK_SIM_COUNT", chosen ? 1 : count);
  for (uint64_t seed = first; seed < end; ++seed) {
    SCOPED_TRACE("PENSTOCK_SIM_SEED=" + std::to_string(seed));
    run(seed);
    if (!testing::Test::HasFailure()) continue;
    const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
    const char* simd = std::getenv("PENSTOCK_SIMD");
    std::printf(
        "again: %s%s PENSTOCK_SIM_SEED=%llu build/tests/sim/test_sim --gtest_filter=%s.%s\n",
        simd == nullptr ? "" : "PENSTOCK_SIMD=", simd == nullptr ? "" : simd,
        static_cast<unsigned long long>(seed), test->test_suite_name(), test->name());
    return;
  }
}

}  // namespace penstock

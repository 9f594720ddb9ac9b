#include "dataplane/uring/moderation.h"

#include <gtest/gtest.h>

#include <string>

namespace penstock::uring {
namespace {

constexpr uint32_t us(uint32_t n) { return n * 1000 / latency::kTickNs; }

struct Case {
  const char* what;
  IdleMode idle;
  uint32_t since_us;  // the pass before
  uint64_t roomy, others;
  bool nap;
};

constexpr Case kCases[] = {
    {"one, soon after the one before", IdleMode::kAdaptive, 20, 1, 0, true},
    {"one, and nothing for a while before", IdleMode::kAdaptive, 60, 1, 0, false},
    {"what a nap gathered", IdleMode::kAdaptive, 230, 7, 0, true},
    {"a nap that gathered too little", IdleMode::kAdaptive, 230, 5, 0, false},
    {"as many as the kernel gives at once: there may be more", IdleMode::kAdaptive, 20, 32, 0,
     false},
    {"nearly as many", IdleMode::kAdaptive, 20, 31, 0, true},
    {"something else came too", IdleMode::kAdaptive, 20, 5, 1, false},
    {"only something else", IdleMode::kAdaptive, 20, 0, 3, false},
    {"nothing", IdleMode::kAdaptive, 20, 0, 0, false},
    {"busy", IdleMode::kBusy, 20, 5, 0, false},
};

TEST(Moderation, NapsWhereDatagramsComeOneByOne) {
  for (const Case& c : kCases) {
    for (const uint32_t start : {0u, UINT32_MAX - us(10)}) {  // ticks wrap
      Moderation m(c.idle);
      m.nap_after(start, 1, 0);
      EXPECT_EQ(m.nap_after(start + us(c.since_us), c.roomy, c.others), c.nap) << c.what;
    }
  }
}

}  // namespace
}  // namespace penstock::uring

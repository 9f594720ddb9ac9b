#include "dataplane/nic/idle_ladder.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(IdleLadder, PausesThenSleepsLongerUpToTheLimit) {
  IdleLadder ladder(IdleMode::kAdaptive);
  for (int i = 1; i < IdleLadder::kSpins; ++i) EXPECT_EQ(ladder.next().count(), 0);
  EXPECT_EQ(ladder.next(), IdleLadder::kFirst);
  EXPECT_EQ(ladder.next(), 2 * IdleLadder::kFirst);
  for (int i = 0; i < 20; ++i) ladder.next();
  EXPECT_EQ(ladder.next(), IdleLadder::kLongest);
  ladder.reset();
  EXPECT_EQ(ladder.next().count(), 0);
}

TEST(IdleLadder, BusyNeverSleeps) {
  IdleLadder ladder(IdleMode::kBusy);
  for (int i = 0; i < 10 * IdleLadder::kSpins; ++i) EXPECT_EQ(ladder.next().count(), 0);
}

}  // namespace
}  // namespace penstock

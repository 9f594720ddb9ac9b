#include "dataplane/nic/idle_ladder.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

using Rung = IdleLadder::Rung;

TEST(IdleLadder, PausesThenSleepsLongerUpToTheLimit) {
  IdleLadder ladder(IdleMode::kAdaptive, false);
  for (int i = 1; i < IdleLadder::kSpins; ++i) EXPECT_EQ(ladder.next().rung, Rung::kPause);
  EXPECT_EQ(ladder.next().rung, Rung::kSleep);
  EXPECT_EQ(ladder.next().sleep, 2 * IdleLadder::kFirst);
  for (int i = 0; i < 20; ++i) ladder.next();
  EXPECT_EQ(ladder.next().sleep, IdleLadder::kLongest);
  ladder.reset();
  EXPECT_EQ(ladder.next().rung, Rung::kPause);
}

TEST(IdleLadder, HaltsBeforeItSleepsWhereTheCpuCan) {
  IdleLadder ladder(IdleMode::kAdaptive, true);
  for (int round = 0; round < 2; ++round) {
    for (int i = 1; i < IdleLadder::kSpins; ++i) EXPECT_EQ(ladder.next().rung, Rung::kPause);
    for (int i = 0; i < IdleLadder::kHalts; ++i) EXPECT_EQ(ladder.next().rung, Rung::kHalt);
    const IdleLadder::Wait wait = ladder.next();
    EXPECT_EQ(wait.rung, Rung::kSleep);
    EXPECT_EQ(wait.sleep, IdleLadder::kFirst);
    ladder.reset();
  }
}

TEST(IdleLadder, BusyOnlyPauses) {
  IdleLadder ladder(IdleMode::kBusy, true);
  for (int i = 0; i < 10 * IdleLadder::kSpins; ++i) EXPECT_EQ(ladder.next().rung, Rung::kPause);
}

}  // namespace
}  // namespace penstock

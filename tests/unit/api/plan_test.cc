#include "dataplane/api/plan.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

namespace penstock {
namespace {

std::unique_ptr<Plan> small_plan() {
  std::unique_ptr<Plan> plan = make_plan();
  plan->shard_count = 1;
  plan->shards[0] = {-1, 0};
  plan->listener_count = 1;
  plan->listeners[0].name = plan->add_text("udp");
  plan->dogstatsd.default_host = plan->add_text("host-1");
  plan->log_level = plan->add_text("info");
  finish_plan(*plan);
  return plan;
}

TEST(Plan, GoesThroughItsMemfdUnchanged) {
  const std::unique_ptr<Plan> plan = small_plan();
  const absl::StatusOr<Fd> fd = plan_to_memfd(*plan);
  ASSERT_TRUE(fd.ok()) << fd.status();
  const absl::StatusOr<std::unique_ptr<Plan>> back = open_plan(fd->get());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ((*back)->hash, plan->hash);
  EXPECT_EQ((*back)->str((*back)->dogstatsd.default_host), "host-1");
}

TEST(Plan, ItsMemfdCannotBeChanged) {
  const absl::StatusOr<Fd> fd = plan_to_memfd(*small_plan());
  ASSERT_TRUE(fd.ok());
  EXPECT_EQ(::write(fd->get(), "x", 1), -1);
  EXPECT_EQ(::ftruncate(fd->get(), 0), -1);
  EXPECT_FALSE(Mapping::map(fd->get(), /*writable=*/true).ok());
}

TEST(Plan, EqualPlansHashEqually) { EXPECT_EQ(small_plan()->hash, small_plan()->hash); }

struct Damage {
  const char* what;
  void (*harm)(Plan&);
};

class PlanDamage : public testing::TestWithParam<Damage> {};

TEST_P(PlanDamage, IsRefused) {
  std::unique_ptr<Plan> plan = small_plan();
  GetParam().harm(*plan);
  finish_plan(*plan);  // a Plan that is wrong, not one that was corrupted
  const absl::StatusOr<Fd> fd = plan_to_memfd(*plan);
  ASSERT_TRUE(fd.ok());
  EXPECT_FALSE(open_plan(fd->get()).ok());
}

INSTANTIATE_TEST_SUITE_P(
    Each, PlanDamage,
    testing::Values(
        Damage{"magic", [](Plan& p) { p.magic = 0; }},
        Damage{"version", [](Plan& p) { ++p.version; }},
        Damage{"no shard", [](Plan& p) { p.shard_count = 0; }},
        Damage{"too many listeners", [](Plan& p) { p.listener_count = kPlanListenersMax + 1; }},
        Damage{"listener kind", [](Plan& p) { p.listeners[0].kind = ListenerKind{200}; }},
        Damage{"no connections", [](Plan& p) { p.listeners[0].kind = ListenerKind::kUdsStream; }},
        Damage{"text outside",
               [](Plan& p) {
                 p.dogstatsd.default_host = {1, 1 << 30};
               }},
        Damage{"offset outside",
               [](Plan& p) {
                 p.log_level = {0xffffffff, 1};
               }},
        Damage{"shard of no queue", [](Plan& p) { p.shards[0].rx = 0; }},
        Damage{"queue of no port",
               [](Plan& p) {
                 p.rx_count = 1;
                 p.rx[0].port = 0;
               }},
        Damage{"mapping of no profile", [](Plan& p) { p.dogstatsd.mapper.mapping_count = 1; }},
        Damage{"profile without its mappings",
               [](Plan& p) {
                 p.dogstatsd.mapper.profile_count = 1;
                 p.dogstatsd.mapper.profiles[0].mapping_count = UINT32_MAX;
               }},
        Damage{"tag of no mapping", [](Plan& p) { p.dogstatsd.mapper.tag_count = 1; }},
        Damage{"prefix outside",
               [](Plan& p) {
                 p.dogstatsd.mapper.profile_count = 1;
                 p.dogstatsd.mapper.profiles[0].prefix = {0, 1 << 30};
               }},
        Damage{"filter outside",
               [](Plan& p) {
                 p.dogstatsd.filter.count = 1;
                 p.dogstatsd.filter.entries[0] = {0, 1 << 30};
               }},
        Damage{"cardinality",
               [](Plan& p) { p.dogstatsd.tag_cardinality = dogstatsd::Cardinality{9}; }},
        Damage{"text size", [](Plan& p) { p.text_size = kPlanTextBytes + 1; }}),
    [](const auto& info) { return "Case" + std::to_string(info.index); });

TEST(Plan, ABitFlippedOnTheWayIsNoticed) {
  std::unique_ptr<Plan> plan = small_plan();
  plan->io_buffers ^= 1;
  const absl::StatusOr<Fd> fd = plan_to_memfd(*plan);
  ASSERT_TRUE(fd.ok());
  EXPECT_EQ(open_plan(fd->get()).status().code(), absl::StatusCode::kDataLoss);
}

TEST(Plan, ADescriptorOfAnotherSizeIsNoPlan) {
  const absl::StatusOr<Fd> fd = make_memfd("short", 100);
  ASSERT_TRUE(fd.ok());
  EXPECT_FALSE(open_plan(fd->get()).ok());
}

}  // namespace
}  // namespace penstock

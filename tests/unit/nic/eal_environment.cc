#include <gtest/gtest.h>

#include <memory>

#include "dataplane/nic/eal.h"
#include "tests/unit/nic/nic_fixture.h"

namespace penstock::testing {
namespace {

// EAL runs once for the whole process.
class EalEnvironment : public ::testing::Environment {
 public:
  void SetUp() override {
    auto plan = test_plan(Wiring::kInline, 1);
    for (int i = 0; i < 4; ++i) add_port(*plan, "room", "net_ring_room");
    add_eal_args(*plan, "0@0");
    auto eal = Eal::start(*plan);
    ASSERT_TRUE(eal.ok()) << eal.status().ToString();
    eal_ = *std::move(eal);
  }
  void TearDown() override { eal_.reset(); }

 private:
  std::unique_ptr<Eal> eal_;
};
[[maybe_unused]] const auto* const kEnvironment =
    ::testing::AddGlobalTestEnvironment(new EalEnvironment);

}  // namespace
}  // namespace penstock::testing

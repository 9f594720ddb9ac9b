#include "dataplane/nic/port.h"

#include <gtest/gtest.h>
#include <rte_mempool.h>

#include <functional>
#include <set>
#include <string>

#include "dataplane/api/port_memory.h"
#include "dataplane/nic/packet_pool.h"
#include "tests/unit/nic/nic_fixture.h"

namespace penstock {
namespace {

using namespace penstock::testing;

// What net_af_xdp registers with the kernel, `count` elements from the first on, must be all of the
// pool.
TEST(PacketPool, AfXdpBuffersArePagesWithoutGaps) {
  auto plan = test_plan(Wiring::kInline, 1);
  PortPlan& spec = add_port(*plan, "wire0", "net_af_xdp0,iface=x");
  spec.interface = plan->add_text("x");
  constexpr uint32_t kCount = 500;
  rte_mempool* pool = make_packet_pool("pages", kCount, spec, 0);
  ASSERT_NE(pool, nullptr);
  std::set<uintptr_t> starts;
  rte_mempool_obj_iter(
      pool,
      [](rte_mempool* p, void* set, void* element, unsigned) {
        static_cast<std::set<uintptr_t>*>(set)->insert(reinterpret_cast<uintptr_t>(element) -
                                                       p->header_size);
      },
      &starts);
  EXPECT_EQ(starts.size(), kCount);
  EXPECT_EQ(*starts.begin() % kAfXdpFrameBytes, 0u);
  EXPECT_EQ(*starts.rbegin() - *starts.begin(), (kCount - 1) * kAfXdpFrameBytes);
  EXPECT_EQ(*starts.begin(), reinterpret_cast<uintptr_t>(STAILQ_FIRST(&pool->mem_list)->addr));
  EXPECT_EQ(rte_mempool_calc_obj_size(pool->elt_size, pool->flags, nullptr), kAfXdpFrameBytes);
  rte_mempool_free(pool);
}

// Every failure names the port, the value and the remedy.
TEST(PortFailure, NamesWhatIsWrong) {
  const auto message = [](std::string_view device, const std::function<void(Plan&)>& change = {}) {
    auto plan = test_plan(Wiring::kInline, 1);
    add_port(*plan, "bad0", device);
    if (change) change(*plan);
    const auto port = Port::start(*plan, 0);
    return port.ok() ? std::string("started") : std::string(port.status().message());
  };
  const auto has = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  has(message("net_nonsense0,x=1"), "port bad0, device \"net_nonsense0,x=1\"");
  has(message("net_null0", [](Plan& p) { p.ports[0].queues = 2000; }), "penstock.ports.queues");
  has(message("net_ring_missing9,nodeaction=garbage"), "garbage");
  has(message("net_af_xdp0,iface=nosuch0",
              [](Plan& p) {
                p.ports[0].interface = p.add_text("nosuch0");
                p.ports[0].xdp_filter = 1;
              }),
      "no kernel interface \"nosuch0\"");
  has(message("net_null1", [](Plan& p) { p.ports[0].descriptors = 60000; }), "hugepages");
}

// The arguments of a virtual device are no part of its name.
TEST(PortFailure, TheDeviceOfAnotherPortIsLeftAlone) {
  auto plan = test_plan(Wiring::kInline, 2);
  add_port(*plan, "first", "net_null2,copy=0");
  add_port(*plan, "second", "net_null2,copy=1");
  const auto first = Port::start(*plan, 0);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = Port::start(*plan, 1);
  ASSERT_FALSE(second.ok());
  const std::string why(second.status().message());
  EXPECT_NE(why.find("port second, device \"net_null2,copy=1\": another port has"), why.npos)
      << why;
  EXPECT_TRUE((*first)->watch_link()) << "the first is as it was";
}

}  // namespace
}  // namespace penstock

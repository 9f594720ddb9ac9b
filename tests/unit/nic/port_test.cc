#include "dataplane/nic/port.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "tests/unit/nic/nic_fixture.h"

namespace penstock {
namespace {

using namespace penstock::testing;

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

}  // namespace
}  // namespace penstock

#include "dataplane/nic/flow_rules.h"

#include <gtest/gtest.h>
#include <rte_byteorder.h>
#include <rte_ethdev.h>

namespace penstock {
namespace {

TEST(FlowRule, SendsOnePortToAllQueuesByTheFourTuple) {
  for (const uint8_t version : {uint8_t{4}, uint8_t{6}}) {
    const FlowRule rule(8125, version, 3);
    EXPECT_EQ(rule.attributes().ingress, 1u);
    EXPECT_EQ(rule.attributes().egress, 0u);
    const rte_flow_item* item = rule.pattern();
    EXPECT_EQ(item[0].type, RTE_FLOW_ITEM_TYPE_ETH);
    EXPECT_EQ(item[1].type, version == 4 ? RTE_FLOW_ITEM_TYPE_IPV4 : RTE_FLOW_ITEM_TYPE_IPV6);
    EXPECT_EQ(item[2].type, RTE_FLOW_ITEM_TYPE_UDP);
    EXPECT_EQ(item[3].type, RTE_FLOW_ITEM_TYPE_END);
    const auto* spec = static_cast<const rte_flow_item_udp*>(item[2].spec);
    const auto* mask = static_cast<const rte_flow_item_udp*>(item[2].mask);
    EXPECT_EQ(rte_be_to_cpu_16(spec->hdr.dst_port), 8125);
    EXPECT_EQ(mask->hdr.dst_port, 0xffff);
    EXPECT_EQ(mask->hdr.src_port, 0);
    const rte_flow_action* action = rule.actions();
    EXPECT_EQ(action[0].type, RTE_FLOW_ACTION_TYPE_RSS);
    EXPECT_EQ(action[1].type, RTE_FLOW_ACTION_TYPE_END);
    const auto* rss = static_cast<const rte_flow_action_rss*>(action[0].conf);
    EXPECT_EQ(rss->types,
              version == 4 ? RTE_ETH_RSS_NONFRAG_IPV4_UDP : RTE_ETH_RSS_NONFRAG_IPV6_UDP);
    ASSERT_EQ(rss->queue_num, 3u);
    for (uint16_t q = 0; q < 3; ++q) EXPECT_EQ(rss->queue[q], q);
  }
}

}  // namespace
}  // namespace penstock

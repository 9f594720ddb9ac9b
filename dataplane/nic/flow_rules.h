#pragma once

#include <rte_flow.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/api/plan.h"

namespace penstock {

// "UDP datagrams of this IP version to this port go to the data queues, by the hash of their
// 4-tuple", as rte_flow wants it: lists that point into the object.
class FlowRule {
 public:
  FlowRule(uint16_t udp_port, uint8_t ip_version, uint16_t queues);
  FlowRule(const FlowRule&) = delete;
  FlowRule& operator=(const FlowRule&) = delete;

  [[nodiscard]] const rte_flow_attr& attributes() const { return attributes_; }
  [[nodiscard]] const rte_flow_item* pattern() const { return pattern_.data(); }
  [[nodiscard]] const rte_flow_action* actions() const { return actions_.data(); }

 private:
  rte_flow_attr attributes_{};
  rte_flow_item_udp port_{};
  rte_flow_item_udp port_mask_{};
  std::array<rte_flow_item, 4> pattern_{};
  std::array<uint16_t, kPlanRxMax> queues_;
  rte_flow_action_rss rss_{};
  std::array<rte_flow_action, 2> actions_{};
};

// The rules of one port in its NIC: one for each of its UDP ports and IP versions, all or none.
// The software filter judges every frame all the same. Keeper's thread.
class FlowRules {
 public:
  FlowRules() = default;
  // Takes the rules out; the port is still started.
  ~FlowRules() { clear(); }
  FlowRules(const FlowRules&) = delete;
  FlowRules& operator=(const FlowRules&) = delete;

  // Asks the driver about every rule before it makes the first. Returns why there are none, or an
  // empty text.
  std::string install(uint16_t port_id, const PortPlan& port);
  void clear();

 private:
  uint16_t port_id_ = 0;
  std::vector<rte_flow*> rules_;
};

}  // namespace penstock

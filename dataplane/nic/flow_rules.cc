#include "dataplane/nic/flow_rules.h"

#include <rte_byteorder.h>
#include <rte_errno.h>
#include <rte_ethdev.h>

#include <memory>
#include <numeric>
#include <span>

#include "dataplane/base/strings.h"

namespace penstock {
namespace {

std::string reason(const rte_flow_error& error) {
  return error.message != nullptr ? error.message : rte_strerror(rte_errno);
}

std::vector<std::unique_ptr<FlowRule>> rules_of(const PortPlan& port) {
  std::vector<std::unique_ptr<FlowRule>> rules;
  for (const uint16_t udp : std::span(port.udp_ports).first(port.udp_port_count)) {
    for (const uint8_t version : {uint8_t{4}, uint8_t{6}}) {
      rules.push_back(std::make_unique<FlowRule>(udp, version, port.queues));
    }
  }
  return rules;
}

}  // namespace

FlowRule::FlowRule(uint16_t udp_port, uint8_t ip_version, uint16_t queues) {
  const bool v4 = ip_version == 4;
  attributes_.ingress = 1;
  port_.hdr.dst_port = rte_cpu_to_be_16(udp_port);
  port_mask_.hdr.dst_port = 0xffff;
  pattern_[0].type = RTE_FLOW_ITEM_TYPE_ETH;
  pattern_[1].type = v4 ? RTE_FLOW_ITEM_TYPE_IPV4 : RTE_FLOW_ITEM_TYPE_IPV6;
  pattern_[2].type = RTE_FLOW_ITEM_TYPE_UDP;
  pattern_[2].spec = &port_;
  pattern_[2].mask = &port_mask_;
  pattern_[3].type = RTE_FLOW_ITEM_TYPE_END;
  std::iota(queues_.begin(), queues_.end(), uint16_t{0});
  rss_.types = v4 ? RTE_ETH_RSS_NONFRAG_IPV4_UDP : RTE_ETH_RSS_NONFRAG_IPV6_UDP;
  rss_.queue_num = queues;
  rss_.queue = queues_.data();
  actions_[0].type = RTE_FLOW_ACTION_TYPE_RSS;
  actions_[0].conf = &rss_;
  actions_[1].type = RTE_FLOW_ACTION_TYPE_END;
}

std::string FlowRules::install(uint16_t port_id, const PortPlan& port) {
  port_id_ = port_id;
  const auto wanted = rules_of(port);
  rte_flow_error error{};
  for (const auto& rule : wanted) {
    if (rte_flow_validate(port_id, &rule->attributes(), rule->pattern(), rule->actions(), &error) !=
        0) {
      return reason(error);
    }
  }
  for (const auto& rule : wanted) {
    rte_flow* made =
        rte_flow_create(port_id, &rule->attributes(), rule->pattern(), rule->actions(), &error);
    if (made == nullptr) {
      clear();
      return reason(error);
    }
    rules_.push_back(made);
  }
  return {};
}

void FlowRules::clear() {
  rte_flow_error ignored{};
  for (rte_flow* rule : rules_) rte_flow_destroy(port_id_, rule, &ignored);
  rules_.clear();
}

}  // namespace penstock

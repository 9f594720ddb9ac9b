#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dataplane/api/plan.h"
#include "dataplane/api/stats.h"
#include "dataplane/base/status.h"
#include "dataplane/nic/flow_rules.h"
#include "dataplane/nic/reassembly.h"
#include "dataplane/nic/xdp_filter.h"
#include "parsers/packet/reply.h"

struct rte_eth_conf;
struct rte_eth_dev_info;
struct rte_mempool;

namespace penstock {

// One DPDK port with its buffer pools, configured as its PortPlan says and receiving. Keeper's
// thread, except that each queue and its pool belong to one receive loop once that is launched.
class Port {
 public:
  // Probes plan.ports[index] (a device EAL already has is used as it is) and starts it. The message
  // of a failure names the port, its device string and what to do. `plan` outlives the Port.
  static absl::StatusOr<std::unique_ptr<Port>> start(const Plan& plan, uint16_t index);

  // Stops, closes and removes the device, then frees the pools. No loop runs any more.
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  [[nodiscard]] uint16_t id() const { return id_; }  // DPDK's
  [[nodiscard]] rte_mempool* pool(uint16_t queue) const { return pools_[queue]; }
  [[nodiscard]] Reassembly* fragments(uint16_t queue) const { return fragments_[queue].get(); }
  [[nodiscard]] const std::string& text() const { return text_; }
  // Whether the link is up now, by asking the driver or the kernel; keeps count of how often it
  // came up.
  bool watch_link();
  [[nodiscard]] const std::atomic<uint32_t>& link_ups() const { return link_ups_; }
  // What befell it since the start, so that it will not receive again, and what to do; or empty.
  [[nodiscard]] std::string trouble() const;
  // Who the port is for ARP, NDP and echo; the spans live as long as the port.
  [[nodiscard]] packet::Responder responder() const;

  // Stops new datagrams where that is possible: an XDP port gives its UDP ports to the kernel.
  void withdraw();
  // What the NIC lost, one LossStats for each queue. Drivers that count losses per port only have
  // them in queue 0's.
  void read_losses(std::span<LossStats* const> queues) const;

 private:
  Port(const Plan& plan, uint16_t index) : plan_(plan), spec_(plan.ports[index]), index_(index) {}

  [[nodiscard]] bool link_up() const;
  absl::Status bring_up();
  absl::Status probe();
  absl::Status claim();
  absl::Status configure();
  [[nodiscard]] rte_eth_conf offloads(const rte_eth_dev_info& info) const;
  [[nodiscard]] absl::Status set_mtu() const;
  absl::Status choose_descriptors();
  void describe(const rte_eth_dev_info& info, const rte_eth_conf& conf);
  absl::Status set_up_queues();
  absl::Status set_up_queue(uint16_t queue);
  absl::StatusOr<rte_mempool*> make_pool(uint16_t queue) const;
  absl::StatusOr<std::unique_ptr<Reassembly>> make_reassembly(uint16_t queue) const;
  [[nodiscard]] int numa_node(uint16_t queue) const;
  absl::Status run();
  void steer();
  absl::StatusOr<std::string> devargs() const;
  [[nodiscard]] absl::Status failure(std::string_view what, int error, std::string_view todo) const;
  void tear_down();

  const Plan& plan_;
  const PortPlan& spec_;
  uint16_t index_;
  uint16_t id_ = UINT16_MAX;  // until probed
  bool started_ = false;
  uint16_t rx_descriptors_ = 0;  // as the driver adjusted them
  uint16_t tx_descriptors_ = 0;
  std::array<uint8_t, 6> mac_{};
  std::vector<rte_mempool*> pools_;                     // by queue
  std::vector<std::unique_ptr<Reassembly>> fragments_;  // by queue
  std::vector<int> xdp_sockets_;  // by queue; the driver's, for their statistics
  std::unique_ptr<XdpFilter> filter_;
  FlowRules rules_;
  std::vector<std::array<uint8_t, 4>> ipv4_;
  std::vector<std::array<uint8_t, 16>> ipv6_;
  std::string text_;
  bool link_was_up_ = false;
  std::atomic<uint32_t> link_ups_{0};  // read by the receive loop of queue 0
};

}  // namespace penstock

#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "controlplane/config.h"

namespace penstock {

// What the compiler must know of the machine. A running data plane keeps part of it for itself (its
// hugepages are no longer free), so the facts of the first start are kept in the state file: with
// them the same configuration gives the same Plan.
struct MachineFacts {
  static constexpr int kAnyNode = -1;

  std::vector<uint16_t> cpus;    // this process may use, ascending
  std::vector<uint16_t> online;  // of the machine, for messages; empty: not known
  // NUMA nodes: of `cpus`, in their order, empty where there is one node; and of devices that have
  // one, by PortConfig::device.
  std::vector<int> cpu_nodes;
  std::map<std::string, int> device_nodes;
  uint64_t hugepage_kb = 0;  // default size; 0: the kernel has none
  uint64_t hugepages_free = 0;
  bool root = false;
  std::string hostname;

  // kAnyNode: not known, or no matter.
  [[nodiscard]] int node_of_cpu(uint16_t cpu) const;
  [[nodiscard]] int node_of_device(const std::string& device) const;
};
// `ports` are those whose place in the machine matters.
MachineFacts read_machine_facts(std::span<const PortConfig> ports = {});

}  // namespace penstock

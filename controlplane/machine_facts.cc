#include "controlplane/machine_facts.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "controlplane/eal_args.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

// Of a list of the kernel's, such as "0-3,8"; empty if the file cannot be read.
std::vector<uint16_t> read_cpu_list(const std::string& path) {
  std::ifstream file(path);
  std::vector<uint16_t> cpus;
  for (std::string range; std::getline(file, range, ',');) {
    unsigned first = 0;
    unsigned last = 0;
    const int n = std::sscanf(range.c_str(), "%u-%u", &first, &last);
    if (n < 1) continue;
    for (unsigned cpu = first; cpu <= (n == 2 ? last : first); ++cpu) {
      cpus.push_back(static_cast<uint16_t>(cpu));
    }
  }
  return cpus;
}

std::vector<int> nodes_of(const std::vector<uint16_t>& cpus) {
  std::vector<int> nodes(cpus.size(), 0);
  bool several = false;
  for (const uint16_t node : read_cpu_list("/sys/devices/system/node/has_cpu")) {
    const auto of_node = read_cpu_list(cat("/sys/devices/system/node/node", node, "/cpulist"));
    for (size_t i = 0; i < cpus.size(); ++i) {
      if (std::ranges::find(of_node, cpus[i]) != of_node.end()) nodes[i] = node;
    }
    several = several || node != 0;
  }
  return several ? nodes : std::vector<int>{};
}

// kAnyNode: a virtual device, or a machine with one node.
int read_device_node(const std::string& device) {
  std::string path;
  if (const std::string interface = interface_of(device); !interface.empty()) {
    path = cat("/sys/class/net/", interface, "/device/numa_node");
  } else if (is_pci_address(device)) {
    const std::string address = device.substr(0, device.find(','));
    const bool domain = std::ranges::count(address, ':') == 2;
    path = cat("/sys/bus/pci/devices/", domain ? "" : "0000:", address, "/numa_node");
  }
  int node = MachineFacts::kAnyNode;
  std::ifstream(path) >> node;
  return std::max(node, MachineFacts::kAnyNode);
}

// The first CPU numbers of the process's affinity.
std::vector<uint16_t> usable_cpus() {
  cpu_set_t set;
  std::vector<uint16_t> cpus;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(static_cast<uint16_t>(cpu));
  }
  return cpus;
}

}  // namespace

int MachineFacts::node_of_cpu(uint16_t cpu) const {
  const auto it = std::ranges::find(cpus, cpu);
  if (cpu_nodes.empty() || it == cpus.end()) return kAnyNode;
  return cpu_nodes[static_cast<size_t>(it - cpus.begin())];
}

int MachineFacts::node_of_device(const std::string& device) const {
  const auto it = device_nodes.find(device);
  return cpu_nodes.empty() || it == device_nodes.end() ? kAnyNode : it->second;
}

MachineFacts read_machine_facts(std::span<const PortConfig> ports) {
  MachineFacts facts;
  facts.cpus = usable_cpus();
  facts.online = read_cpu_list("/sys/devices/system/cpu/online");
  facts.cpu_nodes = nodes_of(facts.cpus);
  for (const PortConfig& port : ports) {
    const int node = read_device_node(port.device);
    if (node != MachineFacts::kAnyNode) facts.device_nodes.emplace(port.device, node);
  }
  facts.root = ::geteuid() == 0;
  std::ifstream meminfo("/proc/meminfo");
  for (std::string line; std::getline(meminfo, line);) {
    std::istringstream words(line);
    std::string key;
    uint64_t value = 0;
    if (!(words >> key >> value)) continue;
    if (key == "Hugepagesize:") facts.hugepage_kb = value;
    if (key == "HugePages_Free:") facts.hugepages_free = value;
  }
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) == 0) facts.hostname = name.data();
  return facts;
}

}  // namespace penstock

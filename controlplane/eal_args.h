#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "controlplane/compile.h"

namespace penstock {

struct EalPlan {
  std::vector<std::string> args;  // the whole vector, program name first
  uint64_t memory_bytes = 0;      // its `-m`
  bool hugepages = false;
};

// The arguments the data plane starts DPDK with. `plan` has its ports, cores and limits already.
// Hugepages as `penstock.hugepages` and the machine
// allow; a fallback is a note, `require` without enough of them an error.
absl::StatusOr<EalPlan> plan_eal(const Config& config, const MachineFacts& facts, const Plan& plan,
                                 std::vector<std::string>& notes);

// True for "0000:03:00.0" and "03:00.0", with or without arguments behind a comma.
bool is_pci_address(std::string_view device);
// The kernel interface of a net_af_xdp device, "eth1" of "net_af_xdp0,iface=eth1"; empty for
// others.
std::string interface_of(std::string_view device);

}  // namespace penstock

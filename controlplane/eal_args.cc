#include "controlplane/eal_args.h"

#include <xxhash.h>

#include <algorithm>
#include <cctype>

#include "dataplane/api/port_memory.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

constexpr uint64_t kMiB = 1ull << 20;
absl::StatusOr<bool> choose_hugepages(const Config& config, const MachineFacts& facts,
                                      uint64_t bytes, std::vector<std::string>& notes) {
  if (config.hugepages == HugepageChoice::kNever) return false;
  const uint64_t page_bytes = facts.hugepage_kb * 1024;
  const uint64_t needed = page_bytes == 0 ? 0 : (bytes + page_bytes - 1) / page_bytes;
  if (page_bytes != 0 && facts.hugepages_free >= needed) return true;
  const std::string have = page_bytes == 0
                               ? std::string("this kernel has no hugepages")
                               : cat(facts.hugepages_free, " hugepages of ", facts.hugepage_kb,
                                     " KiB are free and ", needed, " are needed");
  const std::string remedy = page_bytes == 0
                                 ? std::string()
                                 : cat("; reserve them with `sysctl vm.nr_hugepages=", needed, "`");
  if (config.hugepages == HugepageChoice::kRequire) {
    return absl::FailedPreconditionError(cat("penstock.hugepages = \"require\": ", have, remedy,
                                             ", or set penstock.hugepages to auto"));
  }
  notes.push_back(cat("DPDK runs without hugepages (--no-huge): ", have, remedy));
  return false;
}

std::string lcores(const Plan& plan) {
  std::string text = cat("--lcores=0@", plan.control_cpu);
  for (size_t i = 0; i < plan.rx_count; ++i) text += cat(",", i + 1, "@", plan.rx[i].cpu);
  return text;
}

}  // namespace

bool is_pci_address(std::string_view device) {
  const std::string_view address = device.substr(0, device.find(','));
  return address.size() >= 7 && address.find(':') != std::string_view::npos &&
         std::ranges::all_of(address, [](unsigned char c) {
           return std::isxdigit(c) != 0 || c == ':' || c == '.';
         });
}

std::string interface_of(std::string_view device) {
  constexpr std::string_view kKey = "iface=";
  const size_t at = device.find(kKey);
  if (!device.starts_with("net_af_xdp") || at == std::string_view::npos) return {};
  const std::string_view rest = device.substr(at + kKey.size());
  return std::string(rest.substr(0, rest.find(',')));
}

absl::StatusOr<EalPlan> plan_eal(const Config& config, const MachineFacts& facts, const Plan& plan,
                                 std::vector<std::string>& notes) {
  EalPlan eal;
  // A multiple of the usual hugepage.
  eal.memory_bytes = (uint64_t{eal_memory_mib(plan)} + 1) / 2 * 2 * kMiB;
  ASSIGN_OR_RETURN(eal.hugepages, choose_hugepages(config, facts, eal.memory_bytes, notes));
  // Stable, so that the next penstockd compiles the same Plan; unique to a run directory.
  const uint64_t id = XXH3_64bits(config.run_dir.data(), config.run_dir.size()) & 0xffffffff;
  eal.args = {"penstock-dataplane",
              lcores(plan),
              "--main-lcore=0",
              cat("--file-prefix=penstock-", absl::Hex(id, absl::kZeroPad8)),
              "--no-telemetry",
              "-m",
              cat(eal.memory_bytes / kMiB)};
  if (eal.hugepages) {
    eal.args.emplace_back("--in-memory");  // no hugetlbfs mount, nothing left behind
  } else {
    eal.args.insert(eal.args.end(), {"--no-huge", "--no-shconf"});
  }
  bool any_pci = false;
  for (const PortConfig& port : config.ports) {
    if (!is_pci_address(port.device)) continue;
    any_pci = true;
    eal.args.insert(eal.args.end(), {"-a", port.device.substr(0, port.device.find(','))});
  }
  if (!any_pci) eal.args.emplace_back("--no-pci");
  return eal;
}

}  // namespace penstock

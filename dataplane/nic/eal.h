#pragma once

#include <memory>
#include <string>

#include "dataplane/api/plan.h"
#include "dataplane/base/status.h"

namespace penstock {

// DPDK's environment layer. One per process and never twice; the thread that starts it becomes the
// main lcore (0), and lcore i + 1 polls the Plan's rx[i].
//
// The Plan's `eal_args` are the whole argument vector, program name first:
//   penstock-dataplane --lcores=0@<control>,1@<rx0>,... --main-lcore=0 --file-prefix=<unique>
//   --no-telemetry -m <eal_memory_mib()> and either `-a <pci>`... or --no-pci, and without
//   hugepages --no-huge --no-shconf (22.11 refuses --no-huge with --in-memory), with them
//   --in-memory, which needs no hugetlbfs mount and leaves nothing behind.
// No vdev is among them: ports are probed one by one afterwards, so that a bad one fails alone.
class Eal {
 public:
  // Sends DPDK's and libbpf's log lines to spdlog: warnings and worse, everything when our own
  // level is debug. Fails with what EAL says, its arguments and what to look at.
  static absl::StatusOr<std::unique_ptr<Eal>> start(const Plan& plan);
  ~Eal();
  Eal(const Eal&) = delete;
  Eal& operator=(const Eal&) = delete;

 private:
  Eal() = default;
};

// The first error or warning DPDK or libbpf logged since the last call, empty if none: what a
// driver's -1 means. Any thread.
std::string take_dpdk_error();

}  // namespace penstock

#pragma once

#include <unistd.h>

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/api/plan.h"
#include "dataplane/api/port_memory.h"
#include "dataplane/api/stats.h"
#include "dataplane/base/strings.h"
#include "dataplane/core/worker.h"
#include "tests/support/small_plan.h"

namespace penstock::testing {

// A Plan for tests without hugepages, PCI or kernel interfaces; `shards` shards, no port yet.
inline std::unique_ptr<Plan> test_plan(Wiring wiring, uint16_t shards) {
  auto plan = small_plan(shards);
  plan->wiring = wiring;
  plan->use_eal = 1;
  plan->dogstatsd.buffer_size = 1000;
  for (uint16_t i = 0; wiring == Wiring::kInline && i < shards; ++i) {
    plan->shards[i].rx = static_cast<int16_t>(i);
  }
  return plan;
}

// Adds a whole-port port with one queue and its RxPlan: UDP 8125 to 10.0.0.1 or fd00::1.
inline PortPlan& add_port(Plan& plan, std::string_view name, std::string_view device) {
  PortPlan& p = plan.ports[plan.port_count];
  p.name = plan.add_text(name);
  p.device = plan.add_text(device);
  p.queues = 1;
  p.mtu = 1500;
  p.descriptors = 256;
  p.responder = 1;
  p.udp_port_count = 1;
  p.udp_ports[0] = 8125;
  p.address_count = 2;
  p.addresses[0] = {.bytes = {10, 0, 0, 1}, .family = 4};
  p.addresses[1] = {.bytes = {0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, .family = 6};
  plan.rx[plan.rx_count++] = {.port = static_cast<uint8_t>(plan.port_count), .queue = 0, .cpu = 0};
  ++plan.port_count;
  return p;
}

// The EAL arguments as the Plan compiler writes them for a machine without hugepages.
inline void add_eal_args(Plan& plan, const std::string& lcores) {
  const std::string prefix = cat("--file-prefix=penstock-test-", ::getpid());
  const std::string memory = std::to_string(eal_memory_mib(plan));
  for (const std::string& arg :
       {std::string("penstock-dataplane"), "--lcores=" + lcores, std::string("--main-lcore=0"),
        prefix, std::string("--no-telemetry"), std::string("--no-pci"), std::string("--no-huge"),
        std::string("--no-shconf"), std::string("-m"), memory}) {
    plan.eal_args[plan.eal_arg_count++] = plan.add_text(arg);
  }
}

// Zeroed, aligned memory of a stats segment.
class StatsMemory {
 public:
  StatsMemory() : memory_(new (std::align_val_t{64}) std::byte[kStatsBytes]{}) {}
  ~StatsMemory() { ::operator delete[](memory_, std::align_val_t{64}); }
  StatsMemory(const StatsMemory&) = delete;
  StatsMemory& operator=(const StatsMemory&) = delete;
  std::span<std::byte> bytes() { return {memory_, kStatsBytes}; }

 private:
  std::byte* memory_;
};

// Shards with their stats.
struct Shards {
  Shards(const Plan& plan, StatsBuilder& builder) {
    for (uint16_t i = 0; i < plan.shard_count; ++i) {
      stats.push_back(&builder.add_shard(cat("shard", i)));
      workers.push_back(std::make_unique<ShardWorker>(plan, i, *stats.back(), *Sleeper::create()));
      pointers.push_back(workers.back().get());
    }
  }
  [[nodiscard]] uint64_t packets() const {
    uint64_t n = 0;
    for (const ShardStats* s : stats) n += s->packets.get();
    return n;
  }
  std::vector<ShardStats*> stats;
  std::vector<std::unique_ptr<ShardWorker>> workers;
  std::vector<ShardWorker*> pointers;
};

// The identity of architecture section 11 for one source: received, less what went elsewhere.
inline int64_t unaccounted(const SourceStats& s) {
  return static_cast<int64_t>(s.received.get()) -
         static_cast<int64_t>(s.not_ours.get() + s.malformed_ethernet.get() +
                              s.malformed_ipv4.get() + s.malformed_ipv6.get() +
                              s.malformed_udp.get() + s.malformed_checksum.get() +
                              s.malformed_fragment.get() + s.fragments_joined.get() +
                              s.fragments_full.get() + s.fragments_waiting.get() +
                              s.truncated.get() + s.ring_full.get() + s.dispatched.get());
}

}  // namespace penstock::testing

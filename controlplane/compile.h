#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "controlplane/budget.h"
#include "controlplane/config.h"
#include "controlplane/machine_facts.h"
#include "dataplane/api/plan.h"
#include "dataplane/base/status.h"

namespace penstock {

// A kernel socket the configuration asks for.
struct ListenerSpec {
  std::string name;     // spec 2.8
  std::string address;  // "127.0.0.1:8125", or the path
  ListenerKind kind = ListenerKind::kUdp;
  bool eol_required = false;
  bool spread = false;
  bool shared = false;       // one of several sockets on one address (SO_REUSEPORT)
  uint16_t connections = 0;  // kUdsStream: at most so many at a time
  bool operator==(const ListenerSpec&) const = default;
};

// The listeners in their order of start (spec 1.2); empty when DogStatsD is off.
std::vector<ListenerSpec> configured_listeners(const Config& config);

struct Compiled {
  std::unique_ptr<Plan> plan;
  Budget budget;
  std::vector<std::string> notes;  // choices a person may want to know of
};

// Turns the configuration into a Plan for this machine, with exactly the given listeners. Pure:
// equal input, equal Plan. INVALID_ARGUMENT or FAILED_PRECONDITION name the key, its value and the
// remedy, one line for each thing wrong.
absl::StatusOr<Compiled> compile(const Config& config, const MachineFacts& facts,
                                 std::span<const ListenerSpec> listeners);

// The layout of cores and the budget, for people (`penstockd --check`), and the whole Plan
// (`--print-plan`).
std::string describe(const Compiled& compiled);
std::string print_plan(const Plan& plan);

}  // namespace penstock

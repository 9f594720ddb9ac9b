#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/api/plan.h"
#include "tools/penstockctl/explain_message.h"

namespace penstock {

inline constexpr dogstatsd::Options kEverything = {.timestamps = true, .client_origin = true};

// A Plan with the host "h" and nothing else set.
inline std::unique_ptr<Plan> message_plan() {
  auto plan = make_plan();
  plan->dogstatsd.default_host = plan->add_text("h");
  plan->dogstatsd.buffer_size = 8192;
  plan->dogstatsd.timestamps = 1;
  return plan;
}

}  // namespace penstock

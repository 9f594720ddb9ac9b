#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/core/senders.h"
#include "dataplane/origin/origins.h"
#include "dataplane/origin/resolver.h"
#include "dataplane/uring/loop.h"

namespace penstock::uring {

// Origin detection beside a loop: the resolver and its thread.
class Detection {
 public:
  Detection(Plan& plan, const std::string& proc_root) {
    plan.limits.origins = 64;
    plan.proc_root = plan.add_text(proc_root);
    resolver_ = *origin::Resolver::create(plan, senders);
  }
  ~Detection() { stop(); }
  Detection(const Detection&) = delete;
  Detection& operator=(const Detection&) = delete;

  std::unique_ptr<origin::Origins> origins(const Plan& plan) {
    std::vector<OriginStats*> by_listener;
    for (size_t i = 0; i < plan.listener_count; ++i) {
      by_listener.push_back(plan.listeners[i].origin_detection != 0 ? &stats[i] : nullptr);
    }
    return std::make_unique<origin::Origins>(plan, *resolver_, std::move(by_listener));
  }

  // Answers `loop` from now on.
  void start(Loop& loop) {
    thread_ = std::thread([this, &loop] { resolver_->run(stop_, [&loop] { loop.wake(); }); });
  }
  void stop() {
    stop_ = true;
    resolver_->wake();
    if (thread_.joinable()) thread_.join();
  }

  Senders senders{16};
  std::array<OriginStats, kPlanListenersMax> stats;

 private:
  std::unique_ptr<origin::Resolver> resolver_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace penstock::uring

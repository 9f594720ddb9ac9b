#include "dataplane/uring/io_loop.h"

#include <utility>

#include "dataplane/api/io_memory.h"
#include "dataplane/uring/loop.h"

namespace penstock {

IoLoop::IoLoop(std::unique_ptr<uring::Loop> loop) : loop_(std::move(loop)) {}
IoLoop::~IoLoop() = default;

absl::StatusOr<std::unique_ptr<IoLoop>> IoLoop::create(const Plan& plan, std::vector<Fd> sockets,
                                                       const std::vector<SourceStats*>& sources,
                                                       const std::vector<LossStats*>& losses,
                                                       const std::vector<ShardWorker*>& shards,
                                                       std::unique_ptr<origin::Origins> origins) {
  RETURN_IF_ERROR(uring::check_buffers(plan));
  std::vector<Outlet> outlets;
  outlets.reserve(shards.size());
  for (ShardWorker* shard : shards) {
    outlets.push_back({&shard->add_ring(io_ring_slots(plan)), &shard->sleeper()});
  }
  ASSIGN_OR_RETURN(auto loop, uring::Loop::create(plan, std::move(sockets), sources, losses,
                                                  outlets, std::move(origins)));
  return std::unique_ptr<IoLoop>(new IoLoop(std::move(loop)));
}

absl::Status IoLoop::forward_to(const Plan& plan, std::vector<Fd> targets,
                                const std::vector<ForwardStats*>& stats) {
  return loop_->forward_to(plan, std::move(targets), stats);
}

Outlet IoLoop::add_inlet(uint32_t slots) { return loop_->add_inlet(slots); }

absl::Status IoLoop::run(const std::atomic<bool>& stop) { return loop_->run(stop); }
void IoLoop::wake() { loop_->wake(); }

}  // namespace penstock

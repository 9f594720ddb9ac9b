#include "dataplane/nic/nic.h"

#include <rte_launch.h>
#include <rte_lcore.h>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <thread>
#include <utility>
#include <variant>

#include "dataplane/api/port_memory.h"
#include "dataplane/base/log.h"
#include "dataplane/base/strings.h"
#include "dataplane/nic/eal.h"
#include "dataplane/nic/port.h"
#include "dataplane/nic/rx_loop.h"

namespace penstock {
namespace {

// The lcore of an inline receive queue whose port failed: its shard still has the io thread's
// packets.
struct ShardOnly {
  ShardWorker* worker;
  IdleMode idle;
  void run(const RxStop& stop) {
    stop.drained.fetch_add(1, std::memory_order_release);
    worker->run(stop.stop_shards, idle);
  }
};

// One lcore's work.
struct Lane {
  unsigned lcore;
  std::variant<RxLoop<InlineSink>, RxLoop<PipelineSink>, ShardOnly> loop;
  const std::atomic<bool>* stop_receiving = nullptr;  // the rest is set by launch
  const std::atomic<bool>* stop_shards = nullptr;
  std::atomic<size_t>* drained = nullptr;
};

int run_lane(void* lane) {
  Lane& l = *static_cast<Lane*>(lane);
  const RxStop stop{*l.stop_receiving, *l.stop_shards, *l.drained};
  std::visit([&](auto& loop) { loop.run(stop); }, l.loop);
  return 0;
}

struct PortSlot {
  std::unique_ptr<Port> port;      // null: it failed
  std::string why;                 // then: the reason
  std::vector<LossStats*> losses;  // by queue
};

}  // namespace

// Order of destruction matters: lanes, then ports, then EAL.
struct Nic::State {
  State(const Plan& the_plan, std::unique_ptr<Eal> started)
      : plan(the_plan), eal(std::move(started)) {}

  const Plan& plan;
  std::unique_ptr<Eal> eal;
  std::vector<PortSlot> ports;
  std::vector<std::unique_ptr<Lane>> lanes;
  std::span<const Outlet> forward;  // by RxPlan, while starting
  std::atomic<bool> stop_receiving{false};
  std::atomic<size_t> drained{0};
  size_t launched = 0;

  void start_ports();
  absl::Status add_lane(uint16_t rx, SourceStats& stats, std::span<ShardWorker* const> shards);
  absl::StatusOr<ShardWorker*> inline_shard(uint16_t rx, std::span<ShardWorker* const> shards);
  [[nodiscard]] RxQueue rx_queue(uint16_t rx, SourceStats& stats) const;
};

void Nic::State::start_ports() {
  for (uint16_t i = 0; i < plan.port_count; ++i) {
    PortSlot& slot = ports.emplace_back();
    absl::StatusOr<std::unique_ptr<Port>> port = Port::start(plan, i);
    if (port.ok()) {
      slot.port = *std::move(port);
      spdlog::info("port {}: {}", plan.str(plan.ports[i].name), slot.port->text());
    } else {
      slot.why = std::string(to_std(port.status().message()));
      spdlog::error("{}", slot.why);
    }
  }
}

RxQueue Nic::State::rx_queue(uint16_t rx, SourceStats& stats) const {
  const RxPlan& r = plan.rx[rx];
  const Port& port = *ports[r.port].port;
  const PortPlan& spec = plan.ports[r.port];
  return {.port_id = port.id(),
          .queue = r.queue,
          .pool = port.pool(r.queue),
          .fragments = port.fragments(r.queue),
          .port = &spec,
          .link_ups = r.queue == 0 ? &port.link_ups() : nullptr,
          .us = port.responder(),
          .buffer_size = plan.dogstatsd.buffer_size,
          .in_nic_max = mbufs_per_queue(plan, spec),
          .stats = &stats,
          .forward = forward.empty() ? Outlet{} : forward[rx],
          .forward_joined_max = datagram_buffers(plan) / 2};
}

absl::StatusOr<ShardWorker*> Nic::State::inline_shard(uint16_t rx,
                                                      std::span<ShardWorker* const> shards) {
  for (uint16_t j = 0; j < plan.shard_count; ++j) {
    if (plan.shards[j].rx == rx) return shards[j];
  }
  return absl::InvalidArgumentError(
      cat("Plan: inline wiring, but no shard has receive queue ", rx));
}

absl::Status Nic::State::add_lane(uint16_t rx, SourceStats& stats,
                                  std::span<ShardWorker* const> shards) {
  const unsigned lcore = rx + 1u;
  if (!rte_lcore_is_enabled(lcore)) {
    return absl::InvalidArgumentError(cat("Plan: EAL's --lcores has no lcore ", lcore));
  }
  const bool up = ports[plan.rx[rx].port].port != nullptr;
  if (plan.wiring == Wiring::kInline) {
    ASSIGN_OR_RETURN(ShardWorker * worker, inline_shard(rx, shards));
    if (up) {
      lanes.push_back(std::make_unique<Lane>(
          Lane{lcore, RxLoop(rx_queue(rx, stats), plan.idle, InlineSink(*worker))}));
    } else {
      lanes.push_back(std::make_unique<Lane>(Lane{lcore, ShardOnly{worker, plan.idle}}));
    }
    return absl::OkStatus();
  }
  if (!up) return absl::OkStatus();
  const bool spread = plan.ports[plan.rx[rx].port].spread != 0;
  std::vector<PipelineSink::Target> targets;
  for (ShardWorker* worker : shards) {
    targets.push_back({worker, &worker->add_ring(plan.limits.ring_slots)});
  }
  lanes.push_back(std::make_unique<Lane>(
      Lane{lcore, RxLoop(rx_queue(rx, stats), plan.idle, PipelineSink(targets, spread))}));
  return absl::OkStatus();
}

Nic::Nic(std::unique_ptr<State> state) : state_(std::move(state)) {}
Nic::~Nic() = default;

absl::StatusOr<std::unique_ptr<Nic>> Nic::start(const Plan& plan, StatsBuilder& stats,
                                                std::span<ShardWorker* const> shards,
                                                std::span<const Outlet> forward) {
  ASSIGN_OR_RETURN(std::unique_ptr<Eal> eal, Eal::start(plan));
  auto state = std::make_unique<State>(plan, std::move(eal));
  state->forward = forward;
  state->start_ports();
  for (uint16_t i = 0; i < plan.rx_count; ++i) {
    const RxPlan& r = plan.rx[i];
    const std::string label = cat(plan.str(plan.ports[r.port].name), "/", r.queue);
    SourceStats& source = stats.add_source(StatsBlock::kRxQueue, label);
    state->ports[r.port].losses.push_back(&stats.add_loss(label));
    RETURN_IF_ERROR(state->add_lane(i, source, shards));
  }
  return std::unique_ptr<Nic>(new Nic(std::move(state)));
}

std::vector<NicPortState> Nic::ports() const {
  std::vector<NicPortState> states;
  for (const PortSlot& slot : state_->ports) {
    const std::string trouble = slot.port ? slot.port->trouble() : slot.why;
    if (trouble.empty()) {
      states.push_back({true, slot.port->watch_link(), slot.port->text()});
    } else {
      states.push_back({false, false, trouble});
    }
  }
  return states;
}

size_t Nic::ports_up() const {
  return static_cast<size_t>(std::count_if(state_->ports.begin(), state_->ports.end(),
                                           [](const PortSlot& s) { return s.port != nullptr; }));
}

void Nic::launch(const std::atomic<bool>& stop_shards) {
  for (const auto& lane : state_->lanes) {
    lane->stop_receiving = &state_->stop_receiving;
    lane->stop_shards = &stop_shards;
    lane->drained = &state_->drained;
    [[maybe_unused]] const int e = rte_eal_remote_launch(run_lane, lane.get(), lane->lcore);
    assert(e == 0);  // the Plan gives EAL one lcore for each receive queue
    ++state_->launched;
  }
}

void Nic::stop_receiving() {
  for (const PortSlot& slot : state_->ports) {
    if (slot.port) slot.port->withdraw();
  }
  state_->stop_receiving.store(true, std::memory_order_release);
  while (state_->drained.load(std::memory_order_acquire) != state_->launched) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void Nic::join() {
  for (const auto& lane : state_->lanes) rte_eal_wait_lcore(lane->lcore);
}

void Nic::read_losses() {
  for (const PortSlot& slot : state_->ports) {
    if (slot.port) slot.port->read_losses(slot.losses);
  }
}

}  // namespace penstock

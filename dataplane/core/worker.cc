#include "dataplane/core/worker.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "dataplane/core/clock.h"
#include "dataplane/core/latency_count.h"

namespace penstock {
namespace {

using std::chrono::microseconds;
using SteadyClock = std::chrono::steady_clock;

constexpr size_t kBurst = 64;  // packets a ring and pass: 2 KiB of descriptors
// Empty passes before sleeping, some tens of microseconds: longer than the gap between two bursts
// of a busy source, too short to show up in the cost of an idle one.
constexpr int kSpinPasses = 256;
// Every input wakes the sleeper; the limit is for expiring contexts in a process without traffic.
constexpr microseconds kSleep{100'000};

void relax() { __builtin_ia32_pause(); }

}  // namespace

ShardWorker::ShardWorker(const Plan& plan, uint16_t index, ShardStats& stats,
                         std::unique_ptr<Sleeper> sleeper, const Senders* senders)
    : times_(stats.times), shard_(plan, index, stats, senders), sleeper_(std::move(sleeper)) {}

PacketRing& ShardWorker::add_ring(uint32_t slots) {
  return *rings_.emplace_back(std::make_unique<PacketRing>(slots));
}

void ShardWorker::process(std::span<const Packet> packets, Now now) {
  shard_.process(packets, now);
  count_latency(packets, read_ticks(), times_);
}

size_t ShardWorker::poll(Now now) {
  size_t handled = 0;
  for (const auto& ring : rings_) {
    const std::span<const Packet> burst = ring->peek(kBurst);
    if (burst.empty()) continue;
    process(burst, now);
    ring->finish(burst.size());
    handled += burst.size();
  }
  cleaning_ = false;
  if (shard_.epoch_work()) [[unlikely]]
    attend_epoch(now);
  return handled;
}

void ShardWorker::attend_epoch(Now now) {
  const auto begun = SteadyClock::now();
  cleaning_ = shard_.poll_epoch(now);
  const uint64_t ns = std::chrono::nanoseconds(SteadyClock::now() - begun).count();
  if (ns > times_.pause_ns_max.get()) times_.pause_ns_max.set(ns);
}

bool ShardWorker::has_work() const {
  return std::any_of(rings_.begin(), rings_.end(), [](const auto& r) { return !r->empty(); });
}

void ShardWorker::run(const std::atomic<bool>& stop, IdleMode idle, Cpu cpu) {
  const int looks = cpu == Cpu::kShared ? 1 : kSpinPasses;
  int idle_passes = 0;
  for (;;) {
    // Read before the look at the rings: what was pushed before the stop is then seen.
    const bool stopping = stop.load(std::memory_order_acquire);
    if (poll(read_clock()) != 0 || cleaning_) {  // an idle shard is clean at once
      idle_passes = 0;
      continue;
    }
    if (stopping && !has_work()) return;
    relax();
    if (idle == IdleMode::kBusy || ++idle_passes < looks) continue;
    idle_passes = 0;
    sleep(stop);
  }
}

// Looks at everything once more between the announcement and the wait: the rings, the stop flag
// and, by way of `poll`, the epoch the keeper wants.
void ShardWorker::sleep(const std::atomic<bool>& stop) {
  sleeper_->prepare();
  if (poll(read_clock()) != 0 || cleaning_ || stop.load(std::memory_order_acquire)) {
    sleeper_->cancel();
    return;
  }
  sleeper_->wait(kSleep);
}

}  // namespace penstock

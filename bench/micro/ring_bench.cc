// What one packet costs to cross from a receive thread to a shard, buffers brought home included.

#include <benchmark/benchmark.h>

#include <atomic>
#include <thread>
#include <vector>

#include "dataplane/core/ring.h"

namespace penstock {
namespace {

// Finishes bursts until `stop`; reads one word of each descriptor, as a shard would.
void consume(PacketRing& ring, const std::atomic<bool>& stop) {
  uint64_t sum = 0;
  while (!stop.load(std::memory_order_relaxed)) {
    const auto burst = ring.peek(64);
    for (const Packet& p : burst) sum += p.len;
    if (burst.empty()) {
      __builtin_ia32_pause();
    } else {
      ring.finish(burst.size());
    }
  }
  benchmark::DoNotOptimize(sum);
}

// Two cores: push a burst, reclaim what is finished, wait while the ring is full.
void BM_RingHop(benchmark::State& state) {
  const auto burst_size = static_cast<size_t>(state.range(0));
  PacketRing ring(4096);
  std::atomic<bool> stop{false};
  std::thread consumer(consume, std::ref(ring), std::cref(stop));
  Packet packet{};
  packet.len = 1;
  packet.owner = 1;
  const std::vector<Packet> burst(burst_size, packet);
  uint64_t freed = 0;
  for ([[maybe_unused]] auto _ : state) {
    for (size_t pushed = 0; pushed < burst_size;) {
      pushed += ring.push(std::span(burst).subspan(pushed));
      ring.reclaim([&](uint64_t owner) { freed += owner; });
    }
  }
  stop = true;
  consumer.join();
  benchmark::DoNotOptimize(freed);
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_RingHop)->Arg(1)->Arg(8)->Arg(32)->Arg(64)->UseRealTime();

// One core, everything in cache: the instructions alone.
void BM_RingSameThread(benchmark::State& state) {
  const auto burst_size = static_cast<size_t>(state.range(0));
  PacketRing ring(4096);
  Packet packet{};
  packet.owner = 1;
  const std::vector<Packet> burst(burst_size, packet);
  uint64_t freed = 0;
  for ([[maybe_unused]] auto _ : state) {
    ring.push(burst);
    for (auto got = ring.peek(64); !got.empty(); got = ring.peek(64)) ring.finish(got.size());
    ring.reclaim([&](uint64_t owner) { freed += owner; });
  }
  benchmark::DoNotOptimize(freed);
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_RingSameThread)->Arg(1)->Arg(32);

}  // namespace
}  // namespace penstock

BENCHMARK_MAIN();

// What one core does with frames of 64 bytes: receive, validate, dispatch. The NIC is net_pcap with
// infinite_rx=1, which copies each frame into its buffer and counts it. Needs no root and no
// hugepages.

#include <benchmark/benchmark.h>
#include <rte_mbuf.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "bench/micro/traffic.h"
#include "dataplane/nic/eal.h"
#include "dataplane/nic/port.h"
#include "dataplane/nic/rx_loop.h"
#include "tests/unit/nic/nic_fixture.h"
#include "tests/unit/parsers/packet_builder.h"

namespace penstock {
namespace {

using namespace penstock::testing;

constexpr uint32_t kFrames = 1024;

// One untagged line a packet, 1000 names, 64 flows.
std::vector<Bytes> make_frames() {
  std::vector<Bytes> frames;
  for (uint32_t i = 0; i < kFrames; ++i) {
    char line[32];
    std::snprintf(line, sizeof line, "page.views.of.%03u:1|c", i % 1000);
    frames.push_back(Pkt()
                         .ip4("10.0.0.2", "10.0.0.1")
                         .udp(static_cast<uint16_t>(40000 + i % 64), 8125)
                         .text(line)
                         .pad(1)
                         .build());
    if (frames.back().size() != 64) std::abort();
  }
  return frames;
}

std::string write_pcap(const std::vector<Bytes>& frames) {
  std::string path = cat("/tmp/penstock-rx-bench-", ::getpid(), ".pcap");
  FILE* file = std::fopen(path.c_str(), "wb");
  const uint32_t header[] = {0xa1b2c3d4, 4u << 16 | 2u, 0, 0, 65535, 1};
  std::fwrite(header, sizeof header, 1, file);
  for (const Bytes& frame : frames) {
    const auto size = static_cast<uint32_t>(frame.size());
    const uint32_t record[] = {0, 0, size, size};
    std::fwrite(record, sizeof record, 1, file);
    std::fwrite(frame.data(), frame.size(), 1, file);
  }
  std::fclose(file);
  return path;
}

// A started port with its shard, and what a receive loop needs. EAL and the port live as long as
// the process.
struct Bench {
  static Bench& get() {
    static Bench* const bench = new Bench;
    return *bench;
  }

  RxQueue queue() {
    return {.port_id = port->id(),
            .queue = 0,
            .pool = port->pool(0),
            .fragments = port->fragments(0),
            .port = plan->ports.data(),
            .link_ups = nullptr,
            .us = port->responder(),
            .buffer_size = plan->dogstatsd.buffer_size,
            .in_nic_max = 0,
            .stats = stats};
  }

  std::unique_ptr<Plan> plan = test_plan(Wiring::kPipeline, 1);
  StatsMemory memory;
  std::unique_ptr<StatsBuilder> builder = std::make_unique<StatsBuilder>(memory.bytes());
  SourceStats* stats = &builder->add_source(StatsBlock::kRxQueue, "pcap/0");
  std::unique_ptr<Shards> shards;
  std::unique_ptr<Eal> eal;
  std::unique_ptr<Port> port;

 private:
  Bench() {
    const std::string path = write_pcap(make_frames());
    plan->limits = bench_plan()->limits;
    PortPlan& spec = add_port(*plan, "pcap", cat("net_pcap0,rx_pcap=", path, ",infinite_rx=1"));
    spec.descriptors = 2048;
    add_eal_args(*plan, "0@0");
    eal = *Eal::start(*plan);
    auto started = Port::start(*plan, 0);
    ::unlink(path.c_str());
    if (!started.ok()) {
      std::fprintf(stderr, "%s\n", std::string(started.status().message()).c_str());
      std::exit(1);
    }
    port = *std::move(started);
    shards = std::make_unique<Shards>(*plan, *builder);
  }
};

void finish(benchmark::State& state, uint64_t dispatched_before) {
  Bench& b = Bench::get();
  const uint64_t packets = b.stats->dispatched.get() - dispatched_before;
  if (unaccounted(*b.stats) != 0 || packets == 0)
    state.SkipWithError("the ledger does not balance");
  state.SetItemsProcessed(static_cast<int64_t>(packets));
}

// To one shard's ring, buffers brought home; the shard is replaced by something that only says
// "finished".
void BM_ReceiveToRing(benchmark::State& state) {
  Bench& b = Bench::get();
  PacketRing& ring = b.shards->pointers[0]->add_ring(4096);
  const PipelineSink::Target target{b.shards->pointers[0], &ring};
  RxLoop<PipelineSink> loop(b.queue(), IdleMode::kBusy, PipelineSink({&target, 1}, false));
  const uint64_t before = b.stats->dispatched.get();
  for ([[maybe_unused]] auto _ : state) {
    loop.pass();
    ring.finish(ring.peek(64).size());
  }
  ring.reclaim([](uint64_t owner) {
    rte_pktmbuf_free(reinterpret_cast<rte_mbuf*>(owner));  // NOLINT(performance-no-int-to-ptr)
  });
  finish(state, before);
}
BENCHMARK(BM_ReceiveToRing);

// To the aggregate, run to completion.
void BM_ReceiveInline(benchmark::State& state) {
  Bench& b = Bench::get();
  RxLoop<InlineSink> loop(b.queue(), IdleMode::kBusy, InlineSink(*b.shards->pointers[0]));
  const uint64_t before = b.stats->dispatched.get();
  for ([[maybe_unused]] auto _ : state) loop.pass();
  finish(state, before);
}
BENCHMARK(BM_ReceiveInline);

// The verdict on a frame alone, buffers in the cache.
void BM_Inspect(benchmark::State& state) {
  Bench& b = Bench::get();
  std::vector<rte_mbuf*> frames;
  for (const Bytes& frame : make_frames()) {
    if (frames.size() == 32) break;
    frames.push_back(rte_pktmbuf_alloc(b.port->pool(0)));
    std::copy(frame.begin(), frame.end(),
              reinterpret_cast<uint8_t*>(
                  rte_pktmbuf_append(frames.back(), static_cast<uint16_t>(frame.size()))));
  }
  const FrameGate gate(b.queue());
  Packet packet;
  Tally tally;
  for ([[maybe_unused]] auto _ : state) {
    for (rte_mbuf* frame : frames) {
      benchmark::DoNotOptimize(gate.inspect(*frame, 0, packet, tally));
      benchmark::DoNotOptimize(packet);
    }
  }
  rte_pktmbuf_free_bulk(frames.data(), static_cast<unsigned>(frames.size()));
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * frames.size()));
}
BENCHMARK(BM_Inspect);

}  // namespace
}  // namespace penstock

BENCHMARK_MAIN();

// The receive loops on real drivers, in this process: packets a second of receive, check and
// dispatch into one ring; one flow that is spread over two shards against a thousand flows that
// are not; and the time from a packet on the wire to its value in the shard. The receive loop has
// CPU 1, everything else CPU 0. On a machine that others use, run BM_Lone and BM_Latency with
// `chrt -f`, and only those: in the others a thread spins on CPU 0 that would keep this one away.

#include <benchmark/benchmark.h>
#include <pthread.h>
#include <rte_cycles.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <deque>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/nic/eal.h"
#include "dataplane/nic/port.h"
#include "dataplane/nic/rx_loop.h"
#include "tests/unit/nic/nic_fixture.h"
#include "tools/pktgen/frame.h"
#include "tools/pktgen/output.h"
#include "tools/pktgen/traffic.h"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using pktgen::FrameMaker;

constexpr unsigned kReceiver = 1;  // lcore and CPU
constexpr size_t kFrames = 8000;
constexpr char kTarget[] = "10.0.0.1:8125";

void start_eal_once() {
  static const auto eal = [] {
    auto plan = testing::test_plan(Wiring::kInline, 1);
    for (int i = 0; i < 8; ++i)
      testing::add_port(*plan, "room", "net_ring_room").descriptors = 16384;
    testing::add_eal_args(*plan, "0@0,1@1");
    auto started = Eal::start(*plan);
    if (!started.ok()) std::abort();
    return *std::move(started);
  }();
}

std::unique_ptr<Plan> make_plan(Wiring wiring, uint16_t shards, const std::string& device) {
  start_eal_once();
  auto plan = testing::test_plan(wiring, shards);
  plan->dogstatsd.buffer_size = 8192;
  plan->limits.ring_slots = 4096;
  plan->limits.contexts = 20'000;
  plan->limits.context_bytes = 16 << 20;
  plan->limits.memo_bytes = 16 << 20;
  testing::add_port(*plan, "p", device).descriptors = kFrames;
  finish_plan(*plan);
  return plan;
}

// One port, its shards, and the loop on its lcore.
template <class Sink>
class Receiver {
 public:
  Receiver(std::unique_ptr<Plan> plan, IdleMode idle) : plan_(std::move(plan)), idle_(idle) {
    auto port = Port::start(*plan_, 0);
    if (!port.ok()) {
      std::fprintf(stderr, "%s\n", port.status().ToString().c_str());
      std::abort();
    }
    port_ = *std::move(port);
    source = &builder_.add_source(StatsBlock::kRxQueue, "p/0");
    shards = std::make_unique<testing::Shards>(*plan_, builder_);
  }

  void launch(Sink sink) {
    loop_ = std::make_unique<RxLoop<Sink>>(queue(), idle_, std::move(sink));
    rte_eal_remote_launch(
        [](void* self) {
          auto& r = *static_cast<Receiver*>(self);
          r.loop_->run({r.stop_receiving_, r.stop_shards_, r.drained_});
          return 0;
        },
        this, kReceiver);
  }

  // Those who take packets out of the rings must still do so.
  void stop() {
    stop_receiving_ = true;
    while (drained_ == 0) std::this_thread::sleep_for(100us);
    stop_shards_ = true;
    for (ShardWorker* w : shards->pointers) w->sleeper().wake();
    rte_eal_wait_lcore(kReceiver);
  }

  [[nodiscard]] const std::atomic<bool>& stop_shards() const { return stop_shards_; }
  [[nodiscard]] const Plan& plan() const { return *plan_; }

 private:
  RxQueue queue() {
    return {.port_id = port_->id(),
            .queue = 0,
            .pool = port_->pool(0),
            .fragments = port_->fragments(0),
            .port = plan_->ports.data(),
            .link_ups = nullptr,
            .us = port_->responder(),
            .buffer_size = plan_->dogstatsd.buffer_size,
            .in_nic_max = 100'000,
            .stats = source};
  }

  std::unique_ptr<Plan> plan_;
  IdleMode idle_;
  std::unique_ptr<Port> port_;
  testing::StatsMemory memory_;
  StatsBuilder builder_{memory_.bytes()};
  std::unique_ptr<RxLoop<Sink>> loop_;
  std::atomic<bool> stop_receiving_{false};
  std::atomic<bool> stop_shards_{false};
  std::atomic<size_t> drained_{0};

 public:
  SourceStats* source;
  std::unique_ptr<testing::Shards> shards;
};

void pin(std::thread& thread, int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  ::pthread_setaffinity_np(thread.native_handle(), sizeof set, &set);
}

// Lets it run for a while an iteration and counts.
void count(benchmark::State& state, const SourceStats& source) {
  std::this_thread::sleep_for(200ms);
  uint64_t received = 0;
  uint64_t dropped = 0;
  for ([[maybe_unused]] auto _ : state) {
    const uint64_t r = source.received.get();
    const uint64_t d = source.ring_full.get();
    std::this_thread::sleep_for(300ms);
    received += source.received.get() - r;
    dropped += source.ring_full.get() - d;
  }
  state.SetItemsProcessed(static_cast<int64_t>(received));
  state.counters["ring_full"] = static_cast<double>(dropped) / static_cast<double>(received);
}

// A capture in a file that goes with it.
class Capture {
 public:
  Capture(const std::vector<std::string>& payloads, uint32_t flows) {
    auto output = pktgen::open_pcap(path_, {.to = kTarget, .flows = flows});
    if (!output.ok()) std::abort();
    std::vector<std::string_view> packets;
    for (size_t i = 0; i < kFrames; ++i) packets.emplace_back(payloads[i % payloads.size()]);
    if (!(*output)->send(packets, 0).ok() || !(*output)->finish().ok()) std::abort();
  }
  ~Capture() { ::unlink(path_.c_str()); }
  [[nodiscard]] std::string device() const {
    return "net_pcap0,rx_pcap=" + path_ + ",infinite_rx=1";
  }

 private:
  std::string path_ = "/tmp/penstock-bench-" + std::to_string(::getpid()) + ".pcap";
};

// 60 bytes without the checksum that a NIC adds: the shortest frame there is.
std::vector<std::string> shortest() { return {"page.view.cnt:12|c"}; }

std::vector<std::string> typical() {
  const auto deck = *pktgen::Deck::make({});
  std::vector<std::string> packets;
  for (size_t i = 0; i < deck.size(); ++i) packets.emplace_back(deck.packet(i));
  return packets;
}

void BM_ReceiveCheckDispatch(benchmark::State& state, bool spread) {
  const Capture capture(shortest(), 1000);
  auto plan = make_plan(Wiring::kPipeline, 1, capture.device());
  plan->ports[0].spread = spread ? 1 : 0;
  Receiver<PipelineSink> r(std::move(plan), IdleMode::kBusy);
  PacketRing& ring = r.shards->pointers[0]->add_ring(r.plan().limits.ring_slots);
  const PipelineSink::Target target{r.shards->pointers[0], &ring};
  std::thread consumer([&] {
    while (!r.stop_shards()) {
      while (!ring.empty()) ring.finish(ring.peek(64).size());
      __builtin_ia32_pause();
    }
  });
  pin(consumer, 0);
  r.launch(PipelineSink({&target, 1}, spread));
  count(state, *r.source);
  r.stop();
  consumer.join();
}
BENCHMARK_CAPTURE(BM_ReceiveCheckDispatch, by_flow, false)->UseRealTime();
BENCHMARK_CAPTURE(BM_ReceiveCheckDispatch, spread, true)->UseRealTime();

// Two shards that share CPU 0, so that what counts is how evenly they get work, not how many cores
// there are. items_per_second is what the shards took.
void BM_TwoShards(benchmark::State& state, uint32_t flows, bool spread) {
  const Capture capture(typical(), flows);
  auto plan = make_plan(Wiring::kPipeline, 2, capture.device());
  Receiver<PipelineSink> r(std::move(plan), IdleMode::kBusy);
  std::vector<PipelineSink::Target> targets;
  std::vector<std::thread> threads;
  for (ShardWorker* w : r.shards->pointers) {
    targets.push_back({w, &w->add_ring(r.plan().limits.ring_slots)});
  }
  for (ShardWorker* w : r.shards->pointers) {
    pin(threads.emplace_back([&r, w] { w->run(r.stop_shards(), IdleMode::kAdaptive); }), 0);
  }
  r.launch(PipelineSink(targets, spread));
  std::this_thread::sleep_for(300ms);
  uint64_t taken = 0;
  uint64_t first = r.shards->stats[0]->packets.get();
  for ([[maybe_unused]] auto _ : state) {
    const uint64_t before = r.shards->packets();
    std::this_thread::sleep_for(500ms);
    taken += r.shards->packets() - before;
  }
  first = r.shards->stats[0]->packets.get() - first;
  state.SetItemsProcessed(static_cast<int64_t>(taken));
  state.counters["share_of_first"] = static_cast<double>(first) / static_cast<double>(taken);
  r.stop();
  for (std::thread& t : threads) t.join();
}
BENCHMARK_CAPTURE(BM_TwoShards, flows_1000, 1000, false)->UseRealTime();
BENCHMARK_CAPTURE(BM_TwoShards, one_flow, 1, false)->UseRealTime();
BENCHMARK_CAPTURE(BM_TwoShards, one_flow_spread, 1, true)->UseRealTime();

// The far end of a net_ring port: frames that are built once and sent again and again.
class RingWire {
 public:
  explicit RingWire(const std::vector<std::string>& payloads) {
    start_eal_once();
    in_ = rte_ring_create("bench_in", kSlots, 0, RING_F_SP_ENQ | RING_F_SC_DEQ);
    out_ = rte_ring_create("bench_out", kSlots, 0, RING_F_SP_ENQ | RING_F_SC_DEQ);
    pool_ = rte_pktmbuf_pool_create("bench_wire", 4095, 0, 0, 2304, 0);
    if (pool_ == nullptr || rte_eth_from_rings("bench", &in_, 1, &out_, 1, 0) < 0) std::abort();
    const auto maker = *FrameMaker::to("", {.to = kTarget, .flows = 1000});
    for (size_t i = 0; i < std::min<size_t>(payloads.size(), 2000); ++i) {
      const auto headers = maker.headers(payloads[i], i);
      rte_mbuf* m = rte_pktmbuf_alloc(pool_);
      const auto size = static_cast<uint16_t>(headers.size() + payloads[i].size());
      char* to = rte_pktmbuf_append(m, size);
      std::copy(headers.begin(), headers.end(), to);
      std::copy(payloads[i].begin(), payloads[i].end(), to + headers.size());
      frames_.push_back(m);
    }
  }
  ~RingWire() {
    for (rte_mbuf* m : frames_) rte_pktmbuf_free(m);
    rte_ring_free(in_);
    rte_ring_free(out_);
    rte_mempool_free(pool_);
  }
  RingWire(const RingWire&) = delete;
  RingWire& operator=(const RingWire&) = delete;

  bool send() {
    rte_mbuf* m = frames_[next_];
    rte_mbuf_refcnt_update(m, 1);
    if (rte_ring_enqueue(in_, m) != 0) {
      rte_mbuf_refcnt_update(m, -1);
      return false;
    }
    next_ = next_ + 1 < frames_.size() ? next_ + 1 : 0;
    return true;
  }

 private:
  static constexpr unsigned kSlots = 1024;
  rte_ring* in_;
  rte_ring* out_;
  rte_mempool* pool_;
  std::vector<rte_mbuf*> frames_;
  size_t next_ = 0;
};

void report(benchmark::State& state, std::vector<double>& us) {
  std::sort(us.begin(), us.end());
  const auto at = [&](double q) { return us[static_cast<size_t>(q * (us.size() - 1))]; };
  state.counters["p50_us"] = at(0.5);
  state.counters["p99_us"] = at(0.99);
  state.counters["p999_us"] = at(0.999);
  state.counters["max_us"] = us.back();
}

double us_since(uint64_t tsc) {
  return static_cast<double>(rte_rdtsc() - tsc) * 1e6 / static_cast<double>(rte_get_tsc_hz());
}

// A packet now and then to a loop that sleeps: from the wire to the counters of its shard.
void BM_LonePacket(benchmark::State& state) {
  RingWire wire(shortest());
  Receiver<InlineSink> r(make_plan(Wiring::kInline, 1, "net_ring_bench"), IdleMode::kAdaptive);
  r.launch(InlineSink(*r.shards->pointers[0]));
  std::minstd_rand random;
  std::vector<double> us;
  for ([[maybe_unused]] auto _ : state) {
    for (int i = 0; i < 500; ++i) {
      std::this_thread::sleep_for(std::chrono::microseconds(3'000 + random() % 2'000));
      const uint64_t before = r.shards->packets();
      const uint64_t sent = rte_rdtsc();
      wire.send();
      while (r.shards->packets() == before) __builtin_ia32_pause();
      us.push_back(us_since(sent));
    }
  }
  report(state, us);
  r.stop();
}
BENCHMARK(BM_LonePacket)->UseRealTime()->Iterations(4);

// Sends for `length`, `interval` TSC ticks apart (0: as fast as they are taken), and looks at the
// shard's counters between any two.
std::vector<double> load(RingWire& wire, const testing::Shards& shards, uint64_t interval,
                         std::chrono::milliseconds length) {
  std::deque<uint64_t> waiting;
  std::vector<double> us;
  uint64_t done = shards.packets();
  const uint64_t end =
      rte_rdtsc() + rte_get_tsc_hz() / 1000 * static_cast<uint64_t>(length.count());
  for (uint64_t due = rte_rdtsc(); rte_rdtsc() < end;) {
    if (rte_rdtsc() >= due && wire.send()) {
      waiting.push_back(rte_rdtsc());
      due += interval;
    }
    for (const uint64_t now = shards.packets(); done < now; ++done) {
      us.push_back(us_since(waiting.front()));
      waiting.pop_front();
    }
  }
  while (shards.packets() != done + waiting.size()) __builtin_ia32_pause();
  return us;
}

// Full packets, one by one at even distances, at a share of what the loop can take. In short runs
// with pauses, so that a kernel that shields others from `chrt -f` does not interrupt them.
void BM_LatencyUnderLoad(benchmark::State& state) {
  std::vector<double> us;
  size_t most = 0;  // packets a second
  for ([[maybe_unused]] auto _ : state) {
    RingWire wire(typical());
    Receiver<InlineSink> r(make_plan(Wiring::kInline, 1, "net_ring_bench"), IdleMode::kBusy);
    r.launch(InlineSink(*r.shards->pointers[0]));
    load(wire, *r.shards, 0, 100ms);  // contexts and memo are known from here on
    most = std::max(most, load(wire, *r.shards, 0, 100ms).size() * 10);
    const uint64_t interval = rte_get_tsc_hz() * 100 / (most * static_cast<size_t>(state.range(0)));
    const std::vector<double> more = load(wire, *r.shards, interval, 300ms);
    us.insert(us.end(), more.begin(), more.end());
    r.stop();
    std::this_thread::sleep_for(700ms);
  }
  state.counters["packets_per_s_most"] = static_cast<double>(most);
  report(state, us);
}
BENCHMARK(BM_LatencyUnderLoad)->UseRealTime()->Iterations(10)->Arg(50)->Arg(80);

}  // namespace
}  // namespace penstock

BENCHMARK_MAIN();

// What one datagram costs the receiving thread: the io loop against a plain loop of recvmmsg. The
// column cpu_ns is CPU time of the receiving thread a datagram, system calls included; the time
// column is the wall clock of the whole, sender and shard on the same machine included.

#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/api/io_memory.h"
#include "dataplane/core/senders.h"
#include "dataplane/core/sleeper.h"
#include "dataplane/origin/resolver.h"
#include "dataplane/uring/io_loop.h"
#include "dataplane/uring/loop.h"
#include "tests/support/small_plan.h"

namespace penstock {
namespace {

using namespace std::chrono_literals;

constexpr size_t kDatagramBytes = 400;
constexpr size_t kBufferSize = 8192;

struct Pair {
  Fd receiver;
  Fd sender;
};

Pair uds_pair() {
  Pair p{Fd(::socket(AF_UNIX, SOCK_DGRAM, 0)), Fd(::socket(AF_UNIX, SOCK_DGRAM, 0))};
  sockaddr_un a{};
  a.sun_family = AF_UNIX;  // an abstract name: nothing to clean up
  const std::string name = "penstock-io-bench-" + std::to_string(::getpid());
  std::memcpy(a.sun_path + 1, name.data(), name.size());
  const auto* address = reinterpret_cast<const sockaddr*>(&a);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (::bind(p.receiver.get(), address, size) != 0) std::abort();
  if (::connect(p.sender.get(), address, size) != 0) std::abort();
  return p;
}

Pair udp_pair() {
  Pair p{Fd(::socket(AF_INET, SOCK_DGRAM, 0)), Fd(::socket(AF_INET, SOCK_DGRAM, 0))};
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* address = reinterpret_cast<sockaddr*>(&a);
  socklen_t size = sizeof a;
  const int room = 4 << 20;  // as far as net.core.rmem_max lets it
  ::setsockopt(p.receiver.get(), SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  if (::bind(p.receiver.get(), address, size) != 0) std::abort();
  ::getsockname(p.receiver.get(), address, &size);
  if (::connect(p.sender.get(), address, size) != 0) std::abort();
  return p;
}

Pair make_pair(ListenerKind kind) {
  return kind == ListenerKind::kUdsDatagram ? uds_pair() : udp_pair();
}

// Sends without pause until `stop`.
class Sender {
 public:
  explicit Sender(int fd) : thread_([this, fd] { run(fd); }) {}
  ~Sender() {
    stop_ = true;
    thread_.join();
  }

 private:
  void run(int fd) const {
    const std::string datagram(kDatagramBytes, 'x');
    while (!stop_.load(std::memory_order_relaxed)) {
      ::send(fd, datagram.data(), datagram.size(), 0);
    }
  }
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

uint64_t cpu_ns(std::thread& thread) {
  clockid_t clock;
  ::pthread_getcpuclockid(thread.native_handle(), &clock);
  timespec t{};
  ::clock_gettime(clock, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

// Lets `receiver` work for a while per iteration and divides.
void measure(benchmark::State& state, std::thread& receiver, const Counter& received) {
  uint64_t ns = 0;
  uint64_t datagrams = 0;
  for ([[maybe_unused]] auto _ : state) {
    const uint64_t ns_before = cpu_ns(receiver);
    const uint64_t before = received.get();
    std::this_thread::sleep_for(100ms);
    ns += cpu_ns(receiver) - ns_before;
    datagrams += received.get() - before;
  }
  state.counters["cpu_ns"] = static_cast<double>(ns) / static_cast<double>(datagrams);
  state.SetItemsProcessed(static_cast<int64_t>(datagrams));
}

// A shard that only finishes packets, and sleeps as a worker does.
void finish_packets(PacketRing& ring, Sleeper& sleeper, const std::atomic<bool>& done) {
  while (!done) {
    for (int spin = 0; spin < 256; ++spin) {
      while (!ring.empty()) ring.finish(ring.peek(64).size());
      __builtin_ia32_pause();
    }
    sleeper.prepare();
    if (ring.empty() && !done) {
      sleeper.wait(10ms);
    } else {
      sleeper.cancel();
    }
  }
}

// The resolver on a thread of its own, as in the data plane.
class Detection {
 public:
  Detection(const Plan& plan, uring::Loop*& loop)
      : resolver_(*origin::Resolver::create(plan, senders_)),
        thread_([this, &loop] { resolver_->run(stop_, [&loop] { loop->wake(); }); }) {}
  ~Detection() {
    stop_ = true;
    resolver_->wake();
    thread_.join();
  }
  std::unique_ptr<origin::Origins> origins(const Plan& plan) {
    return std::make_unique<origin::Origins>(plan, *resolver_, std::vector{&stats_});
  }

 private:
  Senders senders_{16};
  OriginStats stats_;
  std::unique_ptr<origin::Resolver> resolver_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

enum class Origin : uint8_t { kOff, kDetected };

// Sends everything on to `count` UDP sockets that nobody reads: what they cannot hold is dropped.
class Targets {
 public:
  explicit Targets(size_t count) : stats_(count) {
    for (size_t i = 0; i < count; ++i) pairs_.push_back(udp_pair());
  }
  void attach(Plan& plan, uring::Loop& loop) {
    if (pairs_.empty()) return;
    plan.forward.target_count = static_cast<uint32_t>(pairs_.size());
    plan.forward.queue = 4096;
    std::vector<Fd> sockets;
    std::vector<ForwardStats*> stats;
    for (size_t i = 0; i < pairs_.size(); ++i) {
      sockets.push_back(std::move(pairs_[i].sender));
      stats.push_back(&stats_[i]);
    }
    if (!loop.forward_to(plan, std::move(sockets), stats).ok()) std::abort();
  }

 private:
  std::vector<Pair> pairs_;
  std::vector<ForwardStats> stats_;
};

void BM_IoLoop(benchmark::State& state, ListenerKind kind, Origin detection, size_t target_count) {
  auto plan = make_plan();
  plan->shard_count = 1;
  plan->listener_count = 1;
  plan->listeners[0].kind = kind;
  plan->io_buffers = 1024;
  plan->dogstatsd.buffer_size = kBufferSize;
  Pair sockets = make_pair(kind);
  SourceStats source;
  SourceStats* sources = &source;
  LossStats loss;
  LossStats* losses = &loss;
  PacketRing ring(io_ring_slots(*plan));
  auto sleeper = *Sleeper::create();
  const Outlet outlet{&ring, sleeper.get()};
  std::vector<Fd> receivers;
  receivers.push_back(std::move(sockets.receiver));
  plan->limits.origins = 1024;
  plan->proc_root = plan->add_text("/proc");
  uring::Loop* asking = nullptr;
  std::optional<Detection> detecting;
  if (detection == Origin::kDetected) detecting.emplace(*plan, asking);
  auto loop = *uring::Loop::create(*plan, std::move(receivers), {&sources, 1}, {&losses, 1},
                                   {&outlet, 1}, detecting ? detecting->origins(*plan) : nullptr);
  asking = loop.get();
  Targets targets(target_count);
  targets.attach(*plan, *loop);

  std::atomic<bool> stop{false};
  std::atomic<bool> done{false};
  std::thread shard(finish_packets, std::ref(ring), std::ref(*sleeper), std::cref(done));
  std::thread io([&] {
    const absl::Status s = loop->run(stop);
    if (!s.ok()) state.SkipWithError(s.ToString().c_str());
  });
  {
    const Sender sender(sockets.sender.get());
    measure(state, io, source.received);
  }
  stop = true;
  loop->wake();
  io.join();
  done = true;
  shard.join();
}
BENCHMARK_CAPTURE(BM_IoLoop, uds, ListenerKind::kUdsDatagram, Origin::kOff, 0)->UseRealTime();
BENCHMARK_CAPTURE(BM_IoLoop, uds_origins, ListenerKind::kUdsDatagram, Origin::kDetected, 0)
    ->UseRealTime();
BENCHMARK_CAPTURE(BM_IoLoop, udp, ListenerKind::kUdp, Origin::kOff, 0)->UseRealTime();
BENCHMARK_CAPTURE(BM_IoLoop, udp_forwarded, ListenerKind::kUdp, Origin::kOff, 1)->UseRealTime();
BENCHMARK_CAPTURE(BM_IoLoop, udp_forwarded_twice, ListenerKind::kUdp, Origin::kOff, 2)
    ->UseRealTime();

// What detection adds to a packet whose sender is known, of `processes` senders in turn.
void BM_Origins(benchmark::State& state) {
  const auto processes = static_cast<uint32_t>(state.range(0));
  auto plan = make_plan();
  plan->io_buffers = 1024;
  plan->limits.origins = 65536;
  plan->proc_root = plan->add_text("/nowhere");
  Senders senders(16);
  const auto resolver = *origin::Resolver::create(*plan, senders);
  OriginStats stats;
  origin::Origins origins(*plan, *resolver, {&stats});
  uint64_t delivered = 0;
  Packet packet{};
  const auto deliver = [&](const Packet& p) { delivered += p.len + 1; };
  origins.begin_pass(1);
  for (uint32_t pid = 1; pid <= processes; ++pid) {
    origins.take(packet, {pid, 0, 0}, 0, deliver);
    while (resolver->answer_some() != 0) origins.settle(deliver);
  }
  uint32_t pid = 0;
  for ([[maybe_unused]] auto _ : state) {
    pid = pid % processes + 1;
    origins.take(packet, {pid, 0, 0}, 0, deliver);
    benchmark::DoNotOptimize(delivered);
  }
  origins.end_pass();
  if (stats.origin_lookups.get() != processes) state.SkipWithError("not all were known");
}
BENCHMARK(BM_Origins)->Arg(1)->Arg(1000)->Arg(50000);

// The same work by recvmmsg: batches of up to 64 into free buffers, published to the shard's ring.
// `sender`: with its credentials (UDS) or address (UDP), by which the io loop chooses the shard;
// otherwise as plain as it can be.
class RecvmmsgReceiver {
 public:
  RecvmmsgReceiver(int fd, bool sender, PacketRing& ring, Sleeper& sleeper)
      : fd_(fd), sender_(sender), ring_(ring), sleeper_(sleeper), memory_(kBuffers * kBufferSize) {
    const int on = sender ? 1 : 0;
    ::setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);  // UDP has none, and refuses
    for (size_t i = 0; i < kBuffers; ++i) free_.push_back(i);
    const timeval wakeup{.tv_sec = 0, .tv_usec = 10'000};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wakeup, sizeof wakeup);
  }

  void run(const std::atomic<bool>& stop, Counter& received) {
    while (!stop) {
      ring_.reclaim([&](uint64_t owner) { free_.push_back(owner - 1); });
      const size_t n = std::min(kBatch, free_.size());
      if (n != 0) received.add(batch(n));
    }
  }

 private:
  static constexpr size_t kBatch = 64;
  static constexpr size_t kBuffers = 1024;

  uint64_t batch(size_t n) {
    const auto ids = std::span(free_).last(n);
    for (size_t i = 0; i < n; ++i) {
      iov_[i] = {memory_.data() + ids[i] * kBufferSize, kBufferSize};
      messages_[i].msg_hdr = {};
      messages_[i].msg_hdr.msg_iov = &iov_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
      if (!sender_) continue;
      messages_[i].msg_hdr.msg_name = &names_[i];
      messages_[i].msg_hdr.msg_namelen = sizeof names_[i];
      messages_[i].msg_hdr.msg_control = controls_[i].data();
      messages_[i].msg_hdr.msg_controllen = controls_[i].size();
    }
    const int got = ::recvmmsg(fd_, messages_.data(), n, MSG_WAITFORONE, nullptr);
    if (got <= 0) return 0;
    for (int i = 0; i < got; ++i) {
      packets_[i].data = static_cast<const uint8_t*>(iov_[i].iov_base);
      packets_[i].len = static_cast<uint16_t>(messages_[i].msg_len);
      packets_[i].owner = ids[i] + 1;
    }
    ring_.push(std::span(packets_).first(got));
    sleeper_.wake();
    free_.erase(free_.end() - static_cast<ptrdiff_t>(n),
                free_.end() - static_cast<ptrdiff_t>(n) + got);
    return static_cast<uint64_t>(got);
  }

  int fd_;
  bool sender_;
  PacketRing& ring_;
  Sleeper& sleeper_;
  std::vector<uint8_t> memory_;
  std::vector<size_t> free_;
  std::array<iovec, kBatch> iov_{};
  std::array<mmsghdr, kBatch> messages_{};
  std::array<sockaddr_in6, kBatch> names_{};
  std::array<std::array<char, CMSG_SPACE(sizeof(ucred))>, kBatch> controls_{};
  std::array<Packet, kBatch> packets_{};
};

void BM_Recvmmsg(benchmark::State& state, ListenerKind kind, bool sender) {
  Pair sockets = make_pair(kind);
  PacketRing ring(1024);
  auto sleeper = *Sleeper::create();
  Counter received;
  std::atomic<bool> stop{false};
  std::thread shard(finish_packets, std::ref(ring), std::ref(*sleeper), std::cref(stop));
  RecvmmsgReceiver work(sockets.receiver.get(), sender, ring, *sleeper);
  std::thread receiver([&] { work.run(stop, received); });
  {
    const Sender flood(sockets.sender.get());
    measure(state, receiver, received);
  }
  stop = true;
  receiver.join();
  shard.join();
}
BENCHMARK_CAPTURE(BM_Recvmmsg, uds, ListenerKind::kUdsDatagram, true)->UseRealTime();
BENCHMARK_CAPTURE(BM_Recvmmsg, udp, ListenerKind::kUdp, true)->UseRealTime();
BENCHMARK_CAPTURE(BM_Recvmmsg, uds_plain, ListenerKind::kUdsDatagram, false)->UseRealTime();
BENCHMARK_CAPTURE(BM_Recvmmsg, udp_plain, ListenerKind::kUdp, false)->UseRealTime();

// A datagram now and then to threads that sleep: from before its send to the counters of its shard.
void BM_LoneDatagram(benchmark::State& state, ListenerKind kind) {
  auto plan = small_plan(1);
  plan->listener_count = 1;
  plan->listeners[0].kind = kind;
  plan->io_buffers = 1024;
  Pair sockets = make_pair(kind);
  ShardStats stats;
  ShardWorker worker(*plan, 0, stats, *Sleeper::create());
  SourceStats source;
  LossStats loss;
  std::vector<Fd> receivers;
  receivers.push_back(std::move(sockets.receiver));
  auto io = *IoLoop::create(*plan, std::move(receivers), {&source}, {&loss}, {&worker});
  std::atomic<bool> stop_io{false};
  std::atomic<bool> stop_shard{false};
  std::thread shard([&] { worker.run(stop_shard, IdleMode::kAdaptive); });
  std::thread receiver([&] { (void)io->run(stop_io); });
  std::vector<double> us;
  std::minstd_rand random;
  for ([[maybe_unused]] auto _ : state) {
    for (int i = 0; i < 500; ++i) {
      std::this_thread::sleep_for(std::chrono::microseconds(3'000 + random() % 2'000));
      const auto begun = std::chrono::steady_clock::now();
      if (::send(sockets.sender.get(), "a.b:1|c", 7, 0) != 7) std::abort();
      const uint64_t sent = us.size() + 1;
      while (stats.packets.get() != sent) __builtin_ia32_pause();
      us.push_back(
          std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begun)
              .count());
    }
  }
  std::sort(us.begin(), us.end());
  state.counters["p50_us"] = us[us.size() / 2];
  state.counters["p99_us"] = us[us.size() * 99 / 100];
  state.counters["max_us"] = us.back();
  stop_io = true;
  io->wake();
  receiver.join();
  stop_shard = true;
  worker.sleeper().wake();
  shard.join();
}
BENCHMARK_CAPTURE(BM_LoneDatagram, uds, ListenerKind::kUdsDatagram)->UseRealTime()->Iterations(4);
BENCHMARK_CAPTURE(BM_LoneDatagram, udp, ListenerKind::kUdp)->UseRealTime()->Iterations(4);

}  // namespace
}  // namespace penstock

BENCHMARK_MAIN();

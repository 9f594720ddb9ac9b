// What it costs to send datagrams to a UDP socket of the loopback that nobody reads, in bursts of
// 64: by io_uring with and without zero copy, and by sendmmsg.

#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdlib>
#include <string>

#include "dataplane/base/fd.h"
#include "dataplane/uring/ring.h"

namespace penstock {
namespace {

constexpr unsigned kBurst = 64;

struct Pair {
  Fd receiver;
  Fd sender;
};

Pair udp_pair() {
  Pair p{Fd(::socket(AF_INET, SOCK_DGRAM, 0)), Fd(::socket(AF_INET, SOCK_DGRAM, 0))};
  const int small = 1;  // the least there is: all but the first datagrams are dropped
  ::setsockopt(p.receiver.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* address = reinterpret_cast<sockaddr*>(&a);
  socklen_t size = sizeof a;
  if (::bind(p.receiver.get(), address, size) != 0) std::abort();
  ::getsockname(p.receiver.get(), address, &size);
  if (::connect(p.sender.get(), address, size) != 0) std::abort();
  return p;
}

// Submits what is prepared and takes `completions`.
void finish(uring::Ring& ring, unsigned completions) {
  for (unsigned seen = 0; seen < completions;) {
    if (io_uring_submit_and_wait(ring.get(), completions - seen) < 0) std::abort();
    unsigned head;
    unsigned now = 0;
    io_uring_cqe* cqe;
    io_uring_for_each_cqe(ring.get(), head, cqe) { ++now; }
    io_uring_cq_advance(ring.get(), now);
    seen += now;
  }
}

void BM_Uring(benchmark::State& state, bool zero_copy) {
  const Pair sockets = udp_pair();
  const std::string payload(static_cast<size_t>(state.range(0)), 'x');
  const auto ring = *uring::Ring::create(kBurst, 4 * kBurst);
  if (!ring->enable().ok()) std::abort();
  for ([[maybe_unused]] auto _ : state) {
    for (unsigned i = 0; i < kBurst; ++i) {
      io_uring_sqe* sqe = io_uring_get_sqe(ring->get());
      if (zero_copy) {
        io_uring_prep_send_zc(sqe, sockets.sender.get(), payload.data(), payload.size(),
                              MSG_DONTWAIT, 0);
      } else {
        io_uring_prep_send(sqe, sockets.sender.get(), payload.data(), payload.size(), MSG_DONTWAIT);
      }
    }
    finish(*ring, zero_copy ? 2 * kBurst : kBurst);  // and when the buffer is free again
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * kBurst);
}
BENCHMARK_CAPTURE(BM_Uring, copy, false)->Arg(400)->Arg(1400)->Arg(8192);
BENCHMARK_CAPTURE(BM_Uring, zero_copy, true)->Arg(400)->Arg(1400)->Arg(8192);

void BM_Sendmmsg(benchmark::State& state) {
  const Pair sockets = udp_pair();
  std::string payload(static_cast<size_t>(state.range(0)), 'x');
  iovec part{payload.data(), payload.size()};
  std::array<mmsghdr, kBurst> messages{};
  for (mmsghdr& m : messages) {
    m.msg_hdr.msg_iov = &part;
    m.msg_hdr.msg_iovlen = 1;
  }
  for ([[maybe_unused]] auto _ : state) {
    if (::sendmmsg(sockets.sender.get(), messages.data(), kBurst, MSG_DONTWAIT) != kBurst) {
      std::abort();
    }
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * kBurst);
}
BENCHMARK(BM_Sendmmsg)->Arg(400)->Arg(1400)->Arg(8192);

}  // namespace
}  // namespace penstock

BENCHMARK_MAIN();

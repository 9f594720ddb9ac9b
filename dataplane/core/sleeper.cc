#include "dataplane/core/sleeper.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <ctime>

namespace penstock {
namespace {

// ThreadSanitizer does not model fences, and g++ says so. Nothing it checks depends on this one:
// it orders two atomics and protects no plain memory.
void full_fence() {
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
  std::atomic_thread_fence(std::memory_order_seq_cst);
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
}

}  // namespace

absl::StatusOr<std::unique_ptr<Sleeper>> Sleeper::create() {
  Fd event(::eventfd(0, EFD_CLOEXEC));
  if (!event.valid()) return errno_status(errno, "eventfd of a sleeping thread");
  return std::unique_ptr<Sleeper>(new Sleeper(std::move(event)));
}

void Sleeper::prepare() {
  asleep_.store(1, std::memory_order_relaxed);
  full_fence();
}

void Sleeper::cancel() { asleep_.store(0, std::memory_order_relaxed); }

void Sleeper::wait(std::chrono::microseconds timeout) {
  pollfd p{event_.get(), POLLIN, 0};
  const timespec limit{.tv_sec = timeout.count() / 1'000'000,
                       .tv_nsec = timeout.count() % 1'000'000 * 1000};
  if (::ppoll(&p, 1, &limit, nullptr) == 1) {
    uint64_t count;
    [[maybe_unused]] const ssize_t n = ::read(event_.get(), &count, sizeof count);
    assert(n == sizeof count);
  }
  asleep_.store(0, std::memory_order_relaxed);
}

void Sleeper::wake() {
  full_fence();
  if (asleep_.load(std::memory_order_relaxed) == 0) return;
  if (asleep_.exchange(0, std::memory_order_relaxed) != 0) interrupt();
}

void Sleeper::interrupt() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(event_.get(), &one, sizeof one);
  assert(n == sizeof one);
}

}  // namespace penstock

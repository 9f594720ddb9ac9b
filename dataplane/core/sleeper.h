#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>

#include "dataplane/base/fd.h"
#include "dataplane/base/status.h"

namespace penstock {

// How a consumer thread sleeps without losing a wake-up, and how a producer pays for one only when
// somebody sleeps. Consumer: `prepare()`, look at every input once more, then `wait()` or
// `cancel()`. Producer: publish, then `wake()`, which fences, tests the sleeper's word, and writes
// the eventfd only if it was the one to clear it.
//
// Why nothing is lost: the consumer writes the word, fences, reads the inputs; the producer writes
// an input, fences, reads the word. The two fences are ordered one way or the other, so either the
// consumer sees the input or the producer sees the word.
class Sleeper {
 public:
  static absl::StatusOr<std::unique_ptr<Sleeper>> create();

  // Owner thread. Announces that it is about to sleep; ends with a full fence. Look at the inputs
  // after it.
  void prepare();
  // Owner thread. There was work after all.
  void cancel();
  // The owner may wait by other means between `prepare` and `cancel`: a blocking eventfd, readable
  // after a wake; one read takes all wakes up to then.
  [[nodiscard]] int event() const { return event_.get(); }
  // Owner thread. Sleeps until woken or `timeout` passed (a system call), and clears the
  // announcement. May return early once after a `wake` that met a `cancel` or a timeout.
  void wait(std::chrono::microseconds timeout);

  // Any thread, after publishing work. No system call unless the owner sleeps.
  void wake();

  // Any thread. Ends the wait under way, else the next: for what the owner does not look at after
  // `prepare`. A system call.
  void interrupt();

  // Any thread. True if the owner sleeps or is about to; old news when it returns.
  [[nodiscard]] bool asleep() const { return asleep_.load(std::memory_order_relaxed) != 0; }

 private:
  explicit Sleeper(Fd event) : event_(std::move(event)) {}

  // 1 while the owner sleeps or is about to. Set by the owner; cleared by whoever wakes it, or by
  // the owner itself. On lines of its own: wakers read it after every burst.
  alignas(128) std::atomic<uint32_t> asleep_{0};
  Fd event_;  // counts wake-ups not yet slept off; written by wakers, read by the owner
};

}  // namespace penstock

#pragma once

#include <atomic>
#include <chrono>

#include "dataplane/base/fd.h"
#include "dataplane/base/status.h"

namespace penstock {

// How a consumer thread sleeps without losing a wake-up, and how a producer pays for one only when
// somebody sleeps. Consumer: `prepare()`, look at every input once more, then `wait()` or
// `cancel()`. Producer: publish, then `wake()`, which fences, tests the sleeper's word, and writes
// the eventfd only if it was the one to clear it.
class Sleeper {
 public:
  static absl::StatusOr<std::unique_ptr<Sleeper>> create();

  // Owner thread. Announces that it is about to sleep; ends with a full fence. Look at the inputs
  // after it.
  void prepare();
  // Owner thread. There was work after all.
  void cancel();
  // Owner thread. Sleeps until woken or `timeout` passed (a system call), and clears the
  // announcement.
  void wait(std::chrono::microseconds timeout);

  // Any thread, after publishing work. No system call unless the owner sleeps.
  void wake();
};

}  // namespace penstock

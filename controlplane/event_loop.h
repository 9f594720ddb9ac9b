#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "dataplane/base/fd.h"
#include "dataplane/base/status.h"

namespace penstock {

// The one loop of penstockd: descriptors, timers, and calls posted by other threads. Everything but
// `post` belongs to the thread that runs it.
class EventLoop {
 public:
  using Callback = std::function<void()>;
  using Handler = std::function<void(uint32_t events)>;  // EPOLLIN, EPOLLOUT, EPOLLHUP ...
  using TimerId = uint64_t;                              // 0 is none

  static absl::StatusOr<std::unique_ptr<EventLoop>> create();

  // Calls `handler` while `fd` is ready for `events` (level triggered). The descriptor stays the
  // caller's, who calls `unwatch` before closing it. A handler may unwatch itself and others.
  void watch(int fd, uint32_t events, Handler handler);
  void change(int fd, uint32_t events);
  void unwatch(int fd);

  // Calls `callback` once, `ms` from now at the earliest.
  TimerId after(int64_t ms, Callback callback);
  void cancel(TimerId id);

  // Calls `callback` in the loop's thread. Any thread; the callbacks of a loop that has ended are
  // dropped.
  void post(Callback callback);

  void run();
  void stop() { running_ = false; }

 private:
  EventLoop(Fd epoll, Fd wake) : epoll_(std::move(epoll)), wake_(std::move(wake)) {}
  int run_timers();  // returns ms until the next one, -1 if there is none
  void run_posted();
  void dispatch(int fd, uint32_t events);

  Fd epoll_;
  Fd wake_;
  bool running_ = false;
  std::unordered_map<int, std::shared_ptr<Handler>> handlers_;
  std::map<std::pair<int64_t, TimerId>, Callback> timers_;  // by due time, monotonic ms
  TimerId next_timer_ = 1;
  std::mutex mutex_;
  std::vector<Callback> posted_;  // guarded by mutex_
};

// Milliseconds of the monotonic clock, and of Unix time.
int64_t monotonic_ms();
int64_t unix_ms();

}  // namespace penstock

#pragma once

#include <liburing.h>

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/api/plan.h"
#include "dataplane/api/stats.h"
#include "dataplane/base/fd.h"
#include "dataplane/base/status.h"
#include "dataplane/uring/buffers.h"
#include "dataplane/uring/ring.h"
#include "dataplane/uring/stream.h"
#include "dataplane/uring/user_data.h"

namespace penstock::uring {

// The named pipes. The io thread's, but for `add`.
//
// There is no multishot read before Linux 6.7, so a pipe is read a buffer at a time. A read of an
// empty pipe waits in the ring, or fails with EAGAIN where the kernel knows no better; then the
// pipe is polled.
class Pipes {
 public:
  Pipes(Ring& ring, Buffers& buffers, StreamInput& input)
      : ring_(ring), buffers_(buffers), input_(input) {}

  // Wiring time. Reads the Plan's listener `slot`. Fails if `pipe` is no FIFO.
  absl::Status add(const Plan& plan, uint16_t slot, Fd pipe, SourceStats& source);

  void polled(const UserData& d, int result);
  void read(const UserData& d, int result, uint32_t flags);

  // The end of a pass: arms what may be armed.
  void rearm();
  // The timer: pipes that failed may be tried again.
  void retry();
  void publish_counts();

  [[nodiscard]] bool starved() const { return any(State::kStarved); }
  [[nodiscard]] bool failed() const { return any(State::kFailed); }

  // Stopping: whether nothing was left to read.
  [[nodiscard]] bool drained() const;
  // Ends every operation.
  void cancel();
  [[nodiscard]] bool armed() const { return any(State::kReading) || any(State::kPolling); }
  // The end: a line that was begun is lost, and counted. Call it again while pipes wait for shards:
  // they end once all that was read of them is through.
  void end();

 private:
  // kIdle: to be read next. kStarved: likewise, but there was no buffer.
  enum class State : uint8_t { kIdle, kReading, kPolling, kStarved, kFailed };

  struct Pipe {
    std::string name;
    Fd pipe;
    SourceStats* source;
    StreamCounts counts;
    Stream stream;
    uint32_t buffer_size;
    uint32_t generation = 0;
    State state = State::kIdle;
  };

  [[nodiscard]] bool is_current(const UserData& d) const;
  [[nodiscard]] bool any(State state) const;
  void ended(Pipe& p, int result);
  void arm_read(Pipe& p);
  void arm_poll(Pipe& p);

  Ring& ring_;
  Buffers& buffers_;
  StreamInput& input_;
  std::vector<Pipe> pipes_;
  bool closing_ = false;  // arm nothing again
};

}  // namespace penstock::uring

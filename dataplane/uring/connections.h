#pragma once

#include <liburing.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/api/plan.h"
#include "dataplane/api/stats.h"
#include "dataplane/base/fd.h"
#include "dataplane/base/status.h"
#include "dataplane/origin/credentials.h"
#include "dataplane/uring/buffers.h"
#include "dataplane/uring/fifo.h"
#include "dataplane/uring/ring.h"
#include "dataplane/uring/stream.h"
#include "dataplane/uring/user_data.h"

namespace penstock::uring {

// The listening stream sockets and the connections they brought. The io thread's, but for `create`.
//
// Accepts are one at a time, as a multishot accept cannot be kept within the limit of connections:
// at the limit none is armed, and who comes next waits in the kernel, where it may send already.
// A connection has a multishot receive until its end, with the sender's credentials where they are
// wanted: the kernel joins nothing in one receive that different processes sent. Its slot is used
// again once the last completion has come and the last chunk is split.
class Connections {
 public:
  Connections(Ring& ring, Buffers& buffers, StreamInput& input, uint32_t most);

  // Wiring time. Listens for the Plan's listener `slot`. Fails if the socket is no listening stream
  // socket.
  absl::Status add_listener(const Plan& plan, uint16_t slot, Fd socket, SourceStats& source);

  // The completion of an accept: `result` is a descriptor or an error.
  void accepted(const UserData& d, int result);
  // A completion of a connection's receive.
  void received(const UserData& d, int result, uint32_t flags);
  // The last chunk of a connection that waited is split.
  void settle(uint16_t slot);

  // The end of a pass: arms what may be armed.
  void rearm();
  // The timer: accepts that failed may be tried again.
  void retry();
  void publish_counts();

  // Whether a connection waits for buffers.
  [[nodiscard]] bool starved() const { return !to_arm_.empty(); }
  // Whether an accept waits for `retry`.
  [[nodiscard]] bool failed() const;

  // Stopping: connections take no more from their clients, and are read to their ends. Where
  // penstockd has shut a listening socket, those that wait in it are accepted first; otherwise they
  // are left to the next data plane.
  void begin_drain();
  [[nodiscard]] bool drained() const;
  // Ends every operation, whatever there is to be read.
  void cancel();
  [[nodiscard]] bool armed() const;

 private:
  struct Acceptor {
    enum class State : uint8_t { kIdle, kArmed, kFailed, kEnded };
    std::string name;
    Fd socket;
    SourceStats* source;
    StreamCounts counts;
    Packet packet;  // what all packets of it have in common
    uint16_t slot;  // the Plan's
    uint32_t buffer_size;
    uint32_t open = 0;
    uint32_t most;
    bool spread;
    bool wants_senders;     // origin detection
    uint32_t sequence = 0;  // of its connections
    uint32_t generation = 0;
    State state = State::kIdle;
    bool left = false;  // to the next data plane: accepts no more
  };
  struct Connection {
    enum class State : uint8_t { kFree, kArmed, kToArm, kEnded };
    Stream stream;
    Fd socket;
    uint16_t listener = 0;  // index of its acceptor
    uint32_t generation = 0;
    State state = State::kFree;
    origin::Credentials peer;  // who connected: the sender, where the kernel names none
    bool shut = false;         // both ways, so that its receive ends
  };

  void open(uint16_t listener, Fd socket);
  int take(Connection& c, uint16_t buffer, int bytes);
  // `result`: an error, or the bytes of payload; 0: the end of the stream.
  void ended(uint16_t slot, int result);
  void close(uint16_t slot);
  void arm(uint16_t slot);
  void arm_accept(uint16_t listener);
  void accept_failed(Acceptor& a, int error);
  void note_full(const Acceptor& a);
  void cancel(Kind kind, size_t slot, uint32_t generation);

  Ring& ring_;
  Buffers& buffers_;
  StreamInput& input_;
  std::vector<Acceptor> acceptors_;
  std::vector<Connection> connections_;
  msghdr shape_{};  // of a receive with credentials
  std::vector<uint16_t> free_;
  Fifo<uint16_t> to_arm_;
  bool draining_ = false;
  bool closing_ = false;  // arm nothing again
  bool told_full_ = false;
};

}  // namespace penstock::uring

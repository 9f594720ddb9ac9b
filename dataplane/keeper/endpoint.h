#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "dataplane/api/agent.h"
#include "dataplane/keeper/outbox.h"

namespace penstock {

// The data plane's end of the agent wire: one penstockd at a time, the newest wins. Never blocks: a
// penstockd that does not read only delays its own Segments. Keeper thread only.
class Endpoint {
 public:
  // `hello_fds` (plan, stats, listeners) stay the caller's and outlive the endpoint.
  Endpoint(Fd listening, agent::Hello hello, std::vector<int> hello_fds, Outbox& outbox);

  // Descriptors to poll for reading; `connection` is -1 while no penstockd is connected.
  [[nodiscard]] int listening() const { return listening_.get(); }
  [[nodiscard]] int connection() const { return connection_.get(); }
  // True while something is waiting for the peer to read: poll the connection for writing too.
  [[nodiscard]] bool wants_to_write() const { return blocked_; }

  // A new penstockd: greets it; what the outbox holds is announced by `announce`.
  void accept();
  // Reads what the peer sent: acknowledgements are carried out; returns true if it asked to stop.
  bool receive();
  // Remembers a port's state and tells the peer, now and at every later connect.
  void set_port_state(const agent::PortState& state);
  // Tells the peer of every Segment it has not heard of on this connection, then, once `drained`,
  // of the end.
  void announce(bool drained, uint64_t last_sequence);

 private:
  bool send(const agent::Header& message, std::span<const int> fds = {});
  void hang_up(std::string_view why);

  Fd listening_;
  Fd connection_;
  agent::Hello hello_;
  std::vector<int> hello_fds_;
  std::vector<agent::PortState> ports_;
  size_t ports_sent_ = 0;
  uint64_t announced_ = 0;  // highest sequence announced on this connection
  bool drained_sent_ = false;
  bool blocked_ = false;
  Outbox& outbox_;
};

}  // namespace penstock

#pragma once

#include <sys/socket.h>

#include <span>
#include <string>
#include <vector>

#include "controlplane/config.h"
#include "controlplane/listeners.h"
#include "dataplane/base/fd.h"

namespace penstock {

// Where packets are forwarded to (spec section 3), as far as penstockd has to do with it: names are
// looked up here, and the data plane gets a connected socket.
struct ForwardTarget {
  std::string name;     // "host:port", as configured
  std::string address;  // what it resolved to
  std::string error;    // why there is none and what to do; empty otherwise
  Fd socket;            // until a data plane has it
  sockaddr_storage peer{};
  socklen_t peer_size = 0;  // 0: never resolved
};

// Opens a socket to each target, in order, independently of the others: a target that fails is off
// and says why. One that is a listener or port of ours is refused, as each of its packets would
// come back for ever. Names are looked up anew, all at once, and blocked on for at most two
// seconds; one that does not resolve keeps the address it had in `before`.
std::vector<ForwardTarget> open_forward_targets(const Config& config,
                                                std::span<const Listener> listeners,
                                                std::span<const ForwardTarget> before);

}  // namespace penstock

#pragma once

#include <span>
#include <string>
#include <vector>

#include "controlplane/compile.h"
#include "dataplane/base/fd.h"

namespace penstock {

// A listening socket or a pipe, held by penstockd and inherited by every data plane it starts, so
// that datagrams, connections and lines wait in it while there is none.
struct Listener {
  ListenerSpec spec;  // with the address it is really bound to
  Fd socket;          // valid unless it failed
  std::string error;  // why it failed and what to do; empty otherwise
};

// Opens each, in order, independently of the others (spec 1.2); failures are in `error`. An address
// in use gets up to a second to come free: blocks the caller, at start-up only.
// `so_rcvbuf` 0 leaves the kernel's default; that it cannot be set fails a UDP listener (spec 2.1)
// and is a warning in the log for UDS (spec 2.2).
std::vector<Listener> open_listeners(std::span<const ListenerSpec> specs, uint32_t so_rcvbuf);

// Tells the senders of a Unix socket that it is closed (EPIPE), while what they have sent can still
// be read, and connections that wait be accepted. Before a drain: what the kernel accepted is then
// counted to the last datagram. Whoever sends by UDP or writes to a pipe is told nothing and has no
// promise.
void refuse_senders(const Listener& listener);
// Whether that was done to it, by whatever process; it cannot be undone.
bool refuses_senders(const Listener& listener);

// Whether a listener opened earlier, with the address it is bound to, is what `configured` asks
// for.
bool same_listener(const ListenerSpec& configured, const ListenerSpec& running);

// Binds a Unix socket of `type` at `path` and sets `mode`. A socket file that is there is removed
// only if nobody answers on it; the error names the path and the remedy otherwise.
absl::StatusOr<Fd> bind_unix(const std::string& path, int type, unsigned mode);

}  // namespace penstock

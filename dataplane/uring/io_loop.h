#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "dataplane/api/plan.h"
#include "dataplane/api/stats.h"
#include "dataplane/base/fd.h"
#include "dataplane/base/status.h"
#include "dataplane/core/outlet.h"
#include "dataplane/core/worker.h"
#include "dataplane/origin/origins.h"

namespace penstock {

namespace uring {
class Loop;
}

// Receives from the kernel's sockets (Unix datagrams and streams, UDP) and pipes by io_uring, feeds
// the shards by ring, and sends every packet to the forward targets. Everything is allocated before
// `run`, which is the io thread's.
class IoLoop {
 public:
  // Wiring time, any thread. `sockets`, `sources` and `losses` are in the order of the Plan's
  // listeners; the loop owns the sockets. Adds one ring to each worker, with a slot for every
  // packet there can be, so that it is never full. `origins` is null where no listener detects
  // origins; the resolver it asks must run until `run` has returned, and wake the loop when it has
  // answered. `plan`, the stats and the workers outlive the loop. Fails with a message that names
  // the remedy where the kernel is older than 6.1 or refuses an io_uring.
  static absl::StatusOr<std::unique_ptr<IoLoop>> create(
      const Plan& plan, std::vector<Fd> sockets, const std::vector<SourceStats*>& sources,
      const std::vector<LossStats*>& losses, const std::vector<ShardWorker*>& shards,
      std::unique_ptr<origin::Origins> origins = nullptr);
  ~IoLoop();

  // Wiring time. Every packet also goes to these targets: connected datagram sockets and their
  // counters, in the order of the Plan's open ones.
  absl::Status forward_to(const Plan& plan, std::vector<Fd> targets,
                          const std::vector<ForwardStats*>& stats);
  // Wiring time, after `forward_to`. The way for the packets of one receive loop of a port to the
  // targets: `slots` is a power of two. The ring is the loop's; its owners are freed when no target
  // needs them, at the latest when `run` has returned.
  Outlet add_inlet(uint32_t slots);

  // The io thread. Receives until `stop` is set (call `wake()` after setting it; what feeds the
  // inlets has stopped by then), then takes in what the sockets already hold, for at most 2 s,
  // sends what waits for forward targets, for at most 1 s, and returns once the shards have
  // finished with every packet; so the shards must run until it has returned. What arrives later
  // stays in the sockets for the next data plane. Call once. Fails if the kernel refuses the ring,
  // or with DEADLINE_EXCEEDED if the shards do not finish within 10 s.
  absl::Status run(const std::atomic<bool>& stop);

  // Any thread. Ends the loop's sleep, so that it looks at `stop`.
  void wake();

 private:
  explicit IoLoop(std::unique_ptr<uring::Loop> loop);
  std::unique_ptr<uring::Loop> loop_;
};

}  // namespace penstock

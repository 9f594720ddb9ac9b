#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "dataplane/api/plan.h"
#include "dataplane/api/stats.h"
#include "dataplane/core/bucket_clock.h"
#include "dataplane/core/sealer.h"
#include "dataplane/core/worker.h"
#include "dataplane/keeper/endpoint.h"
#include "dataplane/keeper/outbox.h"

namespace penstock {

// The keeper: closes a bucket at each interval, seals it, holds the Segment until penstockd has it,
// and hears penstockd's wish to stop. It sleeps in poll(2) in between; the shards never wait for
// it.
class Keeper {
 public:
  // What a keeper works with; everything outlives it. `signals` is a signalfd of SIGTERM and
  // SIGINT, either of which asks for the same drain as penstockd's Stop. `once_a_second` runs on
  // the keeper's thread.
  struct Parts {
    const Plan& plan;
    Sealer& sealer;
    std::span<ShardWorker* const> workers;
    Outbox& outbox;
    Endpoint& endpoint;
    KeeperStats& stats;
    int signals;
    std::function<void()> once_a_second;
  };
  explicit Keeper(Parts parts);

  // Runs until somebody asks to stop.
  void run();

  // After every source is closed and every shard's thread has ended: seals the open bucket,
  // announces the end, and waits until penstockd has acknowledged everything, at most `kDeliverMs`.
  // Returns how many Segments nobody took.
  size_t finish();

  static constexpr int64_t kDeliverMs = 10'000;
  // A shard that has not flipped after this long is late (architecture, section 7).
  static constexpr int64_t kFlipMs = 1'000;
  // Segments of late copies at an interval. Each bucket is one, clients name the buckets, and
  // penstockd's queues hold as many Segments as the outbox.
  static constexpr size_t kLateMax = 8;

 private:
  // Sleeps until something is to be read or `timeout_ms` passed, and handles what there is to read.
  void wait(int64_t timeout_ms);
  void tick(int64_t now_ms);
  void seal(int64_t bucket_start);
  // `pushes_out`: older ones, where there is no room.
  void hold(std::span<const std::byte> segment, bool pushes_out = true);
  void wake_shards();

  Parts p_;
  BucketClock clock_;
  bool stop_ = false;
  bool impatient_ = false;  // asked to stop a second time
  uint64_t last_sequence_ = 0;
  int64_t next_second_ms_ = 0;
};

}  // namespace penstock

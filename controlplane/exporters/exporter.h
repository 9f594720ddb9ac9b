#pragma once

#include <string>
#include <string_view>

#include "dataplane/api/segment.h"
#include "dataplane/base/status.h"

namespace penstock {

// Delivers Segments to one kind of store. An exporter belongs to one thread: all calls below come
// from it, one at a time (an exporter that other threads read says so itself). The caller owns the
// queue, the retries and the ledger; the exporter never sleeps and keeps no Segment.
//
// One Segment, in the caller's words:
//
//   prepare()            may move the cursor: save it if it changed, before deliver
//   deliver(segment)     OK: every row is delivered. Error: none is; try again later
//   save(cursor())       together with the Segment's sequence
//
// After kill -9 at any point, `restore` with the last saved cursor undoes what a deliver did whose
// success was not saved, so that delivering its Segment again delivers it exactly once.
class Exporter {
 public:
  virtual ~Exporter() = default;

  // Unique among the exporters of a process: its key under `penstock.exporters`, in the ledger and
  // in logs.
  [[nodiscard]] virtual std::string_view name() const = 0;

  // Makes the destination ready (opens or re-opens it). Cheap when it is ready already.
  virtual absl::Status prepare() { return absl::OkStatus(); }

  // Delivers all rows of the Segment or none of them. Blocks as long as the destination does.
  virtual absl::Status deliver(const segment::Reader& segment) = 0;

  // Where the destination stands, as printable ASCII without quotes; empty if there is nothing to
  // remember. Changes only in `prepare`, `deliver` and `restore`.
  [[nodiscard]] virtual std::string cursor() const { return {}; }

  // Once, before the first `prepare`, with the cursor saved last. An error means that exactly-once
  // cannot be kept for the Segment in flight; the exporter is usable all the same.
  virtual absl::Status restore(std::string_view /*cursor*/) { return absl::OkStatus(); }

  // Points left out although their Segment was delivered, because the format cannot hold them or a
  // limit of the exporter was hit (each exporter says which). Any thread.
  [[nodiscard]] virtual uint64_t dropped_points() const { return 0; }

  // Series of histograms that the name filter (spec 7.6, second stage) left out of the Segments
  // delivered by this process. The exporter's thread.
  [[nodiscard]] virtual uint64_t filtered_points() const { return 0; }
};

}  // namespace penstock

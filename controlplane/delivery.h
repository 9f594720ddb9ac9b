#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "controlplane/exporters/exporter.h"
#include "controlplane/ledger.h"
#include "controlplane/state.h"
#include "dataplane/api/agent.h"
#include "dataplane/api/segment.h"
#include "dataplane/base/fd.h"

namespace penstock {

struct ExporterStatus {
  std::string name;
  std::string error;  // empty: the last delivery worked
  uint64_t queued_segments = 0;
  uint64_t retries = 0;
  uint64_t dropped_points = 0;  // Exporter::dropped_points
};

// Hands every Segment to every exporter, once each, also across kill -9 of penstockd: one bounded
// queue and one thread for each exporter, with retries, so that a slow store delays nobody. Keeps
// the State and writes it after each delivery. While the State cannot be written, delivery goes on
// and nothing is finished: the Segments stay with the data plane, which announces them again to the
// penstockd that reads the older State.
//
// At the bound (segments or bytes) the oldest Segment that is not being delivered is given up and
// counted. Thread-safe.
class Delivery {
 public:
  struct Options {
    std::string state_path;
    uint32_t segments_max = 60;
    uint64_t bytes_max = 256ull << 20;
    int64_t retry_min_ms = 100;
    int64_t retry_max_ms = 10000;
  };
  // Called when every exporter has finished with a Segment: from any thread, and with the lock
  // held, so it must only pass the word on.
  using Finished = std::function<void(uint64_t instance, uint64_t sequence)>;

  Delivery(Options options, std::vector<std::unique_ptr<Exporter>> exporters, Finished finished);
  // Ends the threads; what is still queued stays unacknowledged.
  ~Delivery();
  Delivery(const Delivery&) = delete;
  Delivery& operator=(const Delivery&) = delete;

  // Starts the exporters from what an earlier penstockd left. With `same_run` its ledger goes on,
  // because its data plane lives; otherwise only the exporters' cursors are taken from `state`.
  void start(State state, bool same_run);

  // From here on the running data plane is `instance`; a change begins a new count of Segments.
  // Points that went down with an earlier penstockd's memory become given_up.
  void begin_instance(uint64_t instance);

  // A Segment announced by the running data plane. One that does not open (corrupt) is counted and
  // finished with at once: no exporter can use it.
  void accept(const agent::SegmentReady& ready, const Fd& memfd);

  // The running data plane is gone: settles its books and saves them.
  CrashLoss depart(const std::vector<StatsBlockValues>& last, bool crashed);
  // The data plane of the saved books is gone and its last counters with it: the ledger begins
  // anew.
  void start_over();
  void count_restart();
  void set_facts(const MachineFacts& facts);

  // Everything the ledger needs but the live counters, of one moment.
  [[nodiscard]] LedgerInput books() const;
  [[nodiscard]] State state() const;
  [[nodiscard]] std::vector<ExporterStatus> statuses() const;
  [[nodiscard]] uint64_t corrupt_segments() const;
  [[nodiscard]] bool idle() const;  // nothing queued

  // Why the State cannot be written; empty while it can.
  [[nodiscard]] std::string state_error() const;
  // The data plane has drained: no penstockd will need the State to go on, so what is delivered is
  // finished also where it cannot be written.
  void close_books();

  // Gives up everything queued that is not being delivered this moment, and what comes later.
  void give_up_all();

 private:
  struct Segment {  // shared by the queues
    uint64_t instance;
    uint64_t sequence;
    uint64_t points;
    Mapping mapping;
    segment::Reader reader;
  };
  struct Entry {
    uint64_t instance;
    uint64_t sequence;
    uint64_t points;
    size_t bytes;
    std::shared_ptr<const Segment> segment;  // null: given up
  };
  struct Lane {
    std::unique_ptr<Exporter> exporter;
    std::deque<Entry> queue;  // the front may be in the exporter's hands
    bool delivering = false;
    std::string error;
    uint64_t retries = 0;
    std::thread thread;
  };
  using Lock = std::unique_lock<std::mutex>;

  void run(Lane& lane);
  bool attempt(Lane& lane, Lock& lock);
  void finish_front(Lane& lane, bool delivered, uint64_t filtered = 0);
  void finish_given_up(Lane& lane);
  void enforce_bounds(Lane& lane);
  void write_off_unreachable();
  void count_received(const agent::SegmentReady& ready);
  bool wanted(const Lane& lane, uint64_t sequence);
  void finished_if_last(uint64_t instance, uint64_t sequence);
  void save();
  void save_or_forget();
  void release_unsaved();

  const Options options_;
  const Finished finished_;
  mutable std::mutex mutex_;  // guards everything below
  std::condition_variable wake_;
  State state_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  bool replaying_ = false;  // Segments of an earlier penstockd are announced again
  uint64_t corrupt_ = 0;
  bool stopping_ = false;
  bool giving_up_ = false;
  bool closing_ = false;
  std::string state_error_;
  std::vector<std::pair<uint64_t, uint64_t>> unsaved_;  // finished, once the State is written
};

}  // namespace penstock

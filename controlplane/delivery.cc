#include "controlplane/delivery.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "dataplane/base/log.h"
#include "dataplane/base/strings.h"

namespace penstock {

Delivery::Delivery(Options options, std::vector<std::unique_ptr<Exporter>> exporters,
                   Finished finished)
    : options_(std::move(options)), finished_(std::move(finished)) {
  for (std::unique_ptr<Exporter>& exporter : exporters) {
    auto lane = std::make_unique<Lane>();
    lane->exporter = std::move(exporter);
    lanes_.push_back(std::move(lane));
  }
}

Delivery::~Delivery() {
  {
    const Lock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (const auto& lane : lanes_) {
    if (lane->thread.joinable()) lane->thread.join();
  }
}

void Delivery::start(State state, bool same_run) {
  const Lock lock(mutex_);
  const std::map<std::string, ExporterProgress> before = std::move(state.exporters);
  if (!same_run && state.instance != 0) {
    spdlog::warn(
        "the data plane that an earlier penstockd left is gone, with what it had not handed "
        "over; the ledger begins anew");
  }
  state_ = same_run ? std::move(state) : State{};
  state_.exporters.clear();
  for (const auto& lane : lanes_) {
    const std::string name(lane->exporter->name());
    ExporterProgress& progress = state_.exporters[name];
    const auto it = before.find(name);
    if (it == before.end()) continue;
    if (same_run) progress = it->second;
    const absl::Status restored = lane->exporter->restore(it->second.cursor);
    if (!restored.ok()) spdlog::warn("exporter {}: {}", name, to_std(restored.message()));
    progress.cursor = lane->exporter->cursor();
  }
  for (const auto& lane : lanes_) {
    lane->thread = std::thread([this, l = lane.get()] { run(*l); });
  }
}

void Delivery::begin_instance(uint64_t instance) {
  const Lock lock(mutex_);
  if (state_.instance != instance) {
    state_.instance = instance;
    state_.reception = {};
  }
  replaying_ = state_.reception.segments > 0;
  write_off_unreachable();
  save();
}

// Points that reached an earlier penstockd and are neither finished, nor queued, nor coming again.
void Delivery::write_off_unreachable() {
  const uint64_t received = state_.departed.points_received + state_.reception.points;
  for (const auto& lane : lanes_) {
    ExporterProgress& e = state_.exporters[std::string(lane->exporter->name())];
    uint64_t accounted = e.delivered + e.given_up;
    for (const Entry& entry : lane->queue) accounted += entry.points;
    const uint64_t finished = e.instance == state_.instance ? e.instance_points : 0;
    if (replaying_ && state_.reception.points > finished) {
      accounted += state_.reception.points - finished;
    }
    if (received <= accounted) continue;
    spdlog::error("exporter {}: {} points were held by a penstockd that was killed, and are lost",
                  lane->exporter->name(), received - accounted);
    e.given_up += received - accounted;
  }
}

void Delivery::count_received(const agent::SegmentReady& ready) {
  Reception& r = state_.reception;
  if (ready.sequence <= r.last_sequence) return;
  if (replaying_) {  // what was to come again has come
    replaying_ = false;
    write_off_unreachable();
  }
  r.last_sequence = ready.sequence;
  ++r.segments;
  r.points += ready.points;
  r.samples += ready.samples;
}

bool Delivery::wanted(const Lane& lane, uint64_t sequence) {
  const ExporterProgress& e = state_.exporters[std::string(lane.exporter->name())];
  if (e.instance == state_.instance && sequence <= e.sequence) return false;
  return std::ranges::none_of(lane.queue, [&](const Entry& entry) {
    return entry.instance == state_.instance && entry.sequence == sequence;
  });
}

void Delivery::accept(const agent::SegmentReady& ready, const Fd& memfd) {
  absl::StatusOr<Mapping> mapping = Mapping::map(memfd.get(), /*writable=*/false);
  absl::StatusOr<segment::Reader> reader =
      mapping.ok() ? segment::Reader::open(mapping->bytes()) : mapping.status();
  const size_t bytes = mapping.ok() ? mapping->bytes().size() : 0;
  std::shared_ptr<const Segment> segment;
  const Lock lock(mutex_);
  count_received(ready);
  if (reader.ok()) {
    segment = std::make_shared<Segment>(Segment{state_.instance, ready.sequence, ready.points,
                                                *std::move(mapping), *std::move(reader)});
  } else {
    ++corrupt_;
    spdlog::error("Segment {} cannot be read and is given up: {}", ready.sequence,
                  to_std(reader.status().message()));
  }
  for (const auto& lane : lanes_) {
    if (!wanted(*lane, ready.sequence)) continue;
    lane->queue.push_back({state_.instance, ready.sequence, ready.points, bytes, segment});
    enforce_bounds(*lane);
    finish_given_up(*lane);
  }
  if (lanes_.empty()) save();
  finished_if_last(state_.instance, ready.sequence);
  wake_.notify_all();
}

void Delivery::enforce_bounds(Lane& lane) {
  size_t count = 0;
  uint64_t bytes = 0;
  for (const Entry& e : lane.queue) {
    if (e.segment == nullptr) continue;
    ++count;
    bytes += e.bytes;
  }
  for (size_t i = lane.delivering ? 1 : 0; i < lane.queue.size(); ++i) {
    const bool over = count > options_.segments_max || (bytes > options_.bytes_max && count > 1);
    if (!over && !giving_up_) return;
    Entry& e = lane.queue[i];
    if (e.segment == nullptr) continue;
    spdlog::error("exporter {}: Segment {} with {} points is given up{}", lane.exporter->name(),
                  e.sequence, e.points,
                  giving_up_ ? "" : ": it is behind by segments_held or segment_bytes_held");
    e.segment.reset();
    --count;
    bytes -= e.bytes;
  }
}

// Books go in the order of the queue, so that an exporter's `sequence` says all.
void Delivery::finish_given_up(Lane& lane) {
  while (!lane.queue.empty() && !lane.delivering && lane.queue.front().segment == nullptr) {
    finish_front(lane, /*delivered=*/false);
  }
}

void Delivery::finish_front(Lane& lane, bool delivered, uint64_t filtered) {
  const Entry entry = std::move(lane.queue.front());
  lane.queue.pop_front();
  ExporterProgress& e = state_.exporters[std::string(lane.exporter->name())];
  if (e.instance != entry.instance) {
    e.instance = entry.instance;
    e.instance_points = 0;
  }
  e.sequence = entry.sequence;
  e.instance_points += entry.points;
  (delivered ? e.delivered : e.given_up) += entry.points;
  e.filtered += filtered;
  if (delivered) e.cursor = lane.exporter->cursor();
  save();
  finished_if_last(entry.instance, entry.sequence);
}

void Delivery::finished_if_last(uint64_t instance, uint64_t sequence) {
  for (const auto& lane : lanes_) {
    for (const Entry& e : lane->queue) {
      if (e.instance == instance && e.sequence == sequence) return;
    }
  }
  if (state_error_.empty() || closing_) {
    finished_(instance, sequence);
  } else if (std::ranges::find(unsaved_, std::pair(instance, sequence)) == unsaved_.end()) {
    unsaved_.emplace_back(instance, sequence);
  }
}

// Prepares and delivers the front. The lock is free while the exporter works.
bool Delivery::attempt(Lane& lane, Lock& lock) {
  const std::shared_ptr<const Segment> segment = lane.queue.front().segment;
  lane.delivering = true;
  lock.unlock();
  absl::Status status = lane.exporter->prepare();
  lock.lock();
  const std::string cursor = lane.exporter->cursor();
  ExporterProgress& e = state_.exporters[std::string(lane.exporter->name())];
  if (cursor != e.cursor) {
    e.cursor = cursor;
    save();
  }
  lock.unlock();
  const uint64_t filtered_before = lane.exporter->filtered_points();
  if (status.ok()) status = lane.exporter->deliver(segment->reader);
  const uint64_t filtered = lane.exporter->filtered_points() - filtered_before;
  lock.lock();
  lane.delivering = false;
  if (!status.ok()) {
    ++lane.retries;
    if (lane.error.empty()) {
      spdlog::error("exporter {}: {}; will be retried", lane.exporter->name(),
                    to_std(status.message()));
    }
    lane.error = to_std(status.message());
    enforce_bounds(lane);
    finish_given_up(lane);
    return false;
  }
  if (!lane.error.empty()) spdlog::info("exporter {}: delivers again", lane.exporter->name());
  lane.error.clear();
  finish_front(lane, /*delivered=*/true, filtered);
  finish_given_up(lane);
  return true;
}

void Delivery::run(Lane& lane) {
  Lock lock(mutex_);
  int64_t wait_ms = options_.retry_min_ms;
  const auto work = [&] { return stopping_ || !lane.queue.empty(); };
  while (true) {
    wake_.wait(lock, [&] { return work() || !state_error_.empty(); });
    const std::chrono::milliseconds pause(options_.retry_max_ms);
    while (!state_error_.empty() && !wake_.wait_for(lock, pause, work)) save();
    if (!work()) continue;
    if (stopping_) return;
    if (attempt(lane, lock)) {
      wait_ms = options_.retry_min_ms;
      continue;
    }
    wake_.wait_for(lock, std::chrono::milliseconds(wait_ms),
                   [&] { return stopping_ || giving_up_; });
    wait_ms = std::min(wait_ms * 2, options_.retry_max_ms);
  }
}

CrashLoss Delivery::depart(const std::vector<StatsBlockValues>& last, bool crashed) {
  const Lock lock(mutex_);
  replaying_ = false;
  write_off_unreachable();
  const CrashLoss loss = settle(last, state_.reception, state_.departed);
  if (crashed) ++state_.departed.crashes;
  state_.reception = {};
  state_.instance = 0;
  save_or_forget();
  return loss;
}

void Delivery::start_over() {
  const Lock lock(mutex_);
  spdlog::warn("the ledger begins anew: the last counters of the data plane are gone with it");
  const std::map<std::string, ExporterProgress> before = std::move(state_.exporters);
  state_ = State{};
  for (const auto& [name, progress] : before) state_.exporters[name].cursor = progress.cursor;
}

void Delivery::count_restart() {
  const Lock lock(mutex_);
  ++state_.restarts;
}

void Delivery::set_facts(const MachineFacts& facts) {
  const Lock lock(mutex_);
  state_.facts = facts;
  save();
}

LedgerInput Delivery::books() const {
  const Lock lock(mutex_);
  LedgerInput input;
  input.reception = state_.reception;
  input.departed = state_.departed;
  for (const auto& lane : lanes_) {
    const std::string name(lane->exporter->name());
    const auto it = state_.exporters.find(name);
    ExporterTally tally{name};
    if (it != state_.exporters.end()) {
      tally.delivered = it->second.delivered;
      tally.given_up = it->second.given_up;
      tally.filtered = it->second.filtered;
    }
    for (const Entry& e : lane->queue) tally.queued += e.points;
    input.exporters.push_back(tally);
  }
  return input;
}

State Delivery::state() const {
  const Lock lock(mutex_);
  return state_;
}

std::vector<ExporterStatus> Delivery::statuses() const {
  const Lock lock(mutex_);
  std::vector<ExporterStatus> all;
  for (const auto& lane : lanes_) {
    all.push_back({std::string(lane->exporter->name()), lane->error, lane->queue.size(),
                   lane->retries, lane->exporter->dropped_points()});
  }
  return all;
}

uint64_t Delivery::corrupt_segments() const {
  const Lock lock(mutex_);
  return corrupt_;
}

bool Delivery::idle() const {
  const Lock lock(mutex_);
  return std::ranges::all_of(lanes_, [](const auto& lane) { return lane->queue.empty(); });
}

void Delivery::give_up_all() {
  const Lock lock(mutex_);
  giving_up_ = true;
  for (const auto& lane : lanes_) {
    enforce_bounds(*lane);
    finish_given_up(*lane);
  }
  wake_.notify_all();
}

void Delivery::save() {
  const absl::Status status = write_file_atomically(options_.state_path, encode_state(state_));
  const bool failed_before = !state_error_.empty();
  if (status.ok()) {
    if (failed_before) spdlog::info("{}: written again", options_.state_path);
    state_error_.clear();
    return release_unsaved();
  }
  state_error_ = cat(to_std(status.message()),
                     "; until it can be written, Segments stay with the data plane "
                     "(penstock.limits.segments_held): free space in penstock.run_dir");
  if (closing_) return save_or_forget();
  if (failed_before) return;
  spdlog::error("{}", state_error_);
  wake_.notify_all();
}

// The State of before is about Segments that will not come again: an exporter that went back to its
// cursor would lose them.
void Delivery::save_or_forget() {
  if (!closing_) save();
  if (!state_error_.empty() && ::unlink(options_.state_path.c_str()) != 0 && errno != ENOENT) {
    spdlog::error("{} is out of date and cannot be removed; remove it before the next start",
                  options_.state_path);
  }
}

void Delivery::release_unsaved() {
  for (const auto& [instance, sequence] : unsaved_) finished_(instance, sequence);
  unsaved_.clear();
}

void Delivery::close_books() {
  const Lock lock(mutex_);
  if (closing_) return;
  closing_ = true;
  save();
  release_unsaved();
}

std::string Delivery::state_error() const {
  const Lock lock(mutex_);
  return state_error_;
}

}  // namespace penstock

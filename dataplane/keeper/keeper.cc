#include "dataplane/keeper/keeper.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "dataplane/api/segment.h"
#include "dataplane/base/log.h"

namespace penstock {
namespace {

int64_t clock_ms(clockid_t id) {
  timespec t{};
  ::clock_gettime(id, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1'000'000;
}
int64_t wall_ms() { return clock_ms(CLOCK_REALTIME); }
int64_t monotonic_ms() { return clock_ms(CLOCK_MONOTONIC); }

}  // namespace

Keeper::Keeper(Parts parts)
    : p_(std::move(parts)), clock_(p_.plan.interval_s, wall_ms(), p_.stats) {}

void Keeper::run() {
  while (!stop_) {
    const int64_t now_ms = wall_ms();
    wait(std::min<int64_t>(clock_.until_close_ms(now_ms), 1000));
    tick(wall_ms());
  }
}

size_t Keeper::finish() {
  // The bucket that was open when the stop came takes what arrived during it, too.
  const size_t late = p_.outbox.spare();
  hold(p_.sealer.seal_rest(clock_.open_bucket(), Now{wall_ms()}));
  for (const auto& segment : p_.sealer.seal_late(std::numeric_limits<int64_t>::max(), late))
    hold(segment, /*pushes_out=*/false);
  p_.sealer.give_up_late();
  p_.stats.drained.set(1);
  spdlog::info("drained; {} Segments to deliver", p_.outbox.held().size());
  const int64_t deadline_ms = monotonic_ms() + kDeliverMs;
  impatient_ = false;
  p_.endpoint.announce(/*drained=*/true, last_sequence_);
  while (!p_.outbox.held().empty() && !impatient_ && monotonic_ms() < deadline_ms) {
    stop_ = true;
    wait(100);
    p_.endpoint.announce(/*drained=*/true, last_sequence_);
  }
  return p_.outbox.held().size();
}

void Keeper::wait(int64_t timeout_ms) {
  pollfd fds[] = {{p_.signals, POLLIN, 0},
                  {p_.endpoint.listening(), POLLIN, 0},
                  {p_.endpoint.connection(), POLLIN, 0}};
  if (p_.endpoint.wants_to_write()) fds[2].events |= POLLOUT;
  if (::poll(fds, std::size(fds), static_cast<int>(timeout_ms)) <= 0) return;
  const auto asked = [this] {
    impatient_ = stop_;
    stop_ = true;
  };
  if (fds[0].revents != 0) {
    signalfd_siginfo info{};
    if (::read(p_.signals, &info, sizeof(info)) == sizeof(info)) asked();
  }
  if (fds[1].revents != 0) p_.endpoint.accept();
  if (fds[2].revents != 0 && p_.endpoint.receive()) asked();
}

void Keeper::tick(int64_t now_ms) {
  p_.stats.heartbeat_unix_ms.set(static_cast<uint64_t>(now_ms));
  if (const int64_t now = monotonic_ms(); now >= next_second_ms_) {
    next_second_ms_ = now + 1000;
    p_.once_a_second();
  }
  while (const auto bucket = clock_.poll(now_ms)) seal(*bucket);
  p_.endpoint.announce(/*drained=*/false, 0);
}

void Keeper::seal(int64_t bucket_start) {
  p_.sealer.begin();
  wake_shards();
  const int64_t deadline_ms = monotonic_ms() + kFlipMs;
  while (!p_.sealer.ready() && monotonic_ms() < deadline_ms) ::usleep(100);
  const size_t late = std::min(kLateMax, p_.outbox.spare());
  hold(p_.sealer.seal(bucket_start));
  for (const auto& segment : p_.sealer.seal_late(bucket_start, late)) {
    hold(segment, /*pushes_out=*/false);
  }
  wake_shards();
}

void Keeper::hold(std::span<const std::byte> segment, bool pushes_out) {
  if (segment.empty()) return;
  const absl::StatusOr<segment::Reader> reader = segment::Reader::open(segment);
  if (!reader.ok()) {  // our own bytes: memory is broken, and so is every promise
    spdlog::critical("a sealed Segment does not read back: {}", reader.status().ToString());
    std::abort();
  }
  const segment::Meta& meta = reader->meta();
  last_sequence_ = meta.sequence;
  HeldSegment entry{meta.sequence, meta.bucket_start, reader->rows(),
                    meta.samples,  segment.size(),    Fd()};
  const absl::Status held = pushes_out ? p_.outbox.add(std::move(entry), segment)
                                       : p_.outbox.add_beside(std::move(entry), segment);
  if (!held.ok()) spdlog::error("Segment {} given up: {}", meta.sequence, held.ToString());
}

void Keeper::wake_shards() {
  for (ShardWorker* worker : p_.workers) worker->sleeper().wake();
}

}  // namespace penstock

#include "dataplane/uring/pipes.h"

#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "dataplane/base/log.h"
#include "dataplane/base/strings.h"

namespace penstock::uring {

absl::Status Pipes::add(const Plan& plan, uint16_t slot, Fd pipe, SourceStats& source) {
  const ListenerPlan& l = plan.listeners[slot];
  struct stat st {};
  if (::fstat(pipe.get(), &st) != 0 || !S_ISFIFO(st.st_mode)) {
    return absl::InvalidArgumentError(
        cat("listener ", plan.str(l.name), " (", plan.str(l.address), "): not a pipe"));
  }
  framing::LineSplitter lines(plan.dogstatsd.buffer_size);
  if (plan.line_lost[slot] != 0) lines.skip_line();
  Packet packet{};
  packet.source = Source::kPipe;
  packet.flags = l.eol_required != 0 ? kPacketEolRequired : 0;
  const auto index = static_cast<uint16_t>(pipes_.size());
  pipes_.push_back({.name = std::string(plan.str(l.name)),
                    .pipe = std::move(pipe),
                    .source = &source,
                    .counts = {},
                    .stream = {.splitter = lines,
                               .packet = packet,
                               .counts = nullptr,
                               .listener = slot,
                               .slot = index,
                               .spread = l.spread != 0},
                    .buffer_size = plan.dogstatsd.buffer_size});
  for (Pipe& p : pipes_) p.stream.counts = &p.counts;  // wherever they are now
  return absl::OkStatus();
}

bool Pipes::is_current(const UserData& d) const {
  return d.slot < pipes_.size() && pipes_[d.slot].generation == d.generation;
}

void Pipes::polled(const UserData& d, int result) {
  if (is_current(d)) ended(pipes_[d.slot], result);
}

void Pipes::read(const UserData& d, int result, uint32_t flags) {
  const bool current = is_current(d);
  if ((flags & IORING_CQE_F_BUFFER) != 0) {
    const auto id = static_cast<uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
    buffers_.lend();
    if (current && result > 0) {
      input_.take(pipes_[d.slot].stream, id, 0, static_cast<size_t>(result), {});
    } else {
      buffers_.come_home(id);
    }
  }
  if (!current) return;
  Pipe& p = pipes_[d.slot];
  if (result == -EAGAIN && !closing_) {
    arm_poll(p);
  } else {
    ended(p, result);
  }
}

void Pipes::ended(Pipe& p, int result) {
  if (result > 0 || result == -ECANCELED || result == -EINTR || result == -EAGAIN) {
    p.state = State::kIdle;
  } else if (result == -ENOBUFS) {
    p.state = State::kStarved;
  } else {
    p.state = State::kFailed;
    spdlog::error("listener {}: reading failed: {}; trying again in a second", p.name,
                  result == 0 ? "the pipe is at its end" : strerror(-result));
  }
}

void Pipes::arm_read(Pipe& p) {
  io_uring_sqe* sqe = ring_.sqe();
  io_uring_prep_read(sqe, p.pipe.get(), nullptr, p.buffer_size, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = Buffers::kGroup;
  sqe->user_data = pack({Kind::kPipeRead, p.stream.slot, ++p.generation});
  p.state = State::kReading;
}

void Pipes::arm_poll(Pipe& p) {
  io_uring_sqe* sqe = ring_.sqe();
  io_uring_prep_poll_add(sqe, p.pipe.get(), POLLIN);
  sqe->user_data = pack({Kind::kPipePoll, p.stream.slot, ++p.generation});
  p.state = State::kPolling;
}

void Pipes::rearm() {
  if (closing_) return;
  for (Pipe& p : pipes_) {
    if (p.stream.held != 0) continue;  // no further than the shards can follow
    const bool fed = p.state == State::kStarved && buffers_.left() != 0;
    if (fed || p.state == State::kIdle) arm_read(p);
  }
}

void Pipes::retry() {
  for (Pipe& p : pipes_) {
    if (p.state == State::kFailed) p.state = State::kIdle;
  }
}

void Pipes::publish_counts() {
  for (Pipe& p : pipes_) p.counts.publish(*p.source);
}

bool Pipes::any(State state) const {
  return std::ranges::any_of(pipes_, [state](const Pipe& p) { return p.state == state; });
}

bool Pipes::drained() const {
  return std::ranges::all_of(pipes_, [](const Pipe& p) {
    pollfd readable{p.pipe.get(), POLLIN, 0};
    return p.state == State::kFailed || ::poll(&readable, 1, 0) == 0;
  });
}

void Pipes::cancel() {
  closing_ = true;
  for (const Pipe& p : pipes_) {
    if (p.state != State::kReading && p.state != State::kPolling) continue;
    const Kind kind = p.state == State::kReading ? Kind::kPipeRead : Kind::kPipePoll;
    io_uring_sqe* sqe = ring_.sqe();
    io_uring_prep_cancel64(sqe, pack({kind, p.stream.slot, p.generation}), 0);
    sqe->user_data = pack({Kind::kCancel, 0, 0});
  }
}

void Pipes::end() {
  for (Pipe& p : pipes_) {
    if (p.stream.held != 0 || p.stream.assembly == Assemblies::kNone) continue;
    if (p.stream.inside())
      spdlog::warn("listener {}: its last line has no end and is lost", p.name);
    input_.end(p.stream);
  }
  publish_counts();
}

}  // namespace penstock::uring

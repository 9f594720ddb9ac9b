#include "dataplane/uring/loop.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "dataplane/base/log.h"
#include "dataplane/base/strings.h"
#include "dataplane/core/clock.h"

namespace penstock::uring {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;
using SteadyClock = std::chrono::steady_clock;
using State = Listener::State;

// One pass submits at most a receive or a cancel for each listener, a look at each forward target,
// the wake-up and the timer.
constexpr unsigned kSubmissions = 64;
static_assert(kSubmissions >= 2 * kPlanListenersMax + kPlanForwardTargetsMax + 2);

constexpr microseconds kStarvedWait{200};  // how long a starved listener waits for buffers to free
constexpr seconds kDrainLimit{2};
constexpr seconds kShardsLimit{10};
constexpr seconds kForwardLimit{1};

absl::Status too_late(std::string_view what) {
  return absl::DeadlineExceededError(cat("io: ", what, " within ", kShardsLimit.count(), " s"));
}

}  // namespace

// Rules of the loop:
//  1. Only the io thread enables, submits to and reaps the ring. Others wake its Sleeper, whose
//     event the ring reads.
//  2. A completion is followed only if its generation is its slot's current one. Its buffer comes
//     home in any case.
//  3. A multishot whose completion lacks F_MORE is over. It is armed again at the end of the pass;
//     after ENOBUFS only once buffers came home; after an unexpected error with the next timer.
//  4. A buffer is the kernel's, or held: in exactly one slot of one shard's ring, and for each
//     forward target its packet waits for. There are no more buffers than slots in any one ring,
//     so a push always succeeds: nothing is dropped here. Without buffers the kernel holds packets
//     back: UDS senders wait, UDP is dropped by the kernel and counted as missed.
//  5. A burst is published, then its shard woken. Finished buffers go back in bulk, once a pass.
//  6. Without work the thread sleeps in the kernel with no limit, as a Sleeper does: announced,
//     after one more look at what others hand it. Only a starved listener needs to look at the
//     shards, every kStarvedWait, as finishing a packet wakes nobody.
//  7. The kernel's drops are read at start, at the end, and by a timer that runs for a second
//     after traffic: a drop means a full socket, so packets follow it.
//  8. The forwarder sends at the end of a pass, and whenever it has a burst. It never waits for a
//     target; one whose socket is full is looked at again when the kernel says it has room.
//  9. Stopping: take in what the sockets hold, cancel the multishots, await their last completions,
//     send what still waits for targets, then await the shards.

uint32_t ring_slots(const Plan& plan) { return std::bit_ceil(std::max(plan.io_buffers, 2u)); }

absl::Status check_buffers(const Plan& plan) {
  if (!std::has_single_bit(plan.io_buffers) || plan.io_buffers > Buffers::kCountMax) {
    return absl::InvalidArgumentError(cat("penstock.limits.io_buffers: ", plan.io_buffers,
                                          " is not a power of two up to ", Buffers::kCountMax));
  }
  if (const uint32_t size = plan.dogstatsd.buffer_size; size == 0 || size > UINT16_MAX) {
    return absl::InvalidArgumentError(
        cat("dogstatsd_buffer_size: ", size, " is not between 1 and ", UINT16_MAX));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Loop>> Loop::create(const Plan& plan, std::vector<Fd> sockets,
                                                   std::span<SourceStats* const> sources,
                                                   std::span<LossStats* const> losses,
                                                   std::span<const Outlet> outlets) {
  assert(sockets.size() == plan.listener_count && sources.size() == plan.listener_count &&
         losses.size() == plan.listener_count && !outlets.empty());
  RETURN_IF_ERROR(check_buffers(plan));
  std::unique_ptr<Loop> loop(new Loop);
  // A completion for each buffer, and the last ones of every operation.
  const unsigned completions = 2 * std::max<unsigned>(plan.io_buffers, kSubmissions);
  ASSIGN_OR_RETURN(loop->ring_, Ring::create(kSubmissions, completions));
  if (plan.listener_count != 0) {
    ASSIGN_OR_RETURN(loop->buffers_,
                     Buffers::create(loop->ring_->get(), plan.io_buffers,
                                     Listener::kHeaderBytesMax + plan.dogstatsd.buffer_size));
  }
  for (uint16_t i = 0; i < plan.listener_count; ++i) {
    ASSIGN_OR_RETURN(Listener l,
                     Listener::create(plan, i, std::move(sockets[i]), *sources[i], *losses[i]));
    loop->listeners_.push_back(std::move(l));
  }
  for (const Outlet& o : outlets) {
    assert(o.ring->slots() >= plan.io_buffers);
    loop->outlets_.push_back({.ring = o.ring, .sleeper = o.sleeper, .packets = {}});
  }
  ASSIGN_OR_RETURN(loop->sleeper_, Sleeper::create());
  return loop;
}

absl::Status Loop::forward_to(const Plan& plan, std::vector<Fd> targets,
                              std::span<ForwardStats* const> stats) {
  ASSIGN_OR_RETURN(forwarder_, Forwarder::create(plan, std::move(targets), stats, buffers_.get()));
  return absl::OkStatus();
}

Outlet Loop::add_inlet(uint32_t slots) { return {&forwarder_->add_inlet(slots), sleeper_.get()}; }

void Loop::wake() { sleeper_->wake(); }

absl::Status Loop::run(const std::atomic<bool>& stop) {
  RETURN_IF_ERROR(start());
  stop_ = &stop;
  while (!stop.load(std::memory_order_acquire)) RETURN_IF_ERROR(pass(patience()));
  stop_ = nullptr;
  RETURN_IF_ERROR(drain());
  RETURN_IF_ERROR(cancel());
  RETURN_IF_ERROR(drain_forwarder());
  RETURN_IF_ERROR(wait_for_shards());
  read_drops();
  return absl::OkStatus();
}

absl::Status Loop::start() {
  RETURN_IF_ERROR(ring_->enable());
  if (forwarder_) RETURN_IF_ERROR(forwarder_->start());
  read_drops();
  arm_wake();
  for (Listener& l : listeners_) l.arm(next_sqe());
  return absl::OkStatus();
}

// Submits, sleeps at most `limit` for a completion, handles all there are.
absl::Status Loop::pass(Micros limit) {
  RETURN_IF_ERROR(wait(limit));
  time_ms_ = static_cast<uint32_t>(read_clock().unix_ms);
  taken_ = 0;
  unsigned head;
  unsigned count = 0;
  io_uring_cqe* cqe;
  io_uring_for_each_cqe(ring_->get(), head, cqe) {
    complete(cqe->user_data, cqe->res, cqe->flags);
    ++count;
  }
  io_uring_cq_advance(ring_->get(), count);
  for (Gather& g : outlets_) send(g);
  for (Listener& l : listeners_) l.publish_counts();
  if (forwarder_) forward();
  reclaim();
  rearm();
  return forwarder_ ? forwarder_->status() : absl::OkStatus();
}

// What others hand the loop: the look between announcing the sleep and sleeping.
bool Loop::work_waits() const {
  return (stop_ != nullptr && stop_->load(std::memory_order_acquire)) ||
         (forwarder_ && forwarder_->inlets_wait());
}

absl::Status Loop::wait(Micros limit) {
  sleeper_->prepare();
  if (work_waits()) limit = Micros{0};
  io_uring_cqe* first;
  __kernel_timespec ts{};
  ts.tv_sec = limit.count() / 1'000'000;
  ts.tv_nsec = limit.count() % 1'000'000 * 1000;
  const int rc = io_uring_submit_and_wait_timeout(ring_->get(), &first, 1,
                                                  limit == kNoLimit ? nullptr : &ts, nullptr);
  sleeper_->cancel();
  if (rc >= 0 || rc == -ETIME || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY) {
    return absl::OkStatus();
  }
  return errno_status(-rc, "io_uring_enter");
}

Loop::Micros Loop::patience() const { return any(State::kStarved) ? kStarvedWait : kNoLimit; }

void Loop::complete(uint64_t user_data, int result, uint32_t flags) {
  const UserData d = unpack(user_data);
  switch (d.kind) {
    case Kind::kReceive:
      receive(d, result, flags);
      break;
    case Kind::kWake:
      arm_wake();
      break;
    case Kind::kTimer:
      timer_armed_ = false;
      read_drops();
      for (Listener& l : listeners_) {
        if (l.state() == State::kFailed) l.set_state(State::kIdle);
      }
      break;
    case Kind::kWritable:
      if (forwarder_ && d.slot < forwarder_->targets().size()) {
        forwarder_->targets()[d.slot].unblock();
      }
      break;
    case Kind::kCancel:
      break;  // the multishot's own last completion is what counts
  }
}

void Loop::forward() {
  forwarder_->take_inlets();
  forwarder_->flush();
  const std::span<ForwardTarget> targets = forwarder_->targets();
  for (uint16_t i = 0; i < targets.size(); ++i) {
    if (!targets[i].wants_look()) continue;
    io_uring_sqe* sqe = next_sqe();
    io_uring_prep_poll_add(sqe, targets[i].fd(), POLLOUT);
    sqe->user_data = pack({Kind::kWritable, i, 0});
  }
}

void Loop::receive(const UserData& d, int result, uint32_t flags) {
  const bool current = d.slot < listeners_.size() && listeners_[d.slot].is_current(d.generation);
  if ((flags & IORING_CQE_F_BUFFER) != 0) {
    const auto id = static_cast<uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
    buffers_->hold(id);
    std::optional<Packet> packet;
    if (current && result >= 0) {
      packet = listeners_[d.slot].take(buffers_->data(id), static_cast<size_t>(result));
      ++taken_;
    }
    if (packet.has_value()) {
      packet->owner = uint64_t{id} + 1;
      dispatch(*packet);
      if (forwarder_) forwarder_->offer(*packet, id);
    } else {
      buffers_->release(id);
    }
  }
  if (current && (flags & IORING_CQE_F_MORE) == 0) ended(listeners_[d.slot], result);
}

void Loop::ended(Listener& l, int result) {
  if (l.state() == State::kEnded) return;
  if (result == -ENOBUFS) {
    l.set_state(State::kStarved);
  } else if (result >= 0 || result == -ECANCELED || result == -EINTR) {
    l.set_state(State::kIdle);
  } else {
    l.set_state(State::kFailed);
    spdlog::error("listener {}: receiving failed: {}; trying again", l.name(), strerror(-result));
  }
}

void Loop::dispatch(Packet& packet) {
  packet.arrival = time_ms_;
  Gather& g = outlets_[uint64_t{packet.flow} * outlets_.size() >> 32];
  g.packets[g.count++] = packet;
  if (g.count == kGather) send(g);
}

void Loop::send(Gather& g) {
  if (g.count == 0) return;
  [[maybe_unused]] const size_t pushed = g.ring->push({g.packets.data(), g.count});
  assert(pushed == g.count);
  g.count = 0;
  g.sleeper->wake();
}

void Loop::reclaim() {
  for (Gather& g : outlets_) {
    g.ring->reclaim([&](uint64_t owner) { buffers_->release(static_cast<uint16_t>(owner - 1)); });
  }
  if (buffers_) buffers_->provide();
}

void Loop::rearm() {
  if (closing_) return;
  for (Listener& l : listeners_) {
    const bool fed = l.state() == State::kStarved && buffers_->ours() < buffers_->count();
    if (fed || l.state() == State::kIdle) l.arm(next_sqe());
  }
  if (!timer_armed_ && (taken_ != 0 || any(State::kFailed))) arm_timer();
}

bool Loop::any(State state) const {
  return std::any_of(listeners_.begin(), listeners_.end(),
                     [state](const Listener& l) { return l.state() == state; });
}

absl::Status Loop::drain() {
  const auto deadline = SteadyClock::now() + kDrainLimit;
  do {
    RETURN_IF_ERROR(pass(kStarvedWait));
    if (taken_ == 0 && !sockets_hold_packets()) return absl::OkStatus();
  } while (SteadyClock::now() < deadline);
  spdlog::warn("io: packets kept coming for {} s; the rest stays in the sockets",
               kDrainLimit.count());
  return absl::OkStatus();
}

// By a look at each, as poll calls a socket readable for ever once it is shut to senders.
bool Loop::sockets_hold_packets() const {
  return std::any_of(listeners_.begin(), listeners_.end(), [](const Listener& l) {
    if (l.state() == State::kFailed || l.state() == State::kEnded) return false;
    return ::recv(l.fd(), nullptr, 0, MSG_PEEK | MSG_DONTWAIT) >= 0;
  });
}

absl::Status Loop::cancel() {
  closing_ = true;
  for (const Listener& l : listeners_) {
    if (l.state() != State::kArmed) continue;
    io_uring_sqe* sqe = next_sqe();
    io_uring_prep_cancel64(sqe, l.user_data(), 0);
    sqe->user_data = pack({Kind::kCancel, 0, 0});
  }
  const auto deadline = SteadyClock::now() + kShardsLimit;
  while (any(State::kArmed)) {
    RETURN_IF_ERROR(pass(kStarvedWait));
    if (SteadyClock::now() > deadline) return too_late("the kernel did not end the receives");
  }
  return absl::OkStatus();
}

absl::Status Loop::drain_forwarder() {
  if (!forwarder_) return absl::OkStatus();
  const auto deadline = SteadyClock::now() + kForwardLimit;
  do {
    RETURN_IF_ERROR(pass(kStarvedWait));
  } while (forwarder_->inlets_wait() || (forwarder_->waiting() && SteadyClock::now() < deadline));
  if (!forwarder_->waiting()) return absl::OkStatus();
  spdlog::warn("io: what waited for a forward target for {} s is given up", kForwardLimit.count());
  forwarder_->give_up();
  return absl::OkStatus();
}

absl::Status Loop::wait_for_shards() {
  if (!buffers_) return absl::OkStatus();
  const auto deadline = SteadyClock::now() + kShardsLimit;
  for (reclaim(); buffers_->ours() != 0; reclaim()) {
    if (SteadyClock::now() > deadline) return too_late("the shards did not finish their packets");
    std::this_thread::sleep_for(kStarvedWait);
  }
  return absl::OkStatus();
}

void Loop::read_drops() {
  for (Listener& l : listeners_) l.read_drops();
}

void Loop::arm_wake() {
  io_uring_sqe* sqe = next_sqe();
  io_uring_prep_read(sqe, sleeper_->event(), &wake_count_, sizeof wake_count_, 0);
  sqe->user_data = pack({Kind::kWake, 0, 0});
}

void Loop::arm_timer() {
  static __kernel_timespec second{.tv_sec = 1, .tv_nsec = 0};
  io_uring_sqe* sqe = next_sqe();
  io_uring_prep_timeout(sqe, &second, 0, 0);
  sqe->user_data = pack({Kind::kTimer, 0, 0});
  timer_armed_ = true;
}

io_uring_sqe* Loop::next_sqe() {
  io_uring_sqe* sqe = io_uring_get_sqe(ring_->get());
  assert(sqe != nullptr);  // see kSubmissions
  return sqe;
}

}  // namespace penstock::uring

#include "dataplane/uring/loop.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "dataplane/api/io_memory.h"
#include "dataplane/base/log.h"
#include "dataplane/base/strings.h"
#include "dataplane/core/clock.h"
#include "dataplane/core/emptiest.h"

namespace penstock::uring {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;
using SteadyClock = std::chrono::steady_clock;
using State = Listener::State;

constexpr unsigned kSubmissions = 64;         // that go to the kernel at once
constexpr unsigned kCompletionsMax = 65536;   // the kernel's limit
constexpr uint32_t kConnectionsMax = 65535;   // that user_data can name
constexpr unsigned kDescriptorsBeside = 256;  // for all but connections

constexpr microseconds kStarvedWait{200};  // how long a starved listener waits for buffers to free
constexpr seconds kDrainLimit{2};
constexpr seconds kShardsLimit{10};
constexpr seconds kForwardLimit{1};
constexpr uint32_t kBuffersUnused = 2;  // the fewest there can be
constexpr seconds kOriginsLimit{2};

absl::Status too_late(std::string_view what) {
  return absl::DeadlineExceededError(cat("io: ", what, " within ", kShardsLimit.count(), " s"));
}

// penstockd has raised the limit as far as it may.
void check_descriptor_limit(uint32_t connections) {
  const rlim_t needed = connections + kDescriptorsBeside;
  rlimit limit{};
  if (connections == 0 || ::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed) {
    return;
  }
  spdlog::warn(
      "{} connections need {} descriptors, and {} are allowed: beyond them accepting fails; raise "
      "the limit (ulimit -n, LimitNOFILE=) or lower penstock.listeners.uds_stream.connections",
      connections, needed, limit.rlim_cur);
}

}  // namespace

// Rules of the loop:
//  1. Only the io thread enables, submits to and reaps the ring. Others wake its Sleeper, whose
//     event the ring reads.
//  2. A completion is followed only if its generation is its slot's current one. Its buffer comes
//     home in any case.
//  3. A multishot whose completion lacks F_MORE is over. It is armed again at the end of the pass;
//     after ENOBUFS only once buffers came home; after an unexpected error with the next timer.
//  4. A buffer is the kernel's, or the owner of exactly one slot of one shard's ring, or waits to
//     be split or for its sender's origin, or a forward target waits with a packet of it, or it is
//     about to go home. There are slots for all buffers in any one ring, so a push always succeeds:
//     nothing is dropped here. Without buffers the kernel holds packets back: UDS senders and
//     writers wait, UDP is dropped by the kernel and counted as missed.
//  5. A burst is published, then its shard woken. Finished buffers go back in bulk, once a pass.
//  6. Without work the thread sleeps in the kernel with no limit. Only what is starved of buffers,
//     or waits to be split, needs to look at the shards, every kStarvedWait, as finishing a packet
//     wakes nobody. Before it sleeps it looks once more at what ports hand the forwarder.
//  7. The kernel's drops are read at start, at the end, and by a timer that runs for a second
//     after traffic: a drop means a full socket, so packets follow it.
//  8. The forwarder sends at the end of a pass, and whenever it has a burst. It waits for no
//     target; one whose socket is full is looked at again when the kernel says it has room.
//  9. Where datagrams of kernel UDP come one by one in quick succession, and no port's packets wait
//     to be forwarded, it naps before it looks for the next (moderation.h).
// 10. Stopping: take in what the sockets hold, cancel what is armed, await the last completions,
//     then targets that take nothing, then the origins that packets wait for, and the shards.

absl::Status check_buffers(const Plan& plan) {
  if (!std::has_single_bit(plan.io_buffers) || plan.io_buffers > Buffers::kCountMax) {
    return absl::InvalidArgumentError(cat("penstock.limits.io_buffers: ", plan.io_buffers,
                                          " is not a power of two up to ", Buffers::kCountMax));
  }
  if (const uint32_t size = plan.dogstatsd.buffer_size; size == 0 || size > UINT16_MAX) {
    return absl::InvalidArgumentError(
        cat("dogstatsd_buffer_size: ", size, " is not between 1 and ", UINT16_MAX));
  }
  if (const uint32_t streams = streams_of(plan); streams > kConnectionsMax) {
    return absl::InvalidArgumentError(cat("penstock.listeners.uds_stream.connections: ", streams,
                                          " are more than ", kConnectionsMax));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Loop>> Loop::create(const Plan& plan, std::vector<Fd> sockets,
                                                   std::span<SourceStats* const> sources,
                                                   std::span<LossStats* const> losses,
                                                   std::span<const Outlet> outlets,
                                                   std::unique_ptr<origin::Origins> origins) {
  assert(sockets.size() == plan.listener_count && sources.size() == plan.listener_count &&
         losses.size() == plan.listener_count && !outlets.empty());
  RETURN_IF_ERROR(check_buffers(plan));
  std::unique_ptr<Loop> loop(new Loop(plan.idle));
  const uint32_t streams = streams_of(plan);
  // A completion for each buffer, and the last ones of every operation.
  const unsigned completions =
      std::min(2 * std::max<unsigned>(plan.io_buffers + streams, kSubmissions), kCompletionsMax);
  ASSIGN_OR_RETURN(loop->ring_, Ring::create(kSubmissions, completions));
  const uint32_t buffers = plan.listener_count != 0 ? plan.io_buffers : kBuffersUnused;
  ASSIGN_OR_RETURN(loop->buffers_,
                   Buffers::create(loop->ring_->get(), buffers,
                                   Listener::kHeaderBytesMax + plan.dogstatsd.buffer_size));
  ASSIGN_OR_RETURN(loop->assemblies_,
                   Assemblies::create(assemblies_of(plan), plan.dogstatsd.buffer_size));
  loop->loans_ = std::make_unique<Loans>(*loop->buffers_, *loop->assemblies_, assemblies_of(plan));
  for (const Outlet& o : outlets) assert(o.ring->slots() >= io_ring_slots(plan));
  loop->outlets_ = std::make_unique<Outlets>(outlets, loose_packets_of(plan), std::move(origins));
  loop->input_ =
      std::make_unique<StreamInput>(*loop->buffers_, *loop->assemblies_, *loop->outlets_);
  loop->connections_ =
      std::make_unique<Connections>(*loop->ring_, *loop->buffers_, *loop->input_, streams);
  loop->pipes_ = std::make_unique<Pipes>(*loop->ring_, *loop->buffers_, *loop->input_);
  for (uint16_t i = 0; i < plan.listener_count; ++i) {
    RETURN_IF_ERROR(loop->add_listener(plan, i, std::move(sockets[i]), *sources[i], *losses[i]));
  }
  check_descriptor_limit(streams);
  ASSIGN_OR_RETURN(loop->sleeper_, Sleeper::create());
  return loop;
}

absl::Status Loop::forward_to(const Plan& plan, std::vector<Fd> targets,
                              std::span<ForwardStats* const> stats) {
  ASSIGN_OR_RETURN(forwarder_, Forwarder::create(plan, std::move(targets), stats, *loans_));
  outlets_->forward_to(*forwarder_);
  return absl::OkStatus();
}

Outlet Loop::add_inlet(uint32_t slots) { return {&forwarder_->add_inlet(slots), sleeper_.get()}; }

absl::Status Loop::add_listener(const Plan& plan, uint16_t slot, Fd socket, SourceStats& source,
                                LossStats& loss) {
  switch (plan.listeners[slot].kind) {
    case ListenerKind::kUdsStream:
      return connections_->add_listener(plan, slot, std::move(socket), source);
    case ListenerKind::kPipe:
      return pipes_->add(plan, slot, std::move(socket), source);
    case ListenerKind::kUdp:
    case ListenerKind::kUdsDatagram:
      break;
  }
  const auto index = static_cast<uint16_t>(listeners_.size());
  ASSIGN_OR_RETURN(Listener l,
                   Listener::create(plan, slot, index, std::move(socket), source, loss));
  listeners_.push_back(std::move(l));
  return absl::OkStatus();
}

void Loop::wake() { sleeper_->interrupt(); }

absl::Status Loop::run(const std::atomic<bool>& stop) {
  RETURN_IF_ERROR(start());
  while (!stop.load(std::memory_order_acquire)) RETURN_IF_ERROR(pass(patience()));
  RETURN_IF_ERROR(drain());
  RETURN_IF_ERROR(cancel());
  RETURN_IF_ERROR(wait_for_targets());
  RETURN_IF_ERROR(wait_for_shards());
  connections_->publish_counts();
  pipes_->publish_counts();
  read_drops();
  return absl::OkStatus();
}

absl::Status Loop::start() {
  ::prctl(PR_SET_TIMERSLACK, 1);  // ns: naps are shorter than the default, 50 us, would make them
  RETURN_IF_ERROR(ring_->enable());
  if (forwarder_ != nullptr) RETURN_IF_ERROR(forwarder_->start());
  read_drops();
  arm_wake();
  rearm();
  return absl::OkStatus();
}

// Submits, sleeps at most `limit` for a completion, handles all there are.
absl::Status Loop::pass(Micros limit) {
  if (nap_ && !inlets_wait()) std::this_thread::sleep_for(Moderation::kNap);
  RETURN_IF_ERROR(wait(limit));
  const uint32_t began = read_ticks();
  outlets_->begin_pass(read_clock().unix_ms, began);
  taken_ = roomy_taken_ = 0;
  unsigned head;
  unsigned count = 0;
  io_uring_cqe* cqe;
  io_uring_for_each_cqe(ring_->get(), head, cqe) {
    complete(cqe->user_data, cqe->res, cqe->flags);
    ++count;
  }
  io_uring_cq_advance(ring_->get(), count);
  nap_ = moderation_.nap_after(began, roomy_taken_, count - roomy_taken_);
  hand_over();
  for (Listener& l : listeners_) l.publish_counts();
  connections_->publish_counts();
  pipes_->publish_counts();
  rearm();
  return forwarder_ != nullptr ? forwarder_->status() : absl::OkStatus();
}

// Publishes what came, and what waited for its origin; takes back what the shards have finished,
// and goes on with what waited for them.
void Loop::hand_over() {
  outlets_->settle();
  outlets_->flush();
  reclaim();
  if (input_->waiting()) {
    input_->resume([this](Stream& s) {
      if (!s.is_pipe()) connections_->settle(s.slot);
    });
    outlets_->flush();
  }
  if (forwarder_ != nullptr) forward();
  buffers_->provide_home();
}

void Loop::forward() {
  forwarder_->take_inlets();
  forwarder_->flush();
  const std::span<ForwardTarget> targets = forwarder_->targets();
  for (size_t i = 0; i < targets.size(); ++i) {
    if (!targets[i].wants_look()) continue;
    io_uring_sqe* sqe = ring_->sqe();
    io_uring_prep_poll_add(sqe, targets[i].fd(), POLLOUT);
    sqe->user_data = pack({Kind::kWritable, static_cast<uint16_t>(i), 0});
  }
}

absl::Status Loop::wait(Micros limit) {
  if (forwarder_ != nullptr) {
    sleeper_->prepare();
    if (inlets_wait()) limit = Micros{0};
  }
  io_uring_cqe* first;
  __kernel_timespec ts{};
  ts.tv_sec = limit.count() / 1'000'000;
  ts.tv_nsec = limit.count() % 1'000'000 * 1000;
  const int rc = io_uring_submit_and_wait_timeout(ring_->get(), &first, 1,
                                                  limit == kNoLimit ? nullptr : &ts, nullptr);
  if (forwarder_ != nullptr) sleeper_->cancel();
  if (rc >= 0 || rc == -ETIME || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY) {
    return absl::OkStatus();
  }
  return errno_status(-rc, "io_uring_enter");
}

bool Loop::inlets_wait() const { return forwarder_ != nullptr && forwarder_->inlets_wait(); }

Loop::Micros Loop::patience() const {
  const bool starved = any(State::kStarved) || connections_->starved() || pipes_->starved();
  return starved || input_->waiting() ? kStarvedWait : kNoLimit;
}

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
      connections_->retry();
      pipes_->retry();
      break;
    case Kind::kCancel:
      break;  // the last completion of what is cancelled is what counts
    case Kind::kAccept:
      connections_->accepted(d, result);
      break;
    case Kind::kConnection:
      connections_->received(d, result, flags);
      break;
    case Kind::kPipePoll:
      pipes_->polled(d, result);
      break;
    case Kind::kPipeRead:
      pipes_->read(d, result, flags);
      break;
    case Kind::kWritable:
      forwarder_->targets()[d.slot].unblock();
      break;
  }
}

void Loop::receive(const UserData& d, int result, uint32_t flags) {
  const bool current = d.slot < listeners_.size() && listeners_[d.slot].is_current(d.generation);
  if ((flags & IORING_CQE_F_BUFFER) != 0) {
    const auto id = static_cast<uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
    buffers_->lend();
    std::optional<Packet> packet;
    if (current && result >= 0) {
      packet = listeners_[d.slot].take(buffers_->data(id), static_cast<size_t>(result));
      ++taken_;
      if (listeners_[d.slot].has_room()) ++roomy_taken_;
    }
    if (packet.has_value()) {
      packet->owner = owner_of_buffer(id);
      const Listener& from = listeners_[d.slot];
      if (from.spread()) packet->flow = outlets_->spread_flow();
      outlets_->take(*packet, packet->owner, from.sender(), from.slot());
    } else {
      buffers_->come_home(id);
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

void Loop::reclaim() {
  outlets_->reclaim([this](uint64_t owner) { loans_->returned(loans_->index_of(owner)); });
}

void Loop::rearm() {
  if (closing_) return;
  for (Listener& l : listeners_) {
    const bool fed = l.state() == State::kStarved && buffers_->left() != 0;
    if (fed || l.state() == State::kIdle) l.arm(ring_->sqe());
  }
  connections_->rearm();
  pipes_->rearm();
  const bool failed = any(State::kFailed) || connections_->failed() || pipes_->failed();
  if (!timer_armed_ && (taken_ != 0 || failed)) arm_timer();
}

bool Loop::any(State state) const {
  return std::any_of(listeners_.begin(), listeners_.end(),
                     [state](const Listener& l) { return l.state() == state; });
}

absl::Status Loop::drain() {
  const auto deadline = SteadyClock::now() + kDrainLimit;
  connections_->begin_drain();
  do {
    RETURN_IF_ERROR(pass(kStarvedWait));
    if (drained()) return absl::OkStatus();
  } while (SteadyClock::now() < deadline);
  spdlog::warn("io: packets kept coming for {} s; the rest stays where it is", kDrainLimit.count());
  return absl::OkStatus();
}

bool Loop::drained() const {
  return taken_ == 0 && !sockets_hold_packets() && connections_->drained() && pipes_->drained() &&
         !input_->waiting();
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
    io_uring_sqe* sqe = ring_->sqe();
    io_uring_prep_cancel64(sqe, l.user_data(), 0);
    sqe->user_data = pack({Kind::kCancel, 0, 0});
  }
  connections_->cancel();
  pipes_->cancel();
  const auto deadline = SteadyClock::now() + kShardsLimit;
  while (armed()) {
    RETURN_IF_ERROR(pass(kStarvedWait));
    if (SteadyClock::now() > deadline) return too_late("the kernel did not end the receives");
  }
  return absl::OkStatus();
}

bool Loop::armed() const { return any(State::kArmed) || connections_->armed() || pipes_->armed(); }

absl::Status Loop::wait_for_targets() {
  if (forwarder_ == nullptr) return absl::OkStatus();
  const auto deadline = SteadyClock::now() + kForwardLimit;
  do {
    RETURN_IF_ERROR(pass(kStarvedWait));
  } while (inlets_wait() || (forwarder_->waiting() && SteadyClock::now() < deadline));
  if (!forwarder_->waiting()) return absl::OkStatus();
  spdlog::warn("io: what waited for a forward target for {} s is given up", kForwardLimit.count());
  return absl::OkStatus();
}

// What comes forth yet is sent at once or not at all: it waited for a shard until now.
absl::Status Loop::wait_for_shards() {
  const auto begun = SteadyClock::now();
  const auto hand_over_all = [this] {
    hand_over();
    pipes_->end();
    if (forwarder_ != nullptr) forwarder_->give_up();
  };
  for (hand_over_all(); buffers_->lent() != 0 || !assemblies_->all_home(); hand_over_all()) {
    const auto waited = SteadyClock::now() - begun;
    if (waited > kShardsLimit) return too_late("the shards did not finish their packets");
    // Answers are a matter of microseconds; should they not come, the packets go without.
    if (waited > kOriginsLimit) outlets_->give_up();
    std::this_thread::sleep_for(kStarvedWait);
  }
  return absl::OkStatus();
}

void Loop::read_drops() {
  for (Listener& l : listeners_) l.read_drops();
}

void Loop::arm_wake() {
  io_uring_sqe* sqe = ring_->sqe();
  io_uring_prep_read(sqe, sleeper_->event(), &wake_count_, sizeof wake_count_, 0);
  sqe->user_data = pack({Kind::kWake, 0, 0});
}

void Loop::arm_timer() {
  static __kernel_timespec second{.tv_sec = 1, .tv_nsec = 0};
  io_uring_sqe* sqe = ring_->sqe();
  io_uring_prep_timeout(sqe, &second, 0, 0);
  sqe->user_data = pack({Kind::kTimer, 0, 0});
  timer_armed_ = true;
}

}  // namespace penstock::uring

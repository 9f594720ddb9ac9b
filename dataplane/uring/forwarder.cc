#include "dataplane/uring/forwarder.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cerrno>
#include <utility>

#include "dataplane/base/strings.h"

namespace penstock::uring {
namespace {

constexpr size_t kUdpPayloadMax = 65507;
constexpr uint16_t kLoans = 0;  // the holder of the io thread's packets

}  // namespace

absl::StatusOr<std::unique_ptr<Forwarder>> Forwarder::create(const Plan& plan,
                                                             std::vector<Fd> sockets,
                                                             std::span<ForwardStats* const> stats,
                                                             Loans& loans) {
  assert(!sockets.empty() && sockets.size() == stats.size());
  std::unique_ptr<Forwarder> f(new Forwarder(loans));
  const auto sends = static_cast<unsigned>(std::bit_ceil(sockets.size() * ForwardTarget::kBurst));
  ASSIGN_OR_RETURN(f->ring_, Ring::create(sends, 2 * sends));
  f->results_.resize(sends);
  f->shares_.push_back(std::max(1u, plan.io_buffers / 4));
  const uint32_t joined =
      plan.forward.batch != 0 ? std::min<uint32_t>(plan.dogstatsd.buffer_size, kUdpPayloadMax) : 0;
  static_assert(kForwardQueueMin >= ForwardTarget::kBurst);
  for (size_t i = 0; i < sockets.size(); ++i) {
    f->targets_.emplace_back(std::move(sockets[i]), plan.forward.queue, joined, *stats[i]);
  }
  return f;
}

PacketRing& Forwarder::add_inlet(uint32_t slots) {
  Inlet& inlet = inlets_.emplace_back();
  inlet.ring = std::make_unique<PacketRing>(slots);
  inlet.waits.resize(slots);
  shares_.push_back(slots / 2);
  for (ForwardTarget& t : targets_) t.add_holder(static_cast<uint16_t>(inlets_.size()));
  return *inlet.ring;
}

absl::Status Forwarder::start() { return ring_->enable(); }

void Forwarder::offer(const Packet& packet, uint64_t memory) {
  offer({.data = packet.data,
         .position = loans_.index_of(memory),
         .len = packet.len,
         .holder = kLoans});
}

void Forwarder::take_inlets() {
  for (size_t i = 0; i < inlets_.size(); ++i) {
    Inlet& inlet = inlets_[i];
    const auto burst = inlet.ring->peek(ForwardTarget::kBurst, inlet.taken);
    for (const Packet& p : burst) {
      const uint32_t position = inlet.position++;
      ++inlet.taken;
      offer({.data = p.data,
             .position = position,
             .len = p.len,
             .holder = static_cast<uint16_t>(i + 1)});
    }
  }
}

bool Forwarder::inlets_wait() {
  return std::any_of(inlets_.begin(), inlets_.end(),
                     [](Inlet& i) { return !i.ring->peek(1, i.taken).empty(); });
}

bool Forwarder::has_room(const ForwardTarget& target, uint16_t holder) const {
  return !target.full() && target.waiting_of(holder) < shares_[holder];
}

void Forwarder::offer(const ForwardPiece& piece) {
  // Held once for each target first: a target that is done at once must not free it.
  for (size_t i = 0; i < targets_.size(); ++i) hold(piece);
  for (ForwardTarget& t : targets_) {
    if (!t.blocked() && !has_room(t, piece.holder)) flush();
    while (!has_room(t, piece.holder)) release(t.drop_oldest());
    t.push(piece);
  }
  const bool burst = std::any_of(targets_.begin(), targets_.end(), [](const ForwardTarget& t) {
    return !t.blocked() && t.waiting() >= ForwardTarget::kBurst;
  });
  if (burst) flush();
}

void Forwarder::hold(const ForwardPiece& piece) {
  if (piece.holder == kLoans) {
    loans_.hold(piece.position);
  } else {
    Inlet& inlet = inlets_[piece.holder - 1];
    ++inlet.waits[piece.position & (inlet.ring->slots() - 1)];
  }
}

void Forwarder::release(const ForwardPiece& piece) {
  if (piece.holder == kLoans) {
    loans_.release(piece.position);
  } else {
    Inlet& inlet = inlets_[piece.holder - 1];
    --inlet.waits[piece.position & (inlet.ring->slots() - 1)];
  }
}

void Forwarder::flush() {
  while (status_.ok()) {
    std::array<unsigned, kPlanForwardTargetsMax> counts{};
    unsigned all = 0;
    for (size_t i = 0; i < targets_.size(); ++i) {
      if (targets_[i].blocked()) continue;
      counts[i] = targets_[i].prepare(ring_->get(), all);
      all += counts[i];
    }
    if (all == 0 || !submit(all)) break;
    const std::span<const int> results = results_;
    unsigned first = 0;
    for (size_t i = 0; i < targets_.size(); ++i) {
      targets_[i].settle(results.subspan(first, counts[i]),
                         [this](const ForwardPiece& piece) { release(piece); });
      first += counts[i];
    }
  }
  for (Inlet& inlet : inlets_) finish(inlet);
}

// Sends do not wait, so their completions are there when the submission returns.
bool Forwarder::submit(unsigned count) {
  for (unsigned reaped = 0; reaped < count;) {
    const int rc = io_uring_submit_and_wait(ring_->get(), count - reaped);
    if (rc < 0 && rc != -EINTR && rc != -EAGAIN && rc != -EBUSY) {
      status_ = errno_status(-rc, "io_uring_enter of the forwarder");
      return false;
    }
    unsigned head;
    unsigned seen = 0;
    io_uring_cqe* cqe;
    io_uring_for_each_cqe(ring_->get(), head, cqe) {
      results_[cqe->user_data] = cqe->res;
      ++seen;
    }
    io_uring_cq_advance(ring_->get(), seen);
    reaped += seen;
  }
  return true;
}

void Forwarder::finish(Inlet& inlet) {
  const uint32_t mask = inlet.ring->slots() - 1;
  const uint32_t tail = inlet.position - inlet.taken;
  uint32_t n = 0;
  while (n < inlet.taken && inlet.waits[(tail + n) & mask] == 0) ++n;
  if (n == 0) return;
  inlet.ring->finish(n);
  inlet.taken -= n;
}

bool Forwarder::waiting() const {
  return std::any_of(targets_.begin(), targets_.end(),
                     [](const ForwardTarget& t) { return t.waiting() != 0; });
}

void Forwarder::give_up() {
  for (ForwardTarget& t : targets_) {
    while (t.waiting() != 0) release(t.drop_oldest());
  }
  for (Inlet& inlet : inlets_) finish(inlet);
}

}  // namespace penstock::uring

#include "dataplane/keeper/endpoint.h"

#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "dataplane/base/log.h"
#include "dataplane/base/strings.h"

namespace penstock {

Endpoint::Endpoint(Fd listening, agent::Hello hello, std::vector<int> hello_fds, Outbox& outbox)
    : listening_(std::move(listening)),
      hello_(hello),
      hello_fds_(std::move(hello_fds)),
      outbox_(outbox) {}

void Endpoint::accept() {
  Fd peer(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!peer.valid()) return;
  if (connection_.valid()) spdlog::warn("a second penstockd connected; the first is dropped");
  connection_ = std::move(peer);
  announced_ = 0;
  ports_sent_ = 0;
  drained_sent_ = false;
  blocked_ = false;
  send(hello_.header, hello_fds_);
}

bool Endpoint::receive() {
  while (connection_.valid()) {
    absl::StatusOr<agent::Received> received = agent::receive(connection_.get());
    if (absl::IsUnavailable(received.status())) return false;  // nothing more for now
    if (!received.ok()) {
      hang_up(to_std(received.status().message()));
      return false;
    }
    switch (received->message.header.type) {
      case agent::Type::kSegmentAck:
        outbox_.acknowledge(received->message.segment_ack.sequence);
        break;
      case agent::Type::kStop:
        return true;
      default:
        hang_up("penstockd sent a message that only the data plane sends");
        return false;
    }
  }
  return false;
}

void Endpoint::set_port_state(const agent::PortState& state) {
  std::erase_if(ports_, [&](const agent::PortState& p) { return p.port == state.port; });
  ports_.push_back(state);
  ports_sent_ = 0;
}

void Endpoint::announce(bool drained, uint64_t last_sequence) {
  blocked_ = false;
  while (connection_.valid() && ports_sent_ < ports_.size()) {
    if (!send(ports_[ports_sent_].header)) return;
    ++ports_sent_;
  }
  for (const HeldSegment& s : outbox_.held()) {
    if (!connection_.valid()) return;
    if (s.sequence <= announced_) continue;
    const agent::SegmentReady ready{{agent::Type::kSegmentReady, agent::kVersion},
                                    s.sequence,
                                    s.bucket_start,
                                    s.points,
                                    s.samples};
    const int fd = s.memfd.get();
    if (!send(ready.header, {&fd, 1})) return;
    announced_ = s.sequence;
  }
  if (drained && connection_.valid() && !drained_sent_) {
    const agent::Drained message{{agent::Type::kDrained, agent::kVersion}, last_sequence};
    drained_sent_ = send(message.header);
  }
}

bool Endpoint::send(const agent::Header& message, std::span<const int> fds) {
  const absl::Status status = agent::send(connection_.get(), message, fds);
  if (absl::IsResourceExhausted(status)) {
    blocked_ = true;
  } else if (!status.ok()) {
    hang_up(to_std(status.message()));
  }
  return status.ok();
}

void Endpoint::hang_up(std::string_view why) {
  spdlog::warn("penstockd went away ({}); Segments are held for the next one", why);
  connection_.reset();
}

}  // namespace penstock

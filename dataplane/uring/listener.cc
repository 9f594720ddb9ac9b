#include "dataplane/uring/listener.h"

#include <linux/sock_diag.h>
#include <netinet/in.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "dataplane/base/strings.h"
#include "dataplane/uring/buffers.h"
#include "dataplane/uring/moderation.h"
#include "dataplane/uring/user_data.h"

namespace penstock::uring {
namespace {

constexpr size_t kNameBytes = sizeof(sockaddr_in6);
constexpr size_t kCredentialBytes = CMSG_SPACE(sizeof(ucred));
static_assert(sizeof(io_uring_recvmsg_out) + kNameBytes <= Listener::kHeaderBytesMax);
static_assert(sizeof(io_uring_recvmsg_out) + kCredentialBytes <= Listener::kHeaderBytesMax);

// Every input bit reaches the upper bits, which choose the shard.
uint32_t remix(uint64_t x) {
  x *= 0x9e3779b97f4a7c15;
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93;
  return static_cast<uint32_t>(x >> 32);
}

// The sender's address and port; where it came to is the same for all packets of a listener.
uint64_t address_key(const uint8_t* name) {
  sa_family_t family;
  std::memcpy(&family, name, sizeof family);
  if (family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, name, sizeof v4);
    return uint64_t{v4.sin_addr.s_addr} << 16 | v4.sin_port;
  }
  sockaddr_in6 v6;
  std::memcpy(&v6, name, sizeof v6);
  std::array<uint64_t, 2> halves;
  std::memcpy(halves.data(), &v6.sin6_addr, sizeof halves);
  return (uint64_t{remix(halves[0])} << 32 | remix(halves[1])) ^ v6.sin6_port;
}

absl::Status check_socket(int fd, ListenerKind kind) {
  int domain = 0;
  int type = 0;
  socklen_t size = sizeof domain;
  if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 ||
      ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0) {
    return errno_status(errno, "asking for its type");
  }
  const bool right_domain = kind == ListenerKind::kUdsDatagram
                                ? domain == AF_UNIX
                                : domain == AF_INET || domain == AF_INET6;
  if (type == SOCK_DGRAM && right_domain) return absl::OkStatus();
  return absl::InvalidArgumentError("not a datagram socket of the planned kind");
}

}  // namespace

absl::StatusOr<Listener> Listener::create(const Plan& plan, uint16_t slot, uint16_t index,
                                          Fd socket, SourceStats& source, LossStats& loss) {
  const ListenerPlan& p = plan.listeners[slot];
  Listener l;
  l.name_ = plan.str(p.name);
  if (absl::Status s = check_socket(socket.get(), p.kind); !s.ok()) {
    return absl::Status(s.code(), to_absl(cat("listener ", l.name_, " (", plan.str(p.address),
                                              "): ", to_std(s.message()))));
  }
  if (p.kind == ListenerKind::kUdsDatagram) {
    const int on = 1;
    if (::setsockopt(socket.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0) {
      return errno_status(errno, cat("listener ", l.name_, ": SO_PASSCRED"));
    }
    l.shape_.msg_controllen = kCredentialBytes;
  } else {
    l.shape_.msg_namelen = kNameBytes;
    int bytes = 0;
    socklen_t size = sizeof bytes;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &bytes, &size) == 0) {
      l.has_room_ = bytes >= Moderation::kRoomBytes;
    }
  }
  l.socket_ = std::move(socket);
  l.source_ = &source;
  l.loss_ = &loss;
  l.buffer_size_ = plan.dogstatsd.buffer_size;
  l.drops_seen_ = plan.drops_counted[slot];
  l.slot_ = slot;
  l.index_ = index;
  l.kind_ = p.kind;
  l.packet_flags_ = p.eol_required != 0 ? kPacketEolRequired : 0;
  l.spread_ = p.spread != 0;
  return l;
}

uint64_t Listener::user_data() const { return pack({Kind::kReceive, index_, generation_}); }

void Listener::arm(io_uring_sqe* sqe) {
  ++generation_;
  io_uring_prep_recvmsg_multishot(sqe, socket_.get(), &shape_, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = Buffers::kGroup;
  sqe->user_data = user_data();
  state_ = State::kArmed;
}

std::optional<Packet> Listener::take(const uint8_t* buffer, size_t bytes) {
  io_uring_recvmsg_out header;
  std::memcpy(&header, buffer, sizeof header);
  const size_t header_bytes = sizeof header + shape_.msg_namelen + shape_.msg_controllen;
  const size_t payload_bytes = bytes - header_bytes;
  // Credentials come with every datagram, an empty one too, but not with the end.
  if (kind_ == ListenerKind::kUdsDatagram && payload_bytes == 0 && header.controllen == 0) {
    state_ = State::kEnded;
    return std::nullopt;
  }
  ++counts_.received;
  if ((header.flags & MSG_TRUNC) != 0 || payload_bytes > buffer_size_) {
    ++counts_.truncated;
    return std::nullopt;
  }
  counts_.received_bytes += payload_bytes;
  ++counts_.dispatched;
  const uint8_t* const after_header = buffer + sizeof header;
  sender_ = kind_ == ListenerKind::kUdsDatagram
                ? origin::read_credentials(after_header, header.controllen)
                : origin::Credentials{};
  return Packet{.data = buffer + header_bytes,
                .owner = 0,
                .origin = 0,
                .flow = flow(after_header),
                .arrival = 0,
                .len = static_cast<uint16_t>(payload_bytes),
                .source = kind_ == ListenerKind::kUdp ? Source::kUdp : Source::kUds,
                .flags = packet_flags_};
}

// Senders of Unix datagrams have no connection to tell them apart by, but the packets of one
// process must keep their order, and so go to one shard.
uint32_t Listener::flow(const uint8_t* name) const {
  const uint64_t key = kind_ == ListenerKind::kUdp ? address_key(name) : sender_.pid;
  return remix(key ^ uint64_t{slot_} << 56);
}

void Listener::publish_counts() {
  if (counts_.received == 0) return;
  source_->received.add(counts_.received);
  source_->received_bytes.add(counts_.received_bytes);
  source_->truncated.add(counts_.truncated);
  source_->dispatched.add(counts_.dispatched);
  counts_ = {};
}

void Listener::read_drops() {
  if (kind_ != ListenerKind::kUdp) return;
  std::array<uint32_t, SK_MEMINFO_VARS> info{};
  socklen_t size = sizeof info;
  if (::getsockopt(socket_.get(), SOL_SOCKET, SO_MEMINFO, info.data(), &size) != 0) return;
  const uint32_t drops = info[SK_MEMINFO_DROPS];
  loss_->missed.add(drops - drops_seen_);
  drops_seen_ = drops;
}

}  // namespace penstock::uring

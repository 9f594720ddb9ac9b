// Output through byte streams: Unix stream connections, named pipes.

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>
#include <vector>

#include "dataplane/base/fd.h"
#include "dataplane/base/strings.h"
#include "tools/pktgen/output.h"

namespace penstock::pktgen {
namespace {

constexpr int kWaitMs = 100;
constexpr std::chrono::seconds kFinishLimit{10};

// How a packet looks in the stream.
enum class Framing { kLength, kLine };

void append(std::string& to, std::string_view packet, Framing framing) {
  if (framing == Framing::kLength) {
    const auto n = static_cast<uint32_t>(packet.size());
    for (int shift = 0; shift < 32; shift += 8) to += static_cast<char>(n >> shift);
    to += packet;
  } else {
    to += packet;
    if (!packet.ends_with('\n')) to += '\n';
  }
}

// A packet is accepted once its first byte is written. What is left of the last one goes before
// anything else of its flow.
class StreamOutput : public Output {
 public:
  StreamOutput(std::vector<Fd> streams, Framing framing, std::string target)
      : framing_(framing), target_(std::move(target)) {
    for (Fd& fd : streams) flows_.push_back({std::move(fd), {}});
  }

  absl::StatusOr<SendResult> send(std::span<const std::string_view> packets,
                                  uint64_t flow) override {
    Flow& f = flows_[flow % flows_.size()];
    ASSIGN_OR_RETURN(const bool free, flush(f));
    if (!free) return SendResult{0, true, false};
    SendResult result;
    // A pipe keeps apart what is written at once and fits PIPE_BUF: so each packet by itself.
    const size_t at_once = framing_ == Framing::kLine ? 1 : kBatch;
    while (result.accepted < packets.size() && f.rest.empty()) {
      ASSIGN_OR_RETURN(const size_t n, write(f, packets.subspan(result.accepted), at_once));
      result.accepted += n;
      result.waited = n == 0;
      if (n == 0) break;
    }
    return result;
  }

  absl::Status finish() override {
    const auto deadline = std::chrono::steady_clock::now() + kFinishLimit;
    for (Flow& f : flows_) {
      while (true) {
        ASSIGN_OR_RETURN(const bool done, flush(f));
        if (done) break;
        if (std::chrono::steady_clock::now() > deadline) {
          return absl::DeadlineExceededError(cat(std::string_view(target_), ": the receiver took ",
                                                 "nothing for ", kFinishLimit.count(), " s"));
        }
      }
    }
    return absl::OkStatus();
  }

 private:
  struct Flow {
    Fd fd;
    std::string rest;  // of a packet that was accepted
  };

  // Writes up to `most` packets at once; how many were accepted.
  absl::StatusOr<size_t> write(Flow& f, std::span<const std::string_view> packets, size_t most) {
    bytes_.clear();
    ends_.clear();
    for (const std::string_view packet : packets.first(std::min(most, packets.size()))) {
      append(bytes_, packet, framing_);
      ends_.push_back(bytes_.size());
    }
    ASSIGN_OR_RETURN(const size_t written, write_some(f, bytes_));
    size_t accepted = 0;
    while (accepted < ends_.size() && (accepted == 0 ? 0 : ends_[accepted - 1]) < written) {
      ++accepted;
    }
    if (accepted != 0) f.rest = bytes_.substr(written, ends_[accepted - 1] - written);
    return accepted;
  }

  // True if nothing is left of an earlier packet.
  absl::StatusOr<bool> flush(Flow& f) {
    if (f.rest.empty()) return true;
    ASSIGN_OR_RETURN(const size_t written, write_some(f, f.rest));
    f.rest.erase(0, written);
    return f.rest.empty();
  }

  // How many bytes were taken; waits for room if there is none.
  absl::StatusOr<size_t> write_some(const Flow& f, std::string_view bytes) {
    const ssize_t n = ::write(f.fd.get(), bytes.data(), bytes.size());
    if (n >= 0) return static_cast<size_t>(n);
    if (errno == EAGAIN) {
      pollfd p{f.fd.get(), POLLOUT, 0};
      ::poll(&p, 1, kWaitMs);
      return 0;
    }
    if (errno == EINTR) return 0;
    if (errno == EPIPE || errno == ECONNRESET) {
      return absl::UnavailableError(
          cat(std::string_view(target_), ": the receiver closed the connection"));
    }
    return errno_status(errno, cat("writing to ", std::string_view(target_)));
  }

  std::vector<Flow> flows_;
  Framing framing_;
  std::string target_;
  std::string bytes_;         // of one write
  std::vector<size_t> ends_;  // of the packets in them
};

absl::StatusOr<Fd> connected(const sockaddr_un& address) {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return errno_status(errno, "opening a stream socket");
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return errno_status(errno, cat("connecting to ", std::string_view(address.sun_path)));
  }
  ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);  // only now: to connect may take a moment
  return fd;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Output>> open_uds_stream(const std::string& path, uint32_t flows) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(cat("--uds-stream \"", std::string_view(path),
                                          "\": longer than ", sizeof address.sun_path - 1));
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  std::vector<Fd> connections;
  for (uint32_t i = 0; i < flows; ++i) {
    ASSIGN_OR_RETURN(Fd fd, connected(address));
    connections.push_back(std::move(fd));
  }
  return std::make_unique<StreamOutput>(std::move(connections), Framing::kLength, path);
}

absl::StatusOr<std::unique_ptr<Output>> open_pipe(const std::string& path) {
  std::vector<Fd> pipe;
  pipe.emplace_back(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  if (!pipe[0].valid()) {
    return errno_status(errno, cat("--pipe \"", std::string_view(path), "\"",
                                   errno == ENXIO ? ": nobody reads it" : ""));
  }
  return std::make_unique<StreamOutput>(std::move(pipe), Framing::kLine, path);
}

}  // namespace penstock::pktgen

#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "dataplane/api/io_memory.h"
#include "dataplane/uring/loop.h"
#include "detection.h"

namespace penstock::uring {

// Sockets, a loop on a thread of its own, and the shards' end of its rings.

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr uint32_t kBufferSize = 512;

// Waits for `done`, at most `limit`.
template <class Done>
bool eventually(Done&& done, std::chrono::milliseconds limit = 20s) {
  const auto deadline = Clock::now() + limit;
  while (!done()) {
    if (Clock::now() > deadline) return false;
    std::this_thread::sleep_for(100us);
  }
  return true;
}

// A temporary folder, removed with what is in it.
class TempDir {
 public:
  TempDir() { EXPECT_NE(::mkdtemp(path_.data()), nullptr); }
  ~TempDir() {
    for (const std::string& f : files_) ::unlink(f.c_str());
    ::rmdir(path_.c_str());
  }
  std::string file(const std::string& name) {
    files_.push_back(path_ + "/" + name);
    return files_.back();
  }

 private:
  std::string path_ = "/tmp/penstock-uring-XXXXXX";
  std::vector<std::string> files_;
};

struct Endpoint {
  sockaddr_storage address{};
  socklen_t size = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};

// A client's socket, connected to a listener.
class Client {
 public:
  explicit Client(const Endpoint& to) : fd_(::socket(to.address.ss_family, SOCK_DGRAM, 0)) {
    EXPECT_EQ(::connect(fd_.get(), to.get(), to.size), 0) << strerror(errno);
  }
  // Blocks while the receiver's queue is full (UDS).
  void send(std::string_view s) const {
    EXPECT_EQ(::send(fd_.get(), s.data(), s.size(), 0), static_cast<ssize_t>(s.size()))
        << strerror(errno);
  }
  [[nodiscard]] bool try_send(std::string_view s) const {
    return ::send(fd_.get(), s.data(), s.size(), MSG_DONTWAIT) == static_cast<ssize_t>(s.size());
  }

 private:
  Fd fd_;
};

inline std::string frame(std::string_view payload) {
  const auto n = static_cast<uint32_t>(payload.size());
  std::string out;
  for (int i = 0; i < 4; ++i) out += static_cast<char>(n >> 8 * i);
  return out.append(payload);
}

// A client's connection.
class StreamClient {
 public:
  explicit StreamClient(const Endpoint& to) : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    EXPECT_EQ(::connect(fd_.get(), to.get(), to.size), 0) << strerror(errno);
  }
  // Blocks while the receiver is full.
  void send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      ASSERT_GT(n, 0) << strerror(errno);
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  // How many bytes were taken; 0 if there is no room.
  [[nodiscard]] size_t try_send(std::string_view bytes) const {
    const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return n < 0 ? 0 : static_cast<size_t>(n);
  }
  [[nodiscard]] bool closed_by_server() const {
    char byte;
    return ::recv(fd_.get(), &byte, 1, MSG_DONTWAIT) == 0;
  }

 private:
  Fd fd_;
};

// A loop on real sockets. The test is the shards: it takes packets out of the rings itself, as
// slowly as it likes.
class LoopTest : public testing::Test {
 protected:
  static constexpr size_t kListeners = 4;
  static constexpr size_t kShards = 4;

  LoopTest() {
    plan_->shard_count = 1;
    plan_->io_buffers = 64;
    plan_->dogstatsd.buffer_size = kBufferSize;
    plan_->limits.ring_slots = 64;
  }

  ~LoopTest() override {
    if (thread_.joinable()) {
      request_stop();
      while (!returned_) finish_all();
      thread_.join();
    }
    if (detection_ != nullptr) detection_->stop();
  }

  // From now on the Unix sockets that are added detect origins.
  void detect(const std::string& proc_root) { proc_root_ = proc_root; }

  Endpoint add_uds(bool eol_required = false) {
    Endpoint e;
    unix_address(e);
    add(ListenerKind::kUdsDatagram, "uds", eol_required, e, 0);
    return e;
  }

  Endpoint add_udp(int family = AF_INET, int receive_bytes = 0) {
    Endpoint e;
    e.address.ss_family = static_cast<sa_family_t>(family);
    if (family == AF_INET) {
      reinterpret_cast<sockaddr_in&>(e.address).sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      e.size = sizeof(sockaddr_in);
    } else {
      reinterpret_cast<sockaddr_in6&>(e.address).sin6_addr = in6addr_loopback;
      e.size = sizeof(sockaddr_in6);
    }
    add(ListenerKind::kUdp, "udp", false, e, receive_bytes);
    return e;
  }

  Endpoint add_stream(uint16_t connections = 64, bool eol_required = false) {
    Endpoint e;
    unix_address(e);
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(fd.get(), e.get(), e.size), 0) << strerror(errno);
    EXPECT_EQ(::listen(fd.get(), 4096), 0);
    plan(ListenerKind::kUdsStream, "stream", eol_required).connections = connections;
    sockets_.push_back(std::move(fd));
    return e;
  }

  // The path of a pipe.
  std::string add_pipe(bool eol_required = false) {
    const std::string path = dir_.file(std::to_string(sockets_.size()));
    EXPECT_EQ(::mkfifo(path.c_str(), 0600), 0) << strerror(errno);
    plan(ListenerKind::kPipe, "pipe", eol_required);
    sockets_.emplace_back(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
    return path;
  }

  void create(size_t shards = 1) {
    if (!proc_root_.empty()) detection_ = std::make_unique<Detection>(*plan_, proc_root_);
    finish_plan(*plan_);
    std::vector<SourceStats*> sources;
    std::vector<LossStats*> losses;
    for (size_t i = 0; i < sockets_.size(); ++i) {
      sources.push_back(&sources_[i]);
      losses.push_back(&losses_[i]);
    }
    std::vector<Outlet> outlets;
    for (size_t i = 0; i < shards; ++i) {
      rings_.push_back(std::make_unique<PacketRing>(io_ring_slots(*plan_)));
      sleepers_.push_back(*Sleeper::create());
      outlets.push_back({rings_.back().get(), sleepers_.back().get()});
    }
    auto loop = Loop::create(*plan_, std::move(sockets_), sources, losses, outlets,
                             detection_ != nullptr ? detection_->origins(*plan_) : nullptr);
    ASSERT_TRUE(loop.ok()) << loop.status();
    loop_ = *std::move(loop);
  }

  void start(size_t shards = 1) {
    create(shards);
    if (HasFatalFailure()) return;
    if (detection_ != nullptr) detection_->start(*loop_);
    launch();
  }

  void launch() {
    thread_ = std::thread([this] {
      result_ = loop_->run(stop_);
      returned_ = true;
    });
  }

  void request_stop() {
    stop_ = true;
    loop_->wake();
  }

  // The next `count` payloads of shard `shard`, waiting for them.
  std::vector<std::string> take(size_t count, size_t shard = 0) {
    std::vector<std::string> out;
    const bool all = eventually([&] {
      const auto burst = rings_[shard]->peek(count - out.size());
      for (const Packet& p : burst) {
        out.emplace_back(reinterpret_cast<const char*>(p.data), p.len);
        last_ = p;
      }
      rings_[shard]->finish(burst.size());
      return out.size() == count;
    });
    EXPECT_TRUE(all) << out.size() << " of " << count << " packets";
    return out;
  }

  // Finishes with whatever waits in any ring.
  void finish_all() {
    for (const auto& ring : rings_) {
      const auto burst = ring->peek(SIZE_MAX);
      for (const Packet& p : burst) {
        all_.emplace_back(reinterpret_cast<const char*>(p.data), p.len);
      }
      ring->finish(burst.size());
    }
  }

  void stop_and_expect_ok() {
    request_stop();
    while (!returned_) finish_all();
    thread_.join();
    EXPECT_TRUE(result_.ok()) << result_;
  }

  // Every packet that was received is in one bucket.
  void expect_exact(size_t listener = 0) {
    const SourceStats& s = sources_[listener];
    EXPECT_EQ(s.received.get(), s.dispatched.get() + s.truncated.get() +
                                    s.malformed_frame_empty.get() + s.malformed_frame_long.get() +
                                    s.malformed_cut_off.get());
  }

  TempDir dir_;
  std::unique_ptr<Plan> plan_ = make_plan();
  std::vector<Fd> sockets_;
  std::array<SourceStats, kListeners> sources_;
  std::array<LossStats, kListeners> losses_;
  std::vector<std::unique_ptr<PacketRing>> rings_;
  std::vector<std::unique_ptr<Sleeper>> sleepers_;
  std::string proc_root_;                 // empty: no origins
  std::unique_ptr<Detection> detection_;  // with the loop
  std::unique_ptr<Loop> loop_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> returned_{false};
  absl::Status result_;
  Packet last_{};
  std::vector<std::string> all_;
  std::thread thread_;

 private:
  void unix_address(Endpoint& e) {
    auto& address = reinterpret_cast<sockaddr_un&>(e.address);
    address.sun_family = AF_UNIX;
    const std::string path = dir_.file(std::to_string(sockets_.size()));
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    e.size = sizeof(sockaddr_un);
  }

  ListenerPlan& plan(ListenerKind kind, std::string_view name, bool eol) {
    ListenerPlan& l = plan_->listeners[plan_->listener_count++];
    l.name = plan_->add_text(name);
    l.kind = kind;
    l.eol_required = eol ? 1 : 0;
    const bool has_senders = kind == ListenerKind::kUdsDatagram || kind == ListenerKind::kUdsStream;
    l.origin_detection = has_senders && !proc_root_.empty() ? 1 : 0;
    return l;
  }

  void add(ListenerKind kind, std::string_view name, bool eol, Endpoint& e, int receive_bytes) {
    Fd fd(::socket(e.address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (receive_bytes != 0) {
      EXPECT_EQ(::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(int)), 0);
    }
    ASSERT_EQ(::bind(fd.get(), e.get(), e.size), 0) << strerror(errno);
    socklen_t size = sizeof e.address;
    ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&e.address), &size);
    plan(kind, name, eol);
    sockets_.push_back(std::move(fd));
  }
};

inline std::string numbered(size_t i) { return "metric" + std::to_string(i) + ":1|c"; }

}  // namespace penstock::uring

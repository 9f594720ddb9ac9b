#include "controlplane/listeners.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <map>
#include <thread>

#include "control_support.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

using testing::HasSubstr;

ListenerSpec uds(const std::string& path) {
  return {"uds-unixgram", path, ListenerKind::kUdsDatagram, false};
}
ListenerSpec stream(const std::string& path, uint16_t connections = 4) {
  return {"uds-unix", path, ListenerKind::kUdsStream, false, false, false, connections};
}
ListenerSpec pipe(const std::string& path) {
  return {"named_pipe", path, ListenerKind::kPipe, false};
}
ListenerSpec udp(const std::string& address) { return {"udp", address, ListenerKind::kUdp, false}; }

Listener open_one(const ListenerSpec& spec, uint32_t so_rcvbuf = 0) {
  return std::move(open_listeners({&spec, 1}, so_rcvbuf).front());
}

TEST(Listeners, UdsHasTheAgentsMode) {
  TemporaryDirectory directory;
  const std::string path = directory.file("dsd.socket");
  const Listener l = open_one(uds(path));
  ASSERT_TRUE(l.socket.valid()) << l.error;
  struct stat st {};
  ASSERT_EQ(::stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0722u);
}

TEST(Listeners, AStaleSocketIsReplacedALiveOneIsNot) {
  TemporaryDirectory directory;
  const std::string path = directory.file("dsd.socket");
  {
    const Listener first = open_one(uds(path));
    const Listener second = open_one(uds(path));
    EXPECT_FALSE(second.socket.valid());
    EXPECT_THAT(second.error, HasSubstr(path));
    EXPECT_THAT(second.error, HasSubstr("another process listens on it; stop that process"));
  }
  EXPECT_TRUE(open_one(uds(path)).socket.valid());
}

// As after kill -9 of both processes: the last thread of the data plane closes its sockets late.
TEST(Listeners, AnAddressThatComesFreeAMomentLaterIsTaken) {
  TemporaryDirectory directory;
  std::vector<Listener> first;
  first.push_back(open_one(uds(directory.file("s"))));
  first.push_back(open_one(udp("127.0.0.1:0")));
  const std::vector<ListenerSpec> specs{first[0].spec, first[1].spec};
  std::jthread closing([&first] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    first.clear();
  });
  for (const Listener& l : open_listeners(specs, 0)) EXPECT_TRUE(l.socket.valid()) << l.error;
}

TEST(Listeners, ASocketOfAnotherTypeIsBusyToo) {
  TemporaryDirectory directory;
  const std::string path = directory.file("s");
  const auto stream = bind_unix(path, SOCK_STREAM, 0600);
  ASSERT_EQ(::listen(stream->get(), 1), 0);
  EXPECT_THAT(open_one(uds(path)).error, HasSubstr("another process listens on it"));
}

TEST(Listeners, WhatIsNotASocketIsLeftAlone) {
  TemporaryDirectory directory;
  const std::string path = directory.file("file");
  std::ofstream(path) << "precious";
  EXPECT_THAT(open_one(uds(path)).error, HasSubstr("exists and is not a socket; remove it"));
  EXPECT_EQ(std::filesystem::file_size(path), 8u);
}

TEST(Listeners, AMissingDirectoryFailsThatListenerOnly) {
  const ListenerSpec specs[] = {uds("/nonexistent/dsd.socket"), udp("localhost:0")};
  const std::vector<Listener> listeners = open_listeners(specs, 0);
  EXPECT_THAT(listeners[0].error, HasSubstr("create its directory"));
  EXPECT_TRUE(listeners[1].socket.valid()) << listeners[1].error;
}

TEST(Listeners, UdpTellsWhereItIsBound) {
  const Listener l = open_one(udp("localhost:0"));
  ASSERT_TRUE(l.socket.valid()) << l.error;
  EXPECT_THAT(l.spec.address, testing::StartsWith("127.0.0.1:"));
  EXPECT_FALSE(l.spec.address.ends_with(":0"));
  const Listener second = open_one(udp(l.spec.address));
  EXPECT_THAT(second.error, HasSubstr("stop the process that has it, or change dogstatsd_port"));
}

TEST(Listeners, NonLocalTakesBothFamilies) {
  const Listener l = open_one(udp("[::]:0"));
  ASSERT_TRUE(l.socket.valid()) << l.error;
  EXPECT_TRUE(same_listener(udp("[::]:0"), l.spec));
}

std::vector<Listener> open_shared(const std::string& address, size_t sockets) {
  std::vector<ListenerSpec> specs;
  for (size_t i = 0; i < sockets; ++i) {
    specs.push_back({cat("udp/", i), address, ListenerKind::kUdp, false, false, /*shared=*/true});
  }
  return open_listeners(specs, 0);
}

// The kernel spreads flows over them, and keeps each flow on one.
TEST(Listeners, SeveralSocketsShareAnAddressThatTheKernelChose) {
  const std::vector<Listener> listeners = open_shared("localhost:0", 4);
  for (const Listener& l : listeners) {
    ASSERT_TRUE(l.socket.valid()) << l.error;
    EXPECT_EQ(l.spec.address, listeners[0].spec.address);
  }
  sockaddr_storage to{};
  socklen_t size = sizeof to;
  ::getsockname(listeners[0].socket.get(), reinterpret_cast<sockaddr*>(&to), &size);
  constexpr int kFlows = 64;
  for (int flow = 0; flow < kFlows; ++flow) {
    const Fd sender(::socket(AF_INET, SOCK_DGRAM, 0));
    ASSERT_EQ(::connect(sender.get(), reinterpret_cast<const sockaddr*>(&to), size), 0);
    for (int i = 0; i < 3; ++i) ASSERT_EQ(::send(sender.get(), &flow, sizeof flow, 0), 4);
  }
  std::map<int, size_t> socket_of;
  size_t received = 0;
  for (size_t i = 0; i < listeners.size(); ++i) {
    size_t here = 0;
    for (int flow; ::recv(listeners[i].socket.get(), &flow, sizeof flow, MSG_DONTWAIT) == 4;) {
      EXPECT_EQ(socket_of.try_emplace(flow, i).first->second, i);
      ++here;
    }
    EXPECT_GT(here, 0u) << "socket " << i;
    received += here;
  }
  EXPECT_EQ(received, size_t{3} * kFlows);
}

TEST(Listeners, SharingStopsAtOurOwnSockets) {
  const std::vector<Listener> ours = open_shared("localhost:0", 2);
  const std::string address = ours[0].spec.address;
  EXPECT_THAT(open_shared(address, 2)[0].error, HasSubstr("stop the process that has it"));
  EXPECT_THAT(open_one(udp(address)).error, HasSubstr("stop the process that has it"));
}

TEST(Listeners, SeveralSocketsTakeBothFamilies) {
  for (const Listener& l : open_shared("[::]:0", 2)) EXPECT_TRUE(l.socket.valid()) << l.error;
}

TEST(Listeners, AnUnknownHostIsNamed) {
  EXPECT_THAT(open_one(udp("256.1.1.1:9")).error, HasSubstr("bind_host = \"256.1.1.1\""));
}

TEST(Listeners, TheReceiveBufferIsSet) {
  const Listener l = open_one(udp("localhost:0"), 65536);
  int value = 0;
  socklen_t size = sizeof value;
  ::getsockopt(l.socket.get(), SOL_SOCKET, SO_RCVBUF, &value, &size);
  EXPECT_EQ(value, 2 * 65536);  // the kernel doubles it
}

TEST(Listeners, AStreamSocketListensAndHasTheAgentsMode) {
  TemporaryDirectory directory;
  const std::string path = directory.file("stream.socket");
  (void)open_one(stream(path));  // leaves a stale one
  const Listener l = open_one(stream(path));
  ASSERT_TRUE(l.socket.valid()) << l.error;
  struct stat st {};
  ASSERT_EQ(::stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0722u);
  int listening = 0;
  socklen_t size = sizeof listening;
  ::getsockopt(l.socket.get(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &size);
  EXPECT_EQ(listening, 1);
  const Listener second = open_one(stream(path));
  EXPECT_THAT(second.error, HasSubstr("dogstatsd_stream_socket = \""));
  EXPECT_THAT(second.error, HasSubstr("another process listens on it; stop that process"));
  EXPECT_FALSE(refuses_senders(l));
  refuse_senders(l);
  EXPECT_TRUE(refuses_senders(l));
}

TEST(Listeners, APipeIsMadeOnceAndKept) {
  TemporaryDirectory directory;
  const std::string path = directory.file("pipe");
  ino_t made = 0;
  for (int round = 0; round < 2; ++round) {
    const Listener l = open_one(pipe(path));
    ASSERT_TRUE(l.socket.valid()) << l.error;
    struct stat st {};
    ASSERT_EQ(::stat(path.c_str(), &st), 0);
    EXPECT_TRUE(S_ISFIFO(st.st_mode));
    EXPECT_EQ(st.st_mode & 07777, 0722u);
    if (round == 1) {
      EXPECT_EQ(st.st_ino, made);
    }
    made = st.st_ino;
  }
}

TEST(Listeners, APipeHasOneReader) {
  TemporaryDirectory directory;
  const std::string path = directory.file("pipe");
  Listener first = open_one(pipe(path));
  const Fd inherited(::dup(first.socket.get()));
  first.socket.reset();  // penstockd is gone, its data plane is not
  EXPECT_THAT(open_one(pipe(path)).error, HasSubstr("another process has locked it"));
}

TEST(Listeners, WhatIsNoPipeIsLeftAlone) {
  TemporaryDirectory directory;
  const std::string path = directory.file("file");
  std::ofstream(path) << "precious";
  EXPECT_THAT(open_one(pipe(path)).error, HasSubstr(cat("dogstatsd_pipe_name = \"", path,
                                                        "\": exists and is not a pipe; remove")));
  EXPECT_EQ(std::filesystem::file_size(path), 8u);
  std::filesystem::create_symlink("elsewhere", directory.file("link"));
  EXPECT_THAT(open_one(pipe(directory.file("link"))).error, HasSubstr("is not a pipe"));
  EXPECT_THAT(open_one(pipe("/nonexistent/pipe")).error, HasSubstr("create its directory"));
}

TEST(Listeners, RecognisesARunningOne) {
  const ListenerSpec running = udp("127.0.0.1:8125");
  EXPECT_TRUE(same_listener(udp("localhost:8125"), running));
  EXPECT_TRUE(same_listener(udp("localhost:0"), running)) << "any port was asked for";
  EXPECT_FALSE(same_listener(udp("localhost:8126"), running));
  EXPECT_FALSE(same_listener(udp("10.0.0.1:8125"), running));
  EXPECT_FALSE(same_listener(uds("/a"), running));
  EXPECT_TRUE(same_listener(uds("/a"), uds("/a")));
  EXPECT_FALSE(same_listener(uds("/a"), uds("/b")));
  EXPECT_TRUE(same_listener(stream("/a"), stream("/a")));
  EXPECT_FALSE(same_listener(stream("/a"), stream("/a", 5)));
  EXPECT_FALSE(same_listener(stream("/a"), uds("/a")));
  EXPECT_TRUE(same_listener(pipe("/a"), pipe("/a")));
}

}  // namespace
}  // namespace penstock

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <thread>

#include "control_support.h"
#include "controlplane/control_server.h"
#include "controlplane/control_wire.h"
#include "controlplane/listeners.h"

namespace penstock::control {
namespace {

using testing::HasSubstr;

// A server whose loop runs in a thread of its own, as clients block.
class ControlTest : public testing::Test {
 protected:
  void SetUp() override {
    loop_ = *EventLoop::create();
    server_ = *Server::open(*loop_, path_);
    server_->add("echo", false, [](const Server::Reply& reply) { reply(Server::Json{{"a", 1}}); });
    server_->add("big", false, [](const Server::Reply& reply) {
      reply(Server::Json{{"text", std::string(1 << 20, '"')}});
    });
    server_->add("fail", true,
                 [](const Server::Reply& reply) { reply(absl::UnavailableError("not now")); });
    server_->add("late", false, [this](const Server::Reply& reply) {
      loop_->after(5, [reply] { reply(Server::Json("late")); });
    });
    server_->add("never", false, [](const Server::Reply& /*reply*/) {});
    thread_ = std::thread([this] { loop_->run(); });
  }
  void TearDown() override {
    loop_->post([this] { loop_->stop(); });
    thread_.join();
    server_.reset();
  }
  absl::StatusOr<std::string> call(std::string_view verb) {
    absl::StatusOr<Client> client = Client::connect(path_, 10000);
    if (!client.ok()) return client.status();
    return client->call(verb);
  }
  Fd raw() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, path_.size());
    Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    const timeval timeout{10, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  // The next message; empty at the end of the connection.
  static std::string next(const Fd& fd) {
    std::string text(2 * kMessageBytes, '\0');
    const ssize_t n = ::recv(fd.get(), text.data(), text.size(), 0);
    EXPECT_GE(n, 0) << "nothing within ten seconds";
    text.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return text;
  }

  TemporaryDirectory directory_;
  const std::string path_ = directory_.file("control.sock");
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
};

TEST_F(ControlTest, GreetsAndAnswers) {
  EXPECT_THAT(next(raw()), HasSubstr("\"protocol\":1"));
  EXPECT_EQ(*call("echo"), "{\"a\":1}");
  EXPECT_EQ(*call("late"), "\"late\"");
}

TEST_F(ControlTest, OneConnectionTakesManyRequests) {
  absl::StatusOr<Client> client = Client::connect(path_, 10000);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(*client->call("echo"), "{\"a\":1}");
}

TEST_F(ControlTest, ALargeReplyComesInPartsAndWhole) {
  const absl::StatusOr<std::string> text = call("big");
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(Server::Json::parse(*text)["text"], std::string(1 << 20, '"'));
}

TEST_F(ControlTest, ErrorsReachTheClient) {
  EXPECT_EQ(call("fail").status().message(), "not now");
  EXPECT_THAT(std::string(call("nothing").status().message()),
              HasSubstr("unknown verb; there are big, echo, fail, late, never"));
}

TEST_F(ControlTest, NonsenseGetsAnErrorAndTheConnectionLives) {
  const Fd client = raw();
  next(client);
  for (const std::string text : {"", "{", "[]", "{\"verb\":3}", "\xff\xfe"}) {
    if (text.empty()) continue;
    ASSERT_GT(::send(client.get(), text.data(), text.size(), 0), 0);
    EXPECT_THAT(next(client), HasSubstr("\"ok\":false")) << text;
  }
}

TEST_F(ControlTest, TooLongOrTooEagerIsDropped) {
  const Fd longwinded = raw();
  next(longwinded);
  const std::string text(kRequestBytes + 1, 'x');
  ASSERT_GT(::send(longwinded.get(), text.data(), text.size(), 0), 0);
  EXPECT_EQ(next(longwinded), "");
  const Fd eager = raw();
  next(eager);
  const std::string request = "{\"verb\":\"never\"}";
  for (int i = 0; i < 2; ++i) ::send(eager.get(), request.data(), request.size(), 0);
  EXPECT_EQ(next(eager), "");
}

TEST_F(ControlTest, AClientThatDoesNotReadDelaysNobody) {
  const Fd slow = raw();
  const std::string request = "{\"verb\":\"big\"}";
  ASSERT_GT(::send(slow.get(), request.data(), request.size(), 0), 0);
  EXPECT_EQ(*call("echo"), "{\"a\":1}");
}

TEST_F(ControlTest, ClientsAreBoundedTheOneIdleLongestGoes) {
  std::vector<Fd> clients;
  for (size_t i = 0; i < Server::kClientsMax; ++i) {
    clients.push_back(raw());
    next(clients.back());
  }
  EXPECT_EQ(*call("echo"), "{\"a\":1}");
  EXPECT_EQ(next(clients.front()), "");
}

TEST_F(ControlTest, APathThatAnswersIsNotTaken) {
  const auto second = Server::open(*loop_, path_);
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("another process listens on it"));
}

TEST(ControlSocket, AStalePathIsTaken) {
  TemporaryDirectory directory;
  const std::string path = directory.file("s");
  { const auto old = bind_unix(path, SOCK_SEQPACKET, 0600); }
  const auto loop = *EventLoop::create();
  EXPECT_TRUE(Server::open(*loop, path).ok());
}

TEST(ControlSocket, WithoutADaemonTheErrorNamesThePath) {
  const auto client = Client::connect("/nonexistent/control.sock", 100);
  EXPECT_THAT(std::string(client.status().message()), HasSubstr("/nonexistent/control.sock"));
}

}  // namespace
}  // namespace penstock::control

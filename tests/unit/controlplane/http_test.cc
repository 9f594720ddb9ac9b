#include "controlplane/http.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "dataplane/base/fd.h"

namespace penstock {
namespace {

using testing::HasSubstr;

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// A listening socket on a port of the kernel's choice.
Fd listen_anywhere(uint16_t& port) {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(0);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::listen(fd.get(), 1), 0);
  socklen_t size = sizeof address;
  ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
  port = ntohs(address.sin_port);
  return fd;
}

// Everything the server answers to `request` before it closes the connection.
std::string ask(uint16_t port, const std::string& request) {
  const Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval timeout{10, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  const sockaddr_in address = loopback(port);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return "no connection";
  }
  ::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL);
  std::string answer;
  std::array<char, 4096> part;
  ssize_t n;
  while ((n = ::recv(fd.get(), part.data(), part.size(), 0)) > 0) {
    answer.append(part.data(), static_cast<size_t>(n));
  }
  return answer;
}

TEST(Http, ServesWhatItsHandlersSay) {
  uint16_t port = 0;
  listen_anywhere(port).reset();
  HttpServer server("key", {"127.0.0.1", port});
  server.get("/ok", [] { return HttpReply{200, "fine\n"}; });
  server.get("/bad", [] { return HttpReply{503, "broken\n"}; });
  ASSERT_TRUE(server.start().ok());
  EXPECT_THAT(ask(port, "GET /ok HTTP/1.1\r\nHost: x\r\n\r\n"), HasSubstr("\r\n\r\nfine\n"));
  EXPECT_THAT(ask(port, "GET /bad HTTP/1.1\r\nHost: x\r\n\r\n"), HasSubstr("503"));
  EXPECT_THAT(ask(port, "GET /no HTTP/1.1\r\nHost: x\r\n\r\n"), HasSubstr("404"));
  EXPECT_THAT(ask(port, "nonsense\r\n\r\n"), HasSubstr("400"));
}

TEST(Http, AClientThatSaysNothingDelaysOthersOnlyBriefly) {
  uint16_t port = 0;
  listen_anywhere(port).reset();
  HttpServer server("key", {"127.0.0.1", port});
  server.get("/ok", [] { return HttpReply{200, "fine\n"}; });
  ASSERT_TRUE(server.start().ok());
  std::vector<Fd> silent;
  for (int i = 0; i < 3; ++i) {
    silent.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in address = loopback(port);
    ASSERT_EQ(
        ::connect(silent.back().get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
        0);
  }
  EXPECT_THAT(ask(port, "GET /ok HTTP/1.1\r\nHost: x\r\n\r\n"), HasSubstr("fine"));
}

TEST(Http, ABusyPortIsAnErrorThatNamesIt) {
  uint16_t port = 0;
  const Fd other = listen_anywhere(port);
  HttpServer server("penstock.http.listen", {"127.0.0.1", port});
  const absl::Status status = server.start();
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(server.error(), HasSubstr("penstock.http.listen = \"127.0.0.1:"));
  EXPECT_THAT(server.error(), HasSubstr("in use"));
}

}  // namespace
}  // namespace penstock

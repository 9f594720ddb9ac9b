#include "dataplane/origin/credentials.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

namespace penstock::origin {
namespace {

// What is read of a control message of process 7.
Credentials read(int level, int type, size_t bytes = CMSG_LEN(sizeof(ucred))) {
  std::array<uint8_t, CMSG_SPACE(sizeof(ucred))> raw{};
  cmsghdr header{};
  header.cmsg_len = CMSG_LEN(sizeof(ucred));
  header.cmsg_level = level;
  header.cmsg_type = type;
  const ucred sender{7, 8, 9};
  std::memcpy(raw.data(), &header, sizeof header);
  std::memcpy(raw.data() + CMSG_LEN(0), &sender, sizeof sender);
  return read_credentials(raw.data(), bytes);
}

TEST(Credentials, AreTheFirstControlMessage) {
  EXPECT_EQ(read(SOL_SOCKET, SCM_CREDENTIALS), (Credentials{7, 8, 9}));
  EXPECT_EQ(read(SOL_SOCKET, SCM_CREDENTIALS, CMSG_LEN(sizeof(ucred)) - 1), Credentials{});
  EXPECT_EQ(read(SOL_SOCKET, SCM_CREDENTIALS, 0), Credentials{});
  EXPECT_EQ(read(SOL_SOCKET, SCM_RIGHTS), Credentials{});
  EXPECT_EQ(read(IPPROTO_IP, SCM_CREDENTIALS), Credentials{});
}

TEST(Credentials, OfAReplayAreMarkedByTheGroup) {
  EXPECT_FALSE((Credentials{7, 8, 9}.replayed()));
  EXPECT_FALSE((Credentials{7, 999888777, 9}.replayed()));
  EXPECT_TRUE((Credentials{7, 8, 999888777}.replayed()));
}

}  // namespace
}  // namespace penstock::origin

#include "dataplane/origin/credentials.h"

#include <sys/socket.h>

#include <cstring>

namespace penstock::origin {

Credentials read_credentials(const uint8_t* control, size_t bytes) {
  if (bytes < CMSG_LEN(sizeof(ucred))) return {};
  cmsghdr header;
  std::memcpy(&header, control, sizeof header);
  if (header.cmsg_level != SOL_SOCKET || header.cmsg_type != SCM_CREDENTIALS) return {};
  ucred sender;
  std::memcpy(&sender, control + CMSG_LEN(0), sizeof sender);
  return {static_cast<uint32_t>(sender.pid), sender.uid, sender.gid};
}

Credentials peer_credentials(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return {};
  return {static_cast<uint32_t>(peer.pid), peer.uid, peer.gid};
}

}  // namespace penstock::origin

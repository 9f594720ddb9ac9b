#pragma once

#include <cstddef>
#include <cstdint>

namespace penstock::origin {

// What the kernel says of the process that sent a packet over a Unix socket (SCM_CREDENTIALS).
struct Credentials {
  uint32_t pid = 0;  // in our PID namespace; 0: of another one, or nothing was said
  uint32_t uid = 0;
  uint32_t gid = 0;

  // A replay of recorded traffic marks its packets so, and only root can (spec 2.6): `uid` is the
  // process that was recorded, which is none of this machine.
  [[nodiscard]] bool replayed() const { return gid == kReplayGid; }
  static constexpr uint32_t kReplayGid = 999'888'777;

  bool operator==(const Credentials&) const = default;
};

// The first of a packet's control messages, where it is one of credentials; otherwise nothing.
Credentials read_credentials(const uint8_t* control, size_t bytes);

// Of the process that connected to a Unix stream socket, as it was then; otherwise nothing.
Credentials peer_credentials(int fd);

}  // namespace penstock::origin

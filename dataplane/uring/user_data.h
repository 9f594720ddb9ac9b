#pragma once

#include <cstdint>

namespace penstock::uring {

// What a completion belongs to: the kernel hands an operation's 64 bits back unread.
enum class Kind : uint8_t {
  kReceive = 1,  // a datagram socket
  kWake,
  kTimer,
  kCancel,
  kAccept,
  kConnection,  // receiving on it
  kPipePoll,
  kPipeRead,
  kWritable,  // a forward target
};

// `slot` says which object of that kind, `generation` which use of the slot: a completion of an
// earlier use is recognised and never followed.
struct UserData {
  Kind kind;
  uint16_t slot;
  uint32_t generation;

  bool operator==(const UserData&) const = default;
};

constexpr uint64_t pack(UserData d) {
  return static_cast<uint64_t>(d.kind) << 56 | static_cast<uint64_t>(d.slot) << 32 | d.generation;
}

constexpr UserData unpack(uint64_t bits) {
  return {static_cast<Kind>(bits >> 56), static_cast<uint16_t>(bits >> 32),
          static_cast<uint32_t>(bits)};
}

}  // namespace penstock::uring

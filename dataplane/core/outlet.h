#pragma once

#include "dataplane/core/ring.h"
#include "dataplane/core/sleeper.h"

namespace penstock {

// The way from one producing thread to a consumer: its ring, and how to wake it. Both are the
// consumer's.
struct Outlet {
  PacketRing* ring;
  Sleeper* sleeper;
};

}  // namespace penstock

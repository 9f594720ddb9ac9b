#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "dataplane/base/fd.h"

namespace penstock::pktgen {

// The rings in the memory that a memif client shares with its server, by the memif protocol (2.0).
// The driver does not say how much of what it was given the server has taken, and unmaps its view
// when the server goes away; this is a view of our own.
class MemifRings {
 public:
  // Of the memif device of this process that is a client and has a link. None for any other device.
  static MemifRings of(std::string_view device);

  [[nodiscard]] bool none() const { return rings_.empty(); }
  // Packets that were sent and not yet taken.
  [[nodiscard]] size_t waiting() const;

 private:
  Mapping memory_;
  std::vector<const std::byte*> rings_;
};

}  // namespace penstock::pktgen

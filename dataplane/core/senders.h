#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "dataplane/core/lazy_array.h"

namespace penstock {

// The containers that packets came from: Packet::origin -> container. Bounded; entries stay. One
// thread adds them; any thread may look up an id that came to it with a packet, as handing over the
// packet makes the entry visible.
class Senders {
 public:
  // Names of containers are 64 hexadecimal digits; longer ones than this are not kept.
  static constexpr size_t kContainerMax = 255;

  // At most `count` containers.
  explicit Senders(uint32_t count);

  // The id of a container ("abc" or "container_id://abc"). 0 (not known) where it is empty or too
  // long, or the limit is reached.
  uint32_t id_of(std::string_view container);

  // "container_id:abc", or empty for 0.
  [[nodiscard]] std::string_view tag(uint32_t id) const;

 private:
  struct Entry {
    uint16_t size;
    char tag[kContainerMax + 17];
  };
  static_assert(sizeof(Entry) == 274);

  LazyArray<Entry> entries_;  // by id - 1
  std::unordered_map<std::string, uint32_t> ids_;
};

}  // namespace penstock

#pragma once

#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

#include "tools/pktgen/traffic.h"

namespace penstock::pktgen {

// Metric names, each a new one. With `name_bytes` of 0 they are words, else letters of that length.
class Names {
 public:
  explicit Names(const TrafficOptions& options);

  // The name number `i` of a type (index in kTypes).
  std::string make(size_t type, uint32_t i);

 private:
  std::string make_letters();

  const TrafficOptions& options_;
  Random random_;
  std::unordered_set<std::string> letters_;  // the names so far
};

// The tags of the context number `context`, "a:1,b:2". `number` is its number among those of its
// name, below kContextsPerNameMax: one tag tells it from the others of the name.
std::string make_tags(const TrafficOptions& options, uint32_t context, uint32_t number);

}  // namespace penstock::pktgen

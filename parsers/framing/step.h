#pragma once

#include <cstdint>
#include <span>

namespace penstock::framing {

// A byte stream comes in inputs that end anywhere. A splitter finds the packets in it: those that
// lie whole in one input are pointed at where they are, those that earlier inputs began are put
// together in a storage that the caller lends for the purpose.

enum class Found : uint8_t {
  kMore,          // the input is used up
  kPayload,       // a packet in the input
  kAssembled,     // a packet in the storage, which may be taken away now
  kNeedsStorage,  // the rest of the input must be kept: call again with storage
  kEmpty,         // a frame of no bytes
  kTooLong,       // a packet of more bytes than the limit
  kCutOff,        // the end of a packet whose beginning is not known
};

struct Step {
  Found found;
  std::span<const uint8_t> payload;  // of kPayload and kAssembled
};

}  // namespace penstock::framing

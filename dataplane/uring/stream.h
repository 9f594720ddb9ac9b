#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <variant>

#include "dataplane/api/stats.h"
#include "dataplane/core/packet.h"
#include "dataplane/origin/credentials.h"
#include "dataplane/uring/assemblies.h"
#include "dataplane/uring/buffers.h"
#include "dataplane/uring/fifo.h"
#include "dataplane/uring/outlets.h"
#include "parsers/framing/frame_splitter.h"
#include "parsers/framing/line_splitter.h"

namespace penstock::uring {

// Packets of a listener's streams, by what became of them, since the last publish.
struct StreamCounts {
  uint64_t received_bytes = 0;
  uint64_t frame_empty = 0;
  uint64_t frame_long = 0;
  uint64_t cut_off = 0;
  uint64_t truncated = 0;
  uint64_t dispatched = 0;

  void publish(SourceStats& to);
};

// One byte stream, a connection or a pipe: how far it is split, and what its packets have in
// common: origin, flow, source and flags.
struct Stream {
  std::variant<framing::FrameSplitter, framing::LineSplitter> splitter = framing::FrameSplitter(0);
  Packet packet{};
  StreamCounts* counts = nullptr;
  uint16_t listener = 0;  // the Plan's
  uint16_t slot = 0;      // the owner's name for it
  uint32_t assembly = Assemblies::kNone;
  uint32_t held = 0;     // chunks of it that wait
  bool spread = false;   // its packets may go to any shard, those of one buffer to one
  bool refused = false;  // a bad frame: the rest is thrown away

  [[nodiscard]] bool is_pipe() const { return packet.source == Source::kPipe; }
  // Whether its end would cut a packet off.
  [[nodiscard]] bool inside() const {
    return std::visit([](const auto& s) { return s.inside(); }, splitter);
  }
};

// Makes packets of what streams bring, in the order in which it came. Where a shard has no room, or
// all assemblies are taken, chunks wait, and with them the buffers they lie in: so the kernel holds
// the senders back.
class StreamInput {
 public:
  StreamInput(Buffers& buffers, Assemblies& assemblies, Outlets& outlets)
      : buffers_(buffers), assemblies_(assemblies), outlets_(outlets), held_(buffers.count()) {}

  // Takes what `sender` has sent, `bytes` of a buffer that is lent from `offset` on. A packet that
  // several have sent is the last one's.
  void take(Stream& stream, uint16_t buffer, size_t offset, size_t bytes,
            const origin::Credentials& sender);

  // Goes on with what waits, as far as there is room now. Calls `done(stream)` when the last chunk
  // of a stream that waited is through.
  template <class Done>
  void resume(Done&& done);

  // The stream is at its end: counts what that cuts off, and takes its assembly back.
  void end(Stream& stream);

  // Whether anything waits for the shards.
  [[nodiscard]] bool waiting() const { return !held_.empty(); }

 private:
  // What is left of one buffer. `last` is split off and not yet dispatched: it owns the buffer, if
  // no other packet of the buffer follows it.
  struct Chunk {
    std::optional<Packet> last;
    Stream* stream = nullptr;
    std::span<const uint8_t> rest;
    uint32_t flow = 0;  // of all its packets
    origin::Credentials sender;
    uint16_t buffer = 0;
  };

  bool split(Chunk& chunk);
  void finish(Chunk& chunk);
  // `last`: of those in `memory`, which it then owns.
  void dispatch(const Chunk& chunk, Packet& packet, uint64_t memory, bool last);

  Buffers& buffers_;
  Assemblies& assemblies_;
  Outlets& outlets_;
  Fifo<Chunk> held_;
};

template <class Done>
void StreamInput::resume(Done&& done) {
  while (!held_.empty() && split(held_.front())) {
    Stream& stream = *held_.front().stream;
    held_.pop();
    if (--stream.held == 0) done(stream);
  }
}

}  // namespace penstock::uring

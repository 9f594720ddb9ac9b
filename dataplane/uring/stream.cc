#include "dataplane/uring/stream.h"

#include <cassert>

namespace penstock::uring {

using framing::Found;
using framing::Step;

void StreamCounts::publish(SourceStats& to) {
  const uint64_t refused = frame_empty + frame_long + cut_off + truncated;
  if (refused + dispatched == 0) return;
  to.received.add(refused + dispatched);
  to.received_bytes.add(received_bytes);
  to.malformed_frame_empty.add(frame_empty);
  to.malformed_frame_long.add(frame_long);
  to.malformed_cut_off.add(cut_off);
  to.truncated.add(truncated);
  to.dispatched.add(dispatched);
  *this = {};
}

void StreamInput::take(Stream& stream, uint16_t buffer, size_t offset, size_t bytes,
                       const origin::Credentials& sender) {
  const uint32_t flow = stream.spread ? outlets_.spread_flow() : stream.packet.flow;
  Chunk chunk{{}, &stream, {buffers_.data(buffer) + offset, bytes}, flow, sender, buffer};
  if (held_.empty() && split(chunk)) return;
  ++stream.held;
  held_.push(chunk);
}

// False if it has to wait for the shards.
bool StreamInput::split(Chunk& chunk) {
  Stream& s = *chunk.stream;
  while (!s.refused) {
    if (chunk.last.has_value() && !outlets_.has_room(chunk.flow)) return false;
    uint8_t* storage = s.assembly == Assemblies::kNone ? nullptr : assemblies_.data(s.assembly);
    const Step step =
        std::visit([&](auto& splitter) { return splitter.next(chunk.rest, storage); }, s.splitter);
    Packet packet = s.packet;
    packet.flow = chunk.flow;
    packet.data = step.payload.data();
    packet.len = static_cast<uint16_t>(step.payload.size());
    switch (step.found) {
      case Found::kMore:
        finish(chunk);
        return true;
      case Found::kPayload:
        if (chunk.last.has_value()) {
          dispatch(chunk, *chunk.last, owner_of_buffer(chunk.buffer), false);
        }
        chunk.last = packet;
        break;
      case Found::kAssembled:
        assert(!chunk.last.has_value());  // it began before the chunk
        dispatch(chunk, packet, owner_of_assembly(s.assembly), true);
        s.assembly = Assemblies::kNone;
        break;
      case Found::kNeedsStorage:
        s.assembly = assemblies_.take();
        if (s.assembly == Assemblies::kNone) return false;
        break;
      case Found::kEmpty:
        ++s.counts->frame_empty;
        s.refused = true;
        break;
      case Found::kTooLong:
        s.refused = !s.is_pipe();  // a line has an end to be found, a frame has not
        ++(s.is_pipe() ? s.counts->truncated : s.counts->frame_long);
        break;
      case Found::kCutOff:
        ++s.counts->cut_off;
        break;
    }
  }
  finish(chunk);
  return true;
}

void StreamInput::finish(Chunk& chunk) {
  if (chunk.last.has_value()) {
    dispatch(chunk, *chunk.last, owner_of_buffer(chunk.buffer), true);
  } else {
    buffers_.come_home(chunk.buffer);
  }
}

void StreamInput::dispatch(const Chunk& chunk, Packet& packet, uint64_t memory, bool last) {
  const Stream& stream = *chunk.stream;
  stream.counts->received_bytes += packet.len;
  ++stream.counts->dispatched;
  packet.owner = last ? memory : 0;
  outlets_.take(packet, memory, chunk.sender, stream.listener);
}

void StreamInput::end(Stream& stream) {
  if (stream.inside() && !stream.refused) ++stream.counts->cut_off;
  if (stream.assembly != Assemblies::kNone) assemblies_.come_home(stream.assembly);
  stream.assembly = Assemblies::kNone;
}

}  // namespace penstock::uring

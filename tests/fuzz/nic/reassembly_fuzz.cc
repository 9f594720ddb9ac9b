// Fragments of a few datagrams, in any order, cut in any way, told to Reassembly with a clock that
// moves. Whatever they are: a datagram that comes out is made of bytes that were sent at those very
// offsets, each fragment is in one counter at any time, and no buffer is lost.

#include <rte_mbuf.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "dataplane/nic/eal.h"
#include "dataplane/nic/frame_gate.h"
#include "dataplane/nic/reassembly.h"
#include "tests/unit/nic/nic_fixture.h"
#include "tests/unit/parsers/packet_pieces.h"

namespace penstock {
namespace {

using namespace penstock::testing;

void require(bool condition) {
  if (!condition) std::abort();
}

// EAL, a pool, and the datagrams: a byte of the payload follows from its offset.
struct World {
  static World& get() {
    static World world;
    return world;
  }
  World() {
    plan->limits.fragments = 12;
    add_port(*plan, "fuzz", "net_null0");
    add_eal_args(*plan, "0@0");
    eal = *Eal::start(*plan);
    pool = rte_pktmbuf_pool_create("pieces", 127, 0, 0, 4096, 0);
    table = *Reassembly::create("joined", plan->limits.fragments, 8, 4096, 0);
    std::string payload;
    for (size_t i = 0; i < 3000; ++i) payload += static_cast<char>(byte_at(i + 8));
    datagrams = {
        Pkt().ip4("10.0.0.2", "10.0.0.1").udp(1, 8125).text(payload).build(),
        Pkt().ip6("fd00::2", "fd00::1").udp(1, 8125).text(payload).build(),
        Pkt().ip4("10.0.0.2", "10.0.0.1").options(Bytes(8, 1)).udp(1, 8125).text(payload).build()};
  }
  static uint8_t byte_at(size_t offset) { return static_cast<uint8_t>(offset * 7 + offset / 256); }

  std::unique_ptr<Plan> plan = test_plan(Wiring::kInline, 1);
  std::unique_ptr<Eal> eal;
  rte_mempool* pool = nullptr;
  std::unique_ptr<Reassembly> table;
  std::vector<Bytes> datagrams;
};

// A piece: which datagram, its identification and flag, offset, length, and how long after the
// last.
struct Step {
  uint8_t which, offset, length, time;
};

void check_whole(const rte_mbuf& whole) {
  const auto* frame = rte_pktmbuf_mtod(&whole, const uint8_t*);
  const bool v4 = frame[12] == 0x08;
  const size_t header = 14 + (v4 ? (frame[14] & 15U) * 4U : 40U);
  require(whole.nb_segs == 1 && whole.data_len >= header);
  require(rte_pktmbuf_tailroom(&whole) >= kPacketPadding);
  const size_t said = v4 ? frame[16] << 8 | frame[17] : (frame[18] << 8 | frame[19]) + 40;
  require(14 + said == whole.data_len);
  for (size_t i = 8; header + i < whole.data_len && i < 3008; ++i) {
    require(frame[header + i] == World::byte_at(i));
  }
}

rte_mbuf* to_mbuf(const Bytes& frame) {
  rte_mbuf* m = rte_pktmbuf_alloc(World::get().pool);
  require(m != nullptr);
  std::memcpy(rte_pktmbuf_append(m, static_cast<uint16_t>(frame.size())), frame.data(),
              frame.size());
  return m;
}

}  // namespace
}  // namespace penstock

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock;
  World& world = World::get();
  const RxQueue queue{.port_id = 0,
                      .queue = 0,
                      .pool = world.pool,
                      .fragments = world.table.get(),
                      .port = world.plan->ports.data(),
                      .link_ups = nullptr,
                      .us = {},
                      .buffer_size = 4000,
                      .in_nic_max = 0,
                      .stats = nullptr};
  const FrameGate gate(queue);
  Tally tally;
  uint64_t now_ms = 1'000'000;
  int32_t sent = 0;
  for (; size >= sizeof(Step); data += sizeof(Step), size -= sizeof(Step)) {
    Step step;
    std::memcpy(&step, data, sizeof step);
    now_ms += uint64_t{step.time} * 16;
    const Bytes& datagram = world.datagrams[step.which % world.datagrams.size()];
    const size_t offset = size_t{step.offset} * 16;
    const size_t length = step.length * size_t{step.which & 0x40 ? 1U : 8U};
    const bool more = (step.which & 0x80) == 0;
    rte_mbuf* m = to_mbuf(testing::piece(datagram, offset, length, more, step.which >> 4 & 3));
    ++sent;
    Packet packet;
    FrameGate::Fate fate = gate.inspect(*m, 0, packet, tally);
    if (fate == FrameGate::Fate::kFragment) {
      m = world.table->add(*m, now_ms, tally);
      if (m == nullptr) continue;
      check_whole(*m);
      fate = gate.judge(*m, 0, packet, tally);
      require(fate != FrameGate::Fate::kFragment);
    }
    if (fate == FrameGate::Fate::kDispatch) ++tally.dispatched;
    rte_pktmbuf_free(m);
  }
  const auto accounted = [&] {
    return tally.not_ours + tally.malformed_ethernet + tally.malformed_ipv4 + tally.malformed_ipv6 +
           tally.malformed_udp + tally.malformed_checksum + tally.malformed_fragment +
           tally.fragments_joined + tally.fragments_full + tally.fragments_waiting +
           tally.truncated + tally.dispatched;
  };
  require(tally.received == sent && accounted() == sent);
  world.table->give_up(tally);
  require(tally.fragments_waiting == 0 && accounted() == sent);
  require(rte_mempool_in_use_count(world.pool) == 0);
  return 0;
}

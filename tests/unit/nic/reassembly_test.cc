#include "dataplane/nic/reassembly.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>

#include "dataplane/core/clock.h"
#include "tests/unit/nic/rx_loop_fixture.h"
#include "tests/unit/parsers/packet_pieces.h"

namespace penstock {
namespace {

using namespace penstock::testing;

// A datagram of `lines` lines "a:1|c".
std::string text(int lines) {
  std::string out;
  for (int i = 0; i < lines; ++i) out += i == 0 ? "a:1|c" : "\na:1|c";
  return out;
}
Bytes v4(int lines, uint16_t port = 8125) {
  return Pkt().ip4("10.0.0.2", "10.0.0.1").udp(40000, port).text(text(lines)).build();
}
Bytes v6(int lines, uint16_t port = 8125) {
  return Pkt().ip6("fd00::2", "fd00::1").udp(40000, port).text(text(lines)).build();
}
Bytes tagged(Bytes frame) {
  const Bytes tag = {0x81, 0x00, 0x00, 0x05};
  frame.insert(frame.begin() + 12, tag.begin(), tag.end());
  return frame;
}

// Fragments on the wire, through the whole receive loop.
class Fragments : public RxLoopTest {
 protected:
  void start_inline(uint32_t buffer_size = 8192) {
    start(Wiring::kInline, 1, [&](Plan& p) { p.dogstatsd.buffer_size = buffer_size; });
    loop_ = std::make_unique<RxLoop<InlineSink>>(inline_loop());
  }
  void receive(const std::vector<Bytes>& frames) {
    for (const Bytes& frame : frames) wire_->send(frame);
    while (loop_->pass() != 0) {
    }
    EXPECT_EQ(unaccounted(*stats_), 0);
  }
  // As the loop does at a stop.
  void give_up() {
    Tally tally;
    port_->fragments(0)->give_up(tally);
    tally.add_to(*stats_);
    EXPECT_EQ(stats_->fragments_waiting.get(), 0u);
    EXPECT_EQ(unaccounted(*stats_), 0);
  }
  uint64_t lines() const { return shards_->stats[0]->lines_ok.get(); }

  std::unique_ptr<RxLoop<InlineSink>> loop_;
};

TEST_F(Fragments, MakeTheDatagramInAnyOrder) {
  start_inline();
  std::mt19937 random(1);
  uint64_t datagrams = 0;
  uint64_t frames = 0;
  for (const Bytes& datagram : {v4(200), v6(200), v4(2), v6(2)}) {
    for (int round = 0; round < 50; ++round) {
      const size_t payload = datagram.size() - 34;
      std::vector<Bytes> parts =
          pieces(datagram, payload > 500 ? 200 : 8, static_cast<uint16_t>(round));
      std::shuffle(parts.begin(), parts.end(), random);
      frames += parts.size();
      receive(parts);
      ++datagrams;
      ASSERT_EQ(stats_->dispatched.get(), datagrams);
      ASSERT_EQ(stats_->fragments_waiting.get(), 0u);
    }
  }
  EXPECT_EQ(stats_->received.get(), frames);
  EXPECT_EQ(stats_->fragments_joined.get(), frames - datagrams);
  EXPECT_EQ(lines(), 100u * 202);
}

TEST_F(Fragments, OfManyDatagramsAtOnce) {
  start_inline();
  std::vector<Bytes> parts;
  for (uint16_t id = 0; id < 8; ++id) {
    for (const Bytes& part : pieces(id % 2 == 0 ? v4(100) : v6(100), 120, id))
      parts.push_back(part);
  }
  std::shuffle(parts.begin(), parts.end(), std::mt19937(2));
  receive(parts);
  EXPECT_EQ(stats_->dispatched.get(), 8u);
  EXPECT_EQ(lines(), 800u);
}

struct Case {
  const char* what;
  std::vector<Bytes> frames;
  Counter SourceStats::*counter;  // where they end, after a stop
  uint64_t count;                 // how many of them; a datagram is one
};

std::vector<Case> cases() {
  using S = SourceStats;
  const Bytes d4 = v4(100);  // UDP of 607 bytes
  const Bytes d6 = v6(100);
  const auto with_options = Pkt()
                                .ip4("10.0.0.2", "10.0.0.1")
                                .options({1, 1, 1, 0})
                                .udp(40000, 8125)
                                .text(text(100))
                                .build();
  const auto drop = [](std::vector<Bytes> frames, size_t at) {
    frames.erase(frames.begin() + static_cast<std::ptrdiff_t>(at));
    return frames;
  };
  const auto padded = [](Bytes frame) {
    frame.resize(frame.size() + 20, 0xee);
    return frame;
  };
  std::vector<Bytes> bad_sum = pieces(d4, 304);
  bad_sum[1].back() ^= 1;
  std::vector<Bytes> bad_header = pieces(d4, 304);
  bad_header[1][14 + 8] ^= 1;
  std::vector<Bytes> vlan;
  for (const Bytes& part : pieces(d4, 304)) vlan.push_back(tagged(part));
  std::vector<Bytes> tcp = pieces(d4, 304);
  for (Bytes& part : tcp)
    part = Pkt().ip4("10.0.0.2", "10.0.0.1").protocol(6).fragment(1, true).text("12345678").build();
  return {
      {"two pieces", pieces(d4, 304), &S::dispatched, 1},
      {"two pieces, IPv6", pieces(d6, 304), &S::dispatched, 1},
      {"as many pieces as can be", pieces(d4, 80), &S::dispatched, 1},
      {"tagged", vlan, &S::dispatched, 1},
      {"with options", pieces(with_options, 304), &S::dispatched, 1},
      {"last piece padded by Ethernet",
       {pieces(d4, 600)[0], padded(pieces(d4, 600)[1])},
       &S::dispatched,
       1},
      {"last piece padded, IPv6",
       {pieces(d6, 600)[0], padded(pieces(d6, 600)[1])},
       &S::dispatched,
       1},
      {"one piece too many", pieces(d4, 72), &S::malformed_fragment, 9},
      {"first missing", drop(pieces(d4, 200), 0), &S::malformed_fragment, 3},
      {"middle missing", drop(pieces(d4, 200), 1), &S::malformed_fragment, 3},
      {"last missing", drop(pieces(d4, 200), 3), &S::malformed_fragment, 3},
      {"first twice",
       {piece(d4, 0, 304, true), piece(d4, 0, 304, true)},
       &S::malformed_fragment,
       2},
      {"last twice",
       {piece(d4, 304, 303, false), piece(d4, 304, 303, false)},
       &S::malformed_fragment,
       2},
      {"overlap", {piece(d4, 0, 304, true), piece(d4, 296, 311, false)}, &S::malformed_fragment, 2},
      {"overlap and hole of one length",
       {piece(d4, 0, 200, true), piece(d4, 96, 200, true), piece(d4, 400, 207, false)},
       &S::malformed_fragment,
       3},
      {"piece inside another",
       {piece(d4, 0, 304, true), piece(d4, 8, 80, true), piece(d4, 304, 303, false)},
       &S::malformed_fragment,
       3},
      {"beyond the last",
       {piece(d4, 304, 8, false), piece(d4, 400, 200, true)},
       &S::malformed_fragment,
       2},
      {"empty", {piece(d4, 304, 0, false)}, &S::malformed_fragment, 1},
      {"empty, IPv6", {piece(d6, 304, 0, false)}, &S::malformed_fragment, 1},
      {"no multiple of 8", {piece(d4, 0, 303, true)}, &S::malformed_fragment, 1},
      {"no multiple of 8, IPv6", {piece(d6, 0, 303, true)}, &S::malformed_fragment, 1},
      {"beyond 64 KiB", {piece(d4, 65528, 8, false)}, &S::malformed_fragment, 1},
      {"beyond 64 KiB by its header", {piece(d4, 65512, 8, false)}, &S::malformed_fragment, 1},
      {"just within 64 KiB", {piece(d4, 65504, 8, false)}, &S::malformed_fragment, 1},
      {"beyond 64 KiB, IPv6", {piece(d6, 65528, 8, false)}, &S::malformed_fragment, 1},
      {"header checksum", bad_header, &S::malformed_checksum, 1},
      {"UDP checksum of the whole", bad_sum, &S::malformed_checksum, 1},
      {"TCP", tcp, &S::not_ours, tcp.size()},
      {"another port", pieces(v4(100, 53), 304), &S::not_ours, 1},
      {"another address",
       pieces(Pkt().ip4("10.0.0.2", "10.0.0.9").udp(1, 8125).text(text(100)).build(), 304),
       &S::not_ours, 2},
      {"UDP length beyond the whole",
       pieces(
           Pkt().ip4("10.0.0.2", "10.0.0.1").udp(1, 8125).text(text(100)).udp_length(900).build(),
           304),
       &S::malformed_udp, 1},
      {"UDP shorter than the whole",
       pieces(
           Pkt().ip4("10.0.0.2", "10.0.0.1").udp(1, 8125).text(text(100)).udp_length(100).build(),
           304),
       &S::dispatched, 1},
      {"IPv6 without UDP checksum",
       pieces(Pkt().ip6("fd00::2", "fd00::1").udp(1, 8125).text(text(100)).no_udp_sum().build(),
              304),
       &S::malformed_checksum, 1},
      {"IPv6, behind another extension",
       {Pkt()
            .ip6("fd00::2", "fd00::1")
            .udp(1, 8125)
            .text("12345678")
            .ext(60)
            .ext(44, {0, 1, 0, 0, 0, 1})
            .build()},
       &S::malformed_fragment,
       1},
      {"IPv6, before another extension",
       {Pkt()
            .ip6("fd00::2", "fd00::1")
            .udp(1, 8125)
            .text("12345678")
            .ext(44, {0, 1, 0, 0, 0, 1})
            .ext(60)
            .build()},
       &S::not_ours,
       1},
      {"longer than the buffer", pieces(v4(1400), 1400), &S::truncated, 1},
      {"longer than the buffer, IPv6", pieces(v6(1400), 1400), &S::truncated, 1},
      {"one line longer than the buffer", pieces(v4(1366), 1400), &S::truncated, 1},
      {"of the buffer's size", pieces(v4(1365), 1400), &S::dispatched, 1},
  };
}

TEST_F(Fragments, EveryFrameEndsInOneCounter) {
  start_inline();
  for (const Case& c : cases()) {
    const uint64_t before = (stats_->*c.counter).get();
    const uint64_t received = stats_->received.get();
    receive(c.frames);
    give_up();
    EXPECT_EQ((stats_->*c.counter).get() - before, c.count) << c.what;
    EXPECT_EQ(stats_->received.get() - received, c.frames.size()) << c.what;
  }
  EXPECT_EQ(shards_->packets(), stats_->dispatched.get());
}

// The payload that a shard sees has its padding: the last thing before it is the next buffer.
TEST_F(Fragments, AreHandedOverWhole) {
  start(Wiring::kPipeline, 1, [](Plan& p) { p.dogstatsd.buffer_size = 8192; });
  auto loop = pipeline_loop();
  std::string all;
  for (int i = 0; i < 8192; ++i) all += static_cast<char>('a' + i % 23);
  for (const Bytes& part :
       pieces(Pkt().ip4("10.0.0.2", "10.0.0.1").udp(1, 8125).text(all).build(), 1480)) {
    wire_->send(part);
  }
  while (loop.pass() != 0) {
  }
  const auto burst = rings_[0]->peek(2);
  ASSERT_EQ(burst.size(), 1u);
  EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(burst[0].data), burst[0].len), all);
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  EXPECT_GE(rte_pktmbuf_tailroom(reinterpret_cast<rte_mbuf*>(burst[0].owner)), kPacketPadding);
  EXPECT_EQ(wire_->buffers_out(), 0u);  // the pieces went back at once
  rings_[0]->finish(1);
  loop.pass();
}

TEST_F(Fragments, OfABusyShardAreRefusedWithoutABuffer) {
  start(Wiring::kPipeline, 1, [](Plan& p) { p.limits.ring_slots = 1024; });
  auto loop = pipeline_loop();
  const uint64_t buffers = datagram_buffers(*plan_);
  for (uint16_t id = 0; id < buffers + 5; ++id) {
    for (const Bytes& part : pieces(v4(3), 16, id)) wire_->send(part);
    while (loop.pass() != 0) {
    }
  }
  EXPECT_EQ(stats_->dispatched.get(), buffers);
  EXPECT_EQ(stats_->fragments_full.get(), 5u);
  rings_[0]->finish(rings_[0]->peek(1024).size());
  loop.pass();
}

// The table by itself, with a clock of the test's.
class ReassemblyTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kLimit = 16;
  void SetUp() override {
    pool_ = rte_pktmbuf_pool_create("pieces", 255, 0, 0, 2176, 0);
    auto made = Reassembly::create("joined", kLimit, 4, 2048, 0);
    ASSERT_TRUE(made.ok()) << made.status().ToString();
    table_ = *std::move(made);
  }
  void TearDown() override {
    table_->give_up(tally_);
    EXPECT_EQ(tally_.fragments_waiting, 0);
    EXPECT_EQ(rte_mempool_in_use_count(pool_), 0u);
    table_.reset();
    rte_mempool_free(pool_);
  }
  // Returns true if it completed a datagram.
  bool add(const Bytes& frame, uint64_t now_ms) {
    rte_mbuf* m = rte_pktmbuf_alloc(pool_);
    std::memcpy(rte_pktmbuf_append(m, static_cast<uint16_t>(frame.size())), frame.data(),
                frame.size());
    m->l2_len = 14;
    m->l3_len = frame[12] == 0x08 ? 20 : 48;
    rte_mbuf* whole = table_->add(*m, now_ms, tally_);
    EXPECT_EQ(static_cast<int32_t>(table_->waiting()), tally_.fragments_waiting);
    rte_pktmbuf_free(whole);
    return whole != nullptr;
  }
  bool first(uint16_t id, uint64_t now_ms) { return add(piece(v4(100), 0, 304, true, id), now_ms); }
  bool last(uint16_t id, uint64_t now_ms) {
    return add(piece(v4(100), 304, 303, false, id), now_ms);
  }

  rte_mempool* pool_ = nullptr;
  std::unique_ptr<Reassembly> table_;
  Tally tally_;
};

TEST_F(ReassemblyTest, WaitsForALifetime) {
  first(1, 5000);
  table_->expire(5000 + Reassembly::kLifetimeMs, tally_);
  EXPECT_TRUE(last(1, 5000 + Reassembly::kLifetimeMs));
  first(2, 7000);
  table_->expire(7000 + Reassembly::kLifetimeMs + 1, tally_);
  EXPECT_EQ(tally_.malformed_fragment, 1);
  EXPECT_EQ(tally_.fragments_waiting, 0);
  EXPECT_FALSE(last(2, 9000));
}

TEST_F(ReassemblyTest, ALatePieceDoesNotJoinWhatIsTooOld) {
  first(1, 5000);
  EXPECT_FALSE(last(1, 7000));  // nobody called expire
  EXPECT_EQ(tally_.malformed_fragment, 1);
  EXPECT_TRUE(first(1, 7001));  // and the key is free for a new one
}

TEST_F(ReassemblyTest, RefusesTheNewestWhenFull) {
  for (uint16_t id = 0; id < kLimit; ++id) first(id, 5000);
  EXPECT_FALSE(first(99, 5000 + Reassembly::kLifetimeFullMs));
  EXPECT_EQ(tally_.fragments_full, 1);
  EXPECT_EQ(table_->waiting(), kLimit);
  // What is older makes room.
  EXPECT_FALSE(first(99, 5000 + Reassembly::kLifetimeFullMs + 1));
  EXPECT_EQ(tally_.fragments_full, 1 + static_cast<int>(kLimit));
  EXPECT_TRUE(last(99, 5100));
}

// More fragments than the library frees at a time.
TEST_F(ReassemblyTest, GivesUpAllAtOnce) {
  auto made = Reassembly::create("many", 1000, 4, 2048, 0);
  ASSERT_TRUE(made.ok());
  table_ = *std::move(made);
  rte_mempool* small = pool_;
  pool_ = rte_pktmbuf_pool_create("more", 1023, 0, 0, 2176, 0);
  for (uint16_t id = 0; id < 1000; ++id) first(id, 5000);
  EXPECT_EQ(table_->waiting(), 1000u);
  table_->expire(7000, tally_);
  EXPECT_EQ(tally_.malformed_fragment, 1000);
  rte_mempool_free(small);
}

}  // namespace
}  // namespace penstock

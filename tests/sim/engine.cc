#include "engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "dataplane/api/segment.h"

namespace penstock {

Engine::Engine(std::unique_ptr<Plan> plan, uint16_t shards, uint32_t ring_slots,
               HistogramConfig histograms)
    : plan_(std::move(plan)), histograms_(std::move(histograms)), in_rings_(shards) {
  for (uint16_t i = 0; i < shards; ++i) {
    stats_.push_back(std::make_unique<ShardStats>());
    shards_.push_back(std::make_unique<Shard>(*plan_, i, *stats_.back()));
    pointers_.push_back(shards_.back().get());
    // Counters start just before they wrap.
    if (ring_slots != 0)
      rings_.push_back(std::make_unique<PacketRing>(ring_slots, UINT32_MAX - 99));
  }
  sealer_ = std::make_unique<Sealer>(*plan_, pointers_, keeper_, 42);
}

void Engine::reclaim(size_t shard) {
  rings_[shard]->reclaim([&](uint64_t owner) {
    ASSERT_FALSE(in_rings_[shard].empty());
    ASSERT_EQ(in_rings_[shard].front().owner, owner);
    in_rings_[shard].pop_front();
  });
}

bool Engine::push(size_t shard, std::string_view bytes, Packet header) {
  reclaim(shard);
  Buffer buffer{std::make_unique<TestPacket>(bytes), ++owners_};
  header.data = buffer.packet->packet().data;
  header.len = buffer.packet->packet().len;
  header.owner = buffer.owner;
  if (rings_[shard]->push({&header, 1}) == 0) return false;
  in_rings_[shard].push_back(std::move(buffer));
  ++packets_;
  return true;
}

void Engine::process(size_t shard, std::span<const std::string> packets, std::span<Packet> headers,
                     Now now) {
  std::vector<TestPacket> bytes;
  bytes.reserve(packets.size());
  for (size_t i = 0; i < packets.size(); ++i) {
    bytes.emplace_back(packets[i]);
    headers[i].data = bytes.back().packet().data;
    headers[i].len = bytes.back().packet().len;
  }
  shards_[shard]->process(headers, now);
  packets_ += packets.size();
}

size_t Engine::poll(size_t shard, size_t burst, Now now) {
  size_t handled = 0;
  if (!rings_.empty()) {
    const std::span<const Packet> packets = rings_[shard]->peek(burst);
    handled = packets.size();
    if (handled != 0) {
      shards_[shard]->process(packets, now);
      rings_[shard]->finish(handled);
    }
  }
  shards_[shard]->poll_epoch(now);
  return handled;
}

std::vector<std::string> Engine::lines(std::span<const std::byte> segment) {
  std::vector<std::string> lines;
  if (segment.empty()) return lines;
  const auto reader = segment::Reader::open(segment);
  EXPECT_TRUE(reader.ok()) << reader.status().ToString();
  if (!reader.ok()) return lines;
  rows_ += reader->rows();
  for_each_point(*reader, histograms_, canonical_);
  std::string text;
  canonical_.take(text);
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

std::vector<std::string> Engine::late_lines(int64_t before) {
  std::vector<std::string> all;
  for (const auto& segment : sealer_->seal_late(before)) {
    for (std::string& line : lines(segment)) all.push_back(std::move(line));
  }
  return all;
}

void Engine::check_ledger(bool drained) const {
  expect_ledger(stats_, keeper_, drained);
  if (!drained) return;
  uint64_t packets = 0;
  for (const auto& stats : stats_) packets += stats->packets.get();
  EXPECT_EQ(packets, packets_);
  EXPECT_EQ(keeper_.points_sealed.get(), rows_);
}

}  // namespace penstock

#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/micro/corpus.h"
#include "dataplane/api/plan.h"
#include "dataplane/core/packet.h"

namespace penstock {

// A corpus as the packets of a shard.
struct Traffic {
  explicit Traffic(const Corpus::Shape& shape) : Traffic(Corpus(shape).packets) {}
  // Each with simd::kPadding bytes more than the packet.
  explicit Traffic(std::vector<std::string> padded) : texts(std::move(padded)) {
    for (const std::string& text : texts) {
      Packet p{};
      p.data = reinterpret_cast<const uint8_t*>(text.data());
      p.len = static_cast<uint16_t>(text.size() - simd::kPadding);
      packets.push_back(p);
    }
  }
  const std::vector<std::string> texts;
  std::vector<Packet> packets;
};

// Limits that four million contexts do not reach.
inline std::unique_ptr<Plan> bench_plan() {
  auto plan = make_plan();
  plan->interval_s = 10;
  plan->limits = {.contexts = 4'200'000,
                  .context_bytes = 2ull << 30,
                  .memo_bytes = 1ull << 30,
                  .sample_bytes = 1ull << 30,
                  .set_members = 65536,
                  .carry_bytes = 4ull << 20,
                  .ring_slots = 4096,
                  .fragments = 1024,
                  .origins = 64,
                  .segments_held = 60,
                  .segment_bytes_held = 1ull << 28};
  plan->dogstatsd.timestamps = 1;
  plan->dogstatsd.counter_expiry_s = 300;
  return plan;
}

}  // namespace penstock

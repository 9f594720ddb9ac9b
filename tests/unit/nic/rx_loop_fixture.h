#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/nic/port.h"
#include "dataplane/nic/rx_loop.h"
#include "tests/unit/nic/nic_fixture.h"
#include "tests/unit/nic/wire.h"

namespace penstock::testing {

inline constexpr std::string_view kClient = "02:00:00:00:00:0a";

inline Pkt metric(uint16_t src_port = 40000) {
  return Pkt().ip4("10.0.0.2", "10.0.0.1").udp(src_port, 8125).text("a:1|c");
}

// A net_ring port with its receive queue, driven by hand on the test's thread.
class RxLoopTest : public ::testing::Test {
 protected:
  void start(Wiring wiring, uint16_t shards, const std::function<void(Plan&)>& change = {}) {
    plan_ = test_plan(wiring, shards);
    add_port(*plan_, "wire0", "net_ring_t");
    if (change) change(*plan_);
    wire_ = std::make_unique<Wire>("t", plan_->ports[0].queues);
    auto port = Port::start(*plan_, 0);
    ASSERT_TRUE(port.ok()) << port.status().ToString();
    port_ = *std::move(port);
    builder_ = std::make_unique<StatsBuilder>(memory_.bytes());
    stats_ = &builder_->add_source(StatsBlock::kRxQueue, "wire0/0");
    shards_ = std::make_unique<Shards>(*plan_, *builder_);
  }
  RxQueue queue(uint16_t number = 0) {
    return {.port_id = port_->id(),
            .queue = number,
            .pool = port_->pool(number),
            .fragments = port_->fragments(number),
            .port = plan_->ports.data(),
            .link_ups = number == 0 ? &port_->link_ups() : nullptr,
            .us = port_->responder(),
            .buffer_size = plan_->dogstatsd.buffer_size,
            .in_nic_max = 4096,
            .stats = stats_,
            .forward = forward_,
            .forward_joined_max = 2};
  }
  RxLoop<InlineSink> inline_loop() {
    return {queue(), IdleMode::kBusy, InlineSink(*shards_->pointers[0])};
  }
  // Nobody consumes the rings; look at them with `peek`.
  RxLoop<PipelineSink> pipeline_loop() {
    std::vector<PipelineSink::Target> targets;
    for (ShardWorker* w : shards_->pointers) {
      rings_.push_back(&w->add_ring(plan_->limits.ring_slots));
      targets.push_back({w, rings_.back()});
    }
    return {queue(), IdleMode::kBusy, PipelineSink(targets, plan_->ports[0].spread != 0)};
  }
  std::string our_mac() const {
    const auto mac = port_->responder().mac;
    char text[18];
    std::snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
                  mac[3], mac[4], mac[5]);
    return text;
  }
  void TearDown() override {
    if (!port_) return;
    EXPECT_EQ(unaccounted(*stats_), 0);
    EXPECT_EQ(wire_->waiting(), 0u);
    EXPECT_EQ(wire_->buffers_out(), 0u);
    port_.reset();
  }

  StatsMemory memory_;
  std::unique_ptr<Plan> plan_;
  std::unique_ptr<Wire> wire_;
  std::unique_ptr<Port> port_;
  std::unique_ptr<StatsBuilder> builder_;
  SourceStats* stats_ = nullptr;
  std::unique_ptr<Shards> shards_;
  std::vector<PacketRing*> rings_;
  Outlet forward_{};
};

}  // namespace penstock::testing

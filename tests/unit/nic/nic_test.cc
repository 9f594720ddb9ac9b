#include "dataplane/nic/nic.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include "tests/unit/nic/nic_fixture.h"
#include "tests/unit/parsers/packet_builder.h"

namespace penstock {
namespace {

using namespace penstock::testing;

// A pcap file of `count` frames, gone with the object.
class PcapFile {
 public:
  PcapFile(const Bytes& frame, uint32_t count)
      : path_(cat(::testing::TempDir(), "penstock-nic-", ::getpid(), ".pcap")) {
    FILE* file = std::fopen(path_.c_str(), "wb");
    const uint32_t header[] = {0xa1b2c3d4, 4u << 16 | 2u, 0, 0, 65535, 1};
    std::fwrite(header, sizeof header, 1, file);
    const auto size = static_cast<uint32_t>(frame.size());
    const uint32_t record[] = {0, 0, size, size};
    for (uint32_t i = 0; i < count; ++i) {
      std::fwrite(record, sizeof record, 1, file);
      std::fwrite(frame.data(), frame.size(), 1, file);
    }
    std::fclose(file);
  }
  ~PcapFile() { ::unlink(path_.c_str()); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// EAL starts once per process, so the whole life is one test: two ports of which one fails, a
// pipeline of two shards, and a stop that comes before the packets are taken.
TEST(Nic, WholeLifeInAPipeline) {
  constexpr uint32_t kPackets = 1000;
  const PcapFile pcap(Pkt().ip4("10.0.0.2", "10.0.0.1").udp(40000, 8125).text("a:1|c").build(),
                      kPackets);
  auto plan = test_plan(Wiring::kPipeline, 2);
  plan->limits.ring_slots = 2048;
  add_port(*plan, "wire0", "net_pcap0,rx_pcap=" + pcap.path());
  add_port(*plan, "bad0", "net_pcap1,rx_pcap=/nonexistent.pcap");
  add_eal_args(*plan, "0@0,1@0,2@0");
  finish_plan(*plan);

  StatsMemory memory;
  StatsBuilder builder(memory.bytes());
  Shards shards(*plan, builder);
  auto started = Nic::start(*plan, builder, shards.pointers);
  ASSERT_TRUE(started.ok()) << started.status().ToString();
  const std::unique_ptr<Nic> nic = *std::move(started);
  builder.publish();

  EXPECT_EQ(nic->ports_up(), 1u);
  const std::vector<NicPortState> ports = nic->ports();
  ASSERT_EQ(ports.size(), 2u);
  EXPECT_TRUE(ports[0].up);
  EXPECT_NE(ports[0].text.find("net_pcap"), std::string::npos) << ports[0].text;
  EXPECT_FALSE(ports[1].up);
  EXPECT_NE(ports[1].text.find("port bad0"), std::string::npos) << ports[1].text;

  std::atomic<bool> stop_shards{false};
  std::vector<std::thread> threads;
  threads.reserve(shards.workers.size());
  for (auto& worker : shards.workers) {
    threads.emplace_back([&] { worker->run(stop_shards, IdleMode::kAdaptive); });
  }
  nic->launch(stop_shards);
  nic->stop_receiving();
  EXPECT_EQ(shards.packets(), kPackets);
  stop_shards = true;
  for (auto& worker : shards.workers) worker->sleeper().wake();
  for (std::thread& thread : threads) thread.join();
  nic->join();
  nic->read_losses();
}

}  // namespace
}  // namespace penstock

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "tools/pktgen/output.h"

namespace penstock::pktgen {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

uint32_t le32(const std::string& s, size_t at) {
  uint32_t v;
  std::memcpy(&v, s.data() + at, 4);
  return v;
}
uint32_t be16(const std::string& s, size_t at) {
  return static_cast<uint8_t>(s[at]) << 8 | static_cast<uint8_t>(s[at + 1]);
}

// Sums to 0xffff when the checksum inside is right (RFC 1071).
uint32_t ones_sum(const std::string& s, size_t at, size_t size, uint32_t sum) {
  std::string bytes = s.substr(at, size);
  if (size % 2 == 1) bytes += '\0';
  for (size_t i = 0; i < bytes.size(); i += 2) sum += be16(bytes, i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

class Pcap : public testing::Test {
 protected:
  void TearDown() override { ::unlink(path_.c_str()); }

  std::string write(std::vector<std::string_view> packets, uint32_t flows) {
    auto output = open_pcap(path_, {.to = "10.1.2.3:8126", .flows = flows});
    EXPECT_TRUE(output.ok()) << output.status();
    EXPECT_EQ((*output)->send(packets, 0)->accepted, packets.size());
    EXPECT_TRUE((*output)->finish().ok());
    return read_file(path_);
  }

  std::string path_ = testing::TempDir() + "pktgen_" + std::to_string(::getpid()) + ".pcap";
};

TEST_F(Pcap, WritesFramesWithRightChecksums) {
  const std::string file = write({"a:1|c", "bb:22|g", "odd"}, 2);
  EXPECT_EQ(le32(file, 0), 0xa1b2c3d4u);
  EXPECT_EQ(le32(file, 20), 1u);  // Ethernet
  size_t at = 24;
  for (const std::string payload : {"a:1|c", "bb:22|g", "odd"}) {
    ASSERT_EQ(le32(file, at + 8), 42 + payload.size());
    const size_t ip = at + 16 + 14;
    EXPECT_EQ(be16(file, ip - 2), 0x0800u);
    EXPECT_EQ(ones_sum(file, ip, 20, 0), 0xffffu);
    EXPECT_EQ(file.substr(ip + 16, 4), std::string("\x0a\x01\x02\x03"));
    const size_t udp = ip + 20;
    EXPECT_EQ(be16(file, udp + 2), 8126u);
    EXPECT_EQ(be16(file, udp + 4), 8 + payload.size());
    const auto udp_size = static_cast<uint32_t>(8 + payload.size());
    EXPECT_EQ(ones_sum(file, udp, udp_size, ones_sum(file, ip + 12, 8, 17 + udp_size)), 0xffffu);
    EXPECT_EQ(file.substr(udp + 8, payload.size()), payload);
    at = udp + udp_size;
  }
  EXPECT_EQ(at, file.size());
}

TEST_F(Pcap, SpreadsSourcePortsOverFlows) {
  const std::string file = write({"a", "a", "a"}, 2);
  const size_t frame = 16 + 42 + 1;
  const size_t port = 24 + 16 + 34;
  EXPECT_EQ(be16(file, port), 20000u);
  EXPECT_EQ(be16(file, port + frame), 20001u);
  EXPECT_EQ(be16(file, port + 2 * frame), 20000u);
}

TEST_F(Pcap, RefusesABadTarget) {
  for (const std::string_view target : {"", "10.0.0.1", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:99999",
                                        "10.0.0.1:1x", "::1:8125", "host:8125"})
    EXPECT_FALSE(open_pcap(path_, {.to = std::string(target)}).ok()) << target;
  EXPECT_FALSE(open_pcap("/nonexistent/x.pcap", {}).ok());
}

}  // namespace
}  // namespace penstock::pktgen

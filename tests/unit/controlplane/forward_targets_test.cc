#include "controlplane/forward_targets.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>

#include "dataplane/base/strings.h"

namespace penstock {
namespace {

using testing::HasSubstr;

// A UDP socket of our own on a free port.
Listener listener(const std::string& host) {
  const ListenerSpec spec{"udp", ListenAddress{host, 0}.text(), ListenerKind::kUdp, false};
  return std::move(open_listeners({&spec, 1}, 0).front());
}

uint16_t port_of(const Listener& l) {
  return static_cast<uint16_t>(std::stoi(l.spec.address.substr(l.spec.address.rfind(':') + 1)));
}

ForwardTarget open_one(const Config& config, std::span<const Listener> listeners = {},
                       std::span<const ForwardTarget> before = {}) {
  std::vector<ForwardTarget> all = open_forward_targets(config, listeners, before);
  EXPECT_EQ(all.size(), 1u);
  return std::move(all.front());
}

Config to(const std::string& host, uint16_t port) {
  Config c;
  c.forward.targets = {{host, port}};
  return c;
}

TEST(ForwardTargets, ANameBecomesAConnectedSocket) {
  const Listener reader = listener("127.0.0.1");
  for (const char* host : {"localhost", "127.0.0.1", "::ffff:127.0.0.1"}) {
    const ForwardTarget t = open_one(to(host, port_of(reader)));
    ASSERT_EQ(t.error, "") << host;
    EXPECT_EQ(t.name, (ListenAddress{host, port_of(reader)}.text()));
    EXPECT_EQ(t.address, reader.spec.address) << host;
    ASSERT_EQ(::send(t.socket.get(), "a:1|c", 5, 0), 5);
    std::array<char, 16> got{};
    EXPECT_EQ(::recv(reader.socket.get(), got.data(), got.size(), 0), 5);
  }
}

TEST(ForwardTargets, WhatFailsIsOffAndTheOthersAreNot) {
  Config c;
  c.forward.targets = {{"nosuch.invalid", 1}, {"127.0.0.1", 9}, {"255.255.255.255", 9}};
  const std::vector<ForwardTarget> all = open_forward_targets(c, {}, {});
  ASSERT_EQ(all.size(), 3u);
  EXPECT_THAT(all[0].error, HasSubstr("does not resolve"));
  EXPECT_FALSE(all[0].socket.valid());
  EXPECT_EQ(all[1].error, "");
  EXPECT_TRUE(all[1].socket.valid());
  EXPECT_THAT(all[2].error, HasSubstr("no way to 255.255.255.255:9"));
}

TEST(ForwardTargets, ANameThatNoLongerResolvesKeepsItsAddress) {
  const Listener reader = listener("127.0.0.1");
  std::vector<ForwardTarget> before;
  before.push_back(open_one(to("127.0.0.1", port_of(reader))));
  before[0].name = "nosuch.invalid:1";
  const ForwardTarget t = open_one(to("nosuch.invalid", 1), {}, before);
  EXPECT_EQ(t.error, "");
  EXPECT_EQ(t.address, reader.spec.address);
}

struct LoopCase {
  const char* listens;
  const char* target;
  bool loop;
};

TEST(ForwardTargets, OneOfOurListenersIsRefused) {
  const LoopCase cases[] = {
      {"127.0.0.1", "127.0.0.1", true},
      {"127.0.0.1", "localhost", true},
      {"127.0.0.1", "0.0.0.0", true},  // the loopback's, to who connects
      {"127.0.0.1", "127.0.0.2", false},
      {"127.0.0.1", "::ffff:127.0.0.1", true},
      {"0.0.0.0", "127.0.0.1", true},
      {"0.0.0.0", "127.9.9.9", true},
      {"::", "127.0.0.1", true},
      {"::", "::1", true},
      {"::1", "::1", true},
      {"::1", "127.0.0.1", false},
  };
  for (const LoopCase& c : cases) {
    std::vector<Listener> listeners;
    listeners.push_back(listener(c.listens));
    ASSERT_TRUE(listeners[0].socket.valid()) << listeners[0].error;
    const uint16_t port = port_of(listeners[0]);
    const ForwardTarget same = open_one(to(c.target, port), listeners);
    EXPECT_EQ(same.socket.valid(), !c.loop) << c.listens << " " << c.target;
    if (c.loop) {
      EXPECT_THAT(same.error, HasSubstr("is our own listener udp: every packet would come back"));
    }
    const auto other = static_cast<uint16_t>(port == 65535 ? 1 : port + 1);
    EXPECT_EQ(open_one(to(c.target, other), listeners).error, "") << c.listens << " " << c.target;
  }
}

TEST(ForwardTargets, OneOfOurPortsIsRefused) {
  Config c = to("127.0.0.7", 8125);
  PortConfig port;
  port.name = "wire0";
  port.addresses = {*parse_ip("127.0.0.7"), *parse_ip("fd00::1")};
  c.ports = {port};
  EXPECT_THAT(open_one(c).error, HasSubstr("127.0.0.7:8125 is our own port wire0"));
  c.ports[0].udp_ports = {8126};
  EXPECT_EQ(open_one(c).error, "");
  c.ports[0].udp_ports = {8126, 8125};
  EXPECT_NE(open_one(c).error, "");
  c.ports[0].addresses.clear();  // any: what comes to it is known to nobody
  EXPECT_EQ(open_one(c).error, "");
}

}  // namespace
}  // namespace penstock

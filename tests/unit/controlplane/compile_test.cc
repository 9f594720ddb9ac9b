#include "controlplane/compile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "dataplane/base/strings.h"

namespace penstock {
namespace {

using testing::Contains;
using testing::HasSubstr;

MachineFacts machine(uint16_t cpus) {
  MachineFacts facts;
  facts.cpus.resize(cpus);
  std::iota(facts.cpus.begin(), facts.cpus.end(), uint16_t{0});
  facts.root = true;
  facts.hostname = "box";
  facts.hugepage_kb = 2048;
  return facts;
}

Config with_ports(std::string_view penstock) {
  const std::string text = cat("dogstatsd_socket: ''\npenstock: {", penstock, "}");
  absl::StatusOr<LoadedConfig> loaded = parse_config(text, "p.yaml", {});
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return loaded.ok() ? loaded->config : Config();
}

absl::StatusOr<Compiled> compiled(const Config& config, const MachineFacts& facts) {
  return compile(config, facts, configured_listeners(config));
}

// "i0/0 rx1 s1": wiring, control/io, receive queues, shards.
std::string layout(const Plan& p) {
  std::string text =
      cat(p.wiring == Wiring::kInline ? "i" : "p", p.control_cpu, "/", p.io_cpu, " rx");
  for (size_t i = 0; i < p.rx_count; ++i) text += cat(i > 0 ? "," : "", p.rx[i].cpu);
  text += " s";
  for (size_t i = 0; i < p.shard_count; ++i) text += cat(i > 0 ? "," : "", p.shards[i].cpu);
  return text;
}

TEST(Compile, LaysOutCores) {
  struct Case {
    uint16_t cpus;
    const char* penstock;
    const char* layout;
  };
  constexpr char kPort[] = "ports: [{device: net_null0}]";
  constexpr char kTwoQueues[] = "ports: [{device: net_null0, queues: 2}]";
  const Case cases[] = {
      {1, "", "p0/0 rx s0"},
      {2, "", "p0/0 rx s1"},
      {4, "", "p0/0 rx s1,2,3"},
      {8, "", "p0/0 rx s1,2,3,4"},
      {8, "cores: {data: [1,2,3,4,5,6]}", "p0/0 rx s1,2,3,4,5,6"},
      {8, "cores: {control: 5, data: [1]}", "p5/5 rx s1"},
      {8, "cores: {data: [0, 1]}", "p2/2 rx s0,1"},
      {1, kPort, "i0/0 rx0 s0"},
      {2, kPort, "i0/0 rx1 s1"},
      {4, kPort, "p0/0 rx1 s2,3"},
      {8, kPort, "p0/0 rx1 s2,3,4,5,6,7"},
      {4, kTwoQueues, "p0/0 rx1,2 s3"},
      {8, kTwoQueues, "p0/0 rx1,2 s3,4,5,6,7"},
      {4, "cores: {data: [1, 2]}, ports: [{device: net_null0}]", "i0/2 rx1 s1"},
      {4, "cores: {data: [1, 2]}, ports: [{device: net_null0, queues: 2}]", "i0/0 rx1,2 s1,2"},
      {4, "wiring: inline, ports: [{device: net_null0}]", "i0/2 rx1 s1"},
      {4, "wiring: pipeline, cores: {data: [1, 2]}, ports: [{device: net_null0}]", "p0/0 rx1 s2"},
  };
  for (const Case& c : cases) {
    const absl::StatusOr<Compiled> result = compiled(with_ports(c.penstock), machine(c.cpus));
    ASSERT_TRUE(result.ok()) << c.penstock << ": " << result.status();
    EXPECT_EQ(layout(*result->plan), c.layout) << c.cpus << " cpus, " << c.penstock;
  }
}

TEST(Compile, RefusesWhatCannotBe) {
  struct Case {
    uint16_t cpus;
    const char* penstock;
    const char* message;
  };
  const Case cases[] = {
      {2, "cores: {control: 7}", "penstock.cores.control = 7: this process may use cpus 0,1"},
      {2, "cores: {data: [1, 9]}", "cpu 9 is not among the cpus 0,1"},
      {2, "wiring: inline", "penstock.wiring = \"inline\": there is no port"},
      {2, "ports: [{device: net_null0, queues: 2}]", "1 cores for 2 receive queues"},
      {2, "wiring: pipeline, ports: [{device: net_null0}]", "pipeline wiring needs 2"},
      {1, "idle: busy", "penstock.idle = \"busy\": cpu 0 would poll without end"},
      {2, "ports: [{device: net_af_xdp0}]", "name the interface"},
      {2, "ports: [{device: net_null0, own: udp}]", "only net_af_xdp can leave the rest"},
      {2, "hugepages: require, ports: [{device: net_null0}]", "sysctl vm.nr_hugepages="},
      {2, "limits: {memory_limit: 100MiB}", "the largest is"},
  };
  for (const Case& c : cases) {
    const absl::StatusOr<Compiled> result = compiled(with_ports(c.penstock), machine(c.cpus));
    ASSERT_FALSE(result.ok()) << c.penstock;
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(c.message)) << c.penstock;
  }
}

TEST(Compile, PortsNeedRoot) {
  MachineFacts facts = machine(2);
  facts.root = false;
  EXPECT_TRUE(compiled(with_ports(""), facts).ok());
  EXPECT_THAT(
      std::string(compiled(with_ports("ports: [{device: net_null0}]"), facts).status().message()),
      HasSubstr("start it as root"));
}

std::vector<std::string> eal_args(const Plan& p) {
  std::vector<std::string> args;
  for (size_t i = 0; i < p.eal_arg_count; ++i) args.emplace_back(p.str(p.eal_args[i]));
  return args;
}

TEST(Compile, HugepagesAsConfiguredAndAvailable) {
  const Config config = with_ports("ports: [{device: net_null0}]");
  MachineFacts facts = machine(2);
  absl::StatusOr<Compiled> without = compiled(config, facts);
  EXPECT_THAT(eal_args(*without->plan), Contains("--no-huge"));
  EXPECT_THAT(without->notes, Contains(HasSubstr("without hugepages")));
  facts.hugepages_free = 1000;
  EXPECT_THAT(eal_args(*compiled(config, facts)->plan), Contains("--in-memory"));
  Config never = config;
  never.hugepages = HugepageChoice::kNever;
  without = compiled(never, facts);
  EXPECT_THAT(eal_args(*without->plan), Contains("--no-huge"));
  EXPECT_TRUE(without->notes.empty());
}

TEST(Compile, PciDevicesAreAllowedAndVirtualOnesNeedNoBus) {
  const MachineFacts facts = machine(4);
  const auto pci = compiled(
      with_ports("ports: [{device: '0000:03:00.0,rx_vec=1'}, {device: net_null0}]"), facts);
  EXPECT_THAT(eal_args(*pci->plan), Contains("0000:03:00.0"));
  EXPECT_THAT(eal_args(*pci->plan), testing::Not(Contains("--no-pci")));
  const auto virtual_only = compiled(with_ports("ports: [{device: net_null0}]"), facts);
  EXPECT_THAT(eal_args(*virtual_only->plan), Contains("--no-pci"));
}

TEST(Compile, EndOfLineRequiredOfUdpHoldsForPorts) {
  for (const bool required : {false, true}) {
    Config config = with_ports("ports: [{device: net_null0}]");
    config.eol_udp = required;
    config.eol_uds = !required;
    const auto result = compiled(config, machine(4));
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->plan->ports[0].eol_required, required ? 1 : 0);
  }
}

TEST(Compile, AfXdpTakesOnlyUdpAndOthersTheWholePort) {
  const auto result = compiled(
      with_ports(
          "ports: [{device: 'net_af_xdp0,iface=eth7,x=1'}, {device: net_tap0, udp_ports: [1, 2]}]"),
      machine(4));
  ASSERT_TRUE(result.ok()) << result.status();
  const Plan& p = *result->plan;
  EXPECT_EQ(p.str(p.ports[0].interface), "eth7");
  EXPECT_EQ(p.ports[0].xdp_filter, 1);
  EXPECT_EQ(p.ports[0].responder, 0);
  EXPECT_EQ(p.ports[0].udp_ports[0], 8125);
  EXPECT_EQ(p.ports[1].xdp_filter, 0);
  EXPECT_EQ(p.ports[1].responder, 1);
  EXPECT_EQ(p.ports[1].udp_port_count, 2);
}

TEST(Compile, EqualInputGivesEqualPlansThatOpen) {
  const Config config = with_ports("ports: [{device: net_null0}]");
  const auto a = compiled(config, machine(2));
  const auto b = compiled(config, machine(2));
  EXPECT_EQ(a->plan->hash, b->plan->hash);
  const auto memfd = plan_to_memfd(*a->plan);
  ASSERT_TRUE(memfd.ok());
  EXPECT_TRUE(open_plan(memfd->get()).ok());
  Config other = config;
  other.tags = {"x"};
  EXPECT_NE(compiled(other, machine(2))->plan->hash, a->plan->hash);
}

TEST(Compile, BudgetAddsUpAndIsPrinted) {
  const auto result = compiled(with_ports(""), machine(2));
  uint64_t sum = 0;
  for (const BudgetLine& line : result->budget) sum += line.bytes;
  EXPECT_EQ(sum, result->budget_bytes);
  EXPECT_THAT(describe(*result), HasSubstr("in all"));
  EXPECT_THAT(print_plan(*result->plan), HasSubstr("host \"box\""));
}

TEST(Compile, NamespaceGetsItsDot) {
  Config config = with_ports("");
  config.metric_namespace = "app";
  const auto result = compiled(config, machine(2));
  EXPECT_EQ(result->plan->str(result->plan->dogstatsd.metric_namespace), "app.");
}

}  // namespace
}  // namespace penstock

#include "controlplane/compile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "absl/strings/str_format.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

using testing::Contains;
using testing::HasSubstr;

MachineFacts machine(uint16_t cpus) {
  MachineFacts facts;
  facts.cpus.resize(cpus);
  std::iota(facts.cpus.begin(), facts.cpus.end(), uint16_t{0});
  facts.online = facts.cpus;
  facts.online.push_back(2);  // one that this process may not use
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
  constexpr char kTwoPorts[] = "ports: [{device: net_null0}, {device: net_null1}]";
  const Case cases[] = {
      {1, "", "p0/0 rx s0"},
      {2, "", "p0/0 rx s1"},
      {3, "", "p0/0 rx s1,2"},
      {4, "", "p0/1 rx s2,3"},
      {8, "", "p0/1 rx s2,3,4,5"},
      {64, "", "p0/1 rx s2,3,4,5"},
      {4, "cores: {io: 3}", "p0/3 rx s1,2"},
      {4, "cores: {io: 0}", "p1/0 rx s2,3"},
      {2, "cores: {control: 0, io: 0}", "p0/0 rx s1"},
      {8, "cores: {control: 7, io: 6}", "p7/6 rx s0,1,2,3"},
      {8, "cores: {data: [1,2,3,4,5,6]}", "p0/0 rx s1,2,3,4,5,6"},
      {8, "cores: {control: 5, data: [1]}", "p5/5 rx s1"},
      {8, "cores: {data: [0, 1]}", "p2/2 rx s0,1"},
      {1, kPort, "i0/0 rx0 s0"},
      {2, kPort, "i0/0 rx1 s1"},
      {4, kPort, "p0/0 rx1 s2,3"},
      {5, kPort, "p0/2 rx1 s3,4"},
      {8, kPort, "p0/2 rx1 s3,4,5,6,7"},
      {64, kPort, "p0/2 rx1 s3,4,5,6,7,8,9,10"},
      {2, kTwoPorts, nullptr},
      {3, kTwoPorts, "i0/0 rx1,2 s1,2"},
      {4, kTwoPorts, "p0/0 rx1,2 s3"},
      {64, kTwoPorts, "p0/3 rx1,2 s4,5,6,7,8,9,10,11,12,13,14,15"},
      {4, kTwoQueues, "p0/0 rx1,2 s3"},
      {8, kTwoQueues, "p0/3 rx1,2 s4,5,6,7"},
      {8, "cores: {data: [7,5,3,1]}, ports: [{device: net_null0}]", "p0/0 rx7 s5,3,1"},
      {8, "cores: {io: 2, data: [7,5,3,1]}, ports: [{device: net_null0}]", "p0/2 rx7 s5,3,1"},
      {4, "cores: {data: [1, 2]}, ports: [{device: net_null0}]", "i0/2 rx1 s1"},
      {4, "cores: {data: [1, 2]}, ports: [{device: net_null0, queues: 2}]", "i0/0 rx1,2 s1,2"},
      {4, "wiring: inline, ports: [{device: net_null0}]", "i0/2 rx1 s1"},
      {4, "wiring: pipeline, cores: {data: [1, 2]}, ports: [{device: net_null0}]", "p0/0 rx1 s2"},
  };
  for (const Case& c : cases) {
    const absl::StatusOr<Compiled> result = compiled(with_ports(c.penstock), machine(c.cpus));
    ASSERT_EQ(result.ok(), c.layout != nullptr) << c.penstock << ": " << result.status();
    if (c.layout == nullptr) continue;
    EXPECT_EQ(layout(*result->plan), c.layout) << c.cpus << " cpus, " << c.penstock;
  }
}

// Without kernel sockets nobody needs an io thread.
TEST(Compile, NoSocketsNoCoreForThem) {
  Config config = with_ports("ports: [{device: net_null0}]");
  config.udp_port = 0;
  config.ports[0].udp_ports = {8125};
  EXPECT_EQ(layout(*compiled(config, machine(4))->plan), "p0/0 rx1 s2,3");
  EXPECT_EQ(layout(*compiled(config, machine(64))->plan), "p0/0 rx1 s2,3,4,5");
}

// cpus 0-3 are node 0, 4-7 node 1.
TEST(Compile, CoresAreNearTheirPorts) {
  MachineFacts facts = machine(8);
  facts.cpu_nodes = {0, 0, 0, 0, 1, 1, 1, 1};
  facts.device_nodes = {{"net_null1", 1}};
  const auto one = compiled(with_ports("ports: [{device: net_null1}]"), facts);
  EXPECT_EQ(layout(*one->plan), "p0/1 rx4 s5,2,6,3,7");
  EXPECT_THAT(one->notes, testing::Not(Contains(HasSubstr("NUMA"))));
  const auto other = compiled(with_ports("ports: [{device: net_null0}]"), facts);
  EXPECT_EQ(layout(*other->plan), "p0/2 rx1 s3,4,5,6,7") << "a virtual port is anywhere";
  const auto asked =
      compiled(with_ports("cores: {data: [1, 5, 6]}, ports: [{device: net_null1}]"), facts);
  EXPECT_EQ(layout(*asked->plan), "p0/0 rx1 s5,6") << "as it was written";
  EXPECT_THAT(asked->notes,
              Contains(HasSubstr("on NUMA node 1 and its queue 0 on cpu 1 of node 0")));
}

TEST(Compile, SaysWhyCoresStayFree) {
  EXPECT_THAT(compiled(with_ports(""), machine(64))->notes,
              Contains(HasSubstr("58 cpus are left to others: 4 shards take what")));
  EXPECT_TRUE(compiled(with_ports(""), machine(4))->notes.empty());
}

TEST(Compile, ABusyCpuIsSharedWhereTheFileSaysSo) {
  const auto control =
      compiled(with_ports("idle: busy, wiring: pipeline, cores: {control: 0, data: [0, 1]}, "
                          "ports: [{device: net_null0}]"),
               machine(2));
  ASSERT_TRUE(control.ok()) << control.status();
  EXPECT_EQ(layout(*control->plan), "p0/0 rx0 s1");
  EXPECT_THAT(control->notes, Contains(HasSubstr("cpu 0 runs control and data without rest")));
  const auto io = compiled(with_ports("idle: busy, cores: {io: 1, data: [1, 2]}"), machine(3));
  ASSERT_TRUE(io.ok()) << io.status();
  EXPECT_THAT(io->notes, Contains(HasSubstr("cpu 1 runs io and data without rest")));
}

TEST(Compile, RefusesWhatCannotBe) {
  struct Case {
    uint16_t cpus;
    const char* penstock;
    const char* message;
  };
  const Case cases[] = {
      {2, "cores: {control: 7}", "penstock.cores.control = 7: cpu 7 is not among the cpus 0,1"},
      {2, "cores: {io: 3}", "penstock.cores.io = 3: cpu 3 is not among the cpus 0,1"},
      {2, "cores: {data: [1, 9]}", "cpu 9 is not among the cpus 0,1"},
      {2, "cores: {data: [1, 2]}", "; name one of them, or widen the process's affinity"},
      {2, "cores: {data: [1, 9]}",
       "offline, or there is none: write 1 to /sys/devices/system/cpu/"},
      {200, "ports: [{device: net_null0, queues: 64}, {device: net_null1, queues: 1}]",
       "65 receive queues in all; at most 64 are possible"},
      {4, "wiring: inline, ports: [{device: net_null0, queues: 2, spread: true}]",
       "in the inline wiring each receive queue has one shard"},
      {3, "idle: busy, cores: {data: [0, 1, 2]}",
       "cpu 0 would poll without end and starve the control thread"},
      {2, "wiring: inline", "penstock.wiring = \"inline\": there is no port"},
      {2, "ports: [{device: net_null0, queues: 2}]", "1 cores for 2 receive queues"},
      {2, "wiring: pipeline, ports: [{device: net_null0}]", "pipeline wiring needs 2"},
      {1, "idle: busy", "penstock.idle = \"busy\": cpu 0 would poll without end"},
      {2, "ports: [{device: net_af_xdp0}]", "name the interface"},
      {2, "ports: [{device: net_null0, own: udp}]", "only net_af_xdp can leave the rest"},
      {2, "hugepages: require, ports: [{device: net_null0}]", "sysctl vm.nr_hugepages="},
      {2, "limits: {memory_limit: 100MiB}", "MiB; lower penstock."},
  };
  for (const Case& c : cases) {
    const absl::StatusOr<Compiled> result = compiled(with_ports(c.penstock), machine(c.cpus));
    ASSERT_FALSE(result.ok()) << c.penstock;
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(c.message)) << c.penstock;
  }
}

// The most text that is let through fits the Plan, with every path and name as long as it may be.
TEST(Compile, RefusesMoreTextThanThePlanHolds) {
  Config c = with_ports("ports: [{device: net_null0}], listeners: {udp: {sockets: 8}}");
  c.socket_path = c.stream_socket_path = std::string(107, '/');
  c.pipe_path = std::string(4095, '/');
  c.proc_root = std::string(4000, '/');
  c.bind_host = std::string(253, 'h');
  const auto fits = [&](size_t bytes) {
    c.metric_namespace = std::string(bytes, '.');
    return compiled(c, machine(4)).ok();
  };
  size_t least = 0;
  size_t most = kPlanTextBytes;
  while (least + 1 < most) {
    const size_t middle = (least + most) / 2;
    (fits(middle) ? least : most) = middle;
  }
  EXPECT_GT(least, kPlanTextBytes - 20'000);
}

TEST(Compile, RefusesMoreShardsThanPossible) {
  Config config = with_ports("");
  config.data_cores.resize(65);
  std::iota(config.data_cores.begin(), config.data_cores.end(), uint16_t{1});
  EXPECT_THAT(std::string(compiled(config, machine(100)).status().message()),
              HasSubstr("65 shards; at most 64 are possible: name fewer"));
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

TEST(Compile, BudgetIsPrintedLineByLineAndAddsUp) {
  const auto result =
      compiled(with_ports("limits: {contexts: 1000, memo_bytes: 7MiB}"), machine(4));
  EXPECT_EQ(result->plan->shard_count, 2);
  const std::string text = describe(*result);
  EXPECT_THAT(text, HasSubstr("1005 x         252  contexts and their sums (contexts)\n"));
  EXPECT_THAT(text, HasSubstr("7.0 MiB  =        1 x     7340032  line memo (memo_bytes)\n"));
  uint64_t shard = 0;
  for (const BudgetLine& line : result->budget) {
    if (line.owner != Owner::kShard) continue;
    EXPECT_EQ(line.copies, 2u) << line.what;
    shard += line.count * line.each;
  }
  const auto mib = [](uint64_t bytes) {
    return absl::StrFormat("%9.1f MiB  ", static_cast<double>(bytes) / (1 << 20));
  };
  EXPECT_THAT(text, HasSubstr(mib(shard) + "a shard\n"));
  EXPECT_THAT(text, HasSubstr(mib(2 * shard) + "2 shards\n"));
  EXPECT_THAT(text, HasSubstr(mib(sum_of(result->budget)) + "in all\n"));
  EXPECT_THAT(print_plan(*result->plan), HasSubstr("host \"box\""));
}

TEST(Compile, ThePlanSaysWhatEachCpuDoes) {
  const auto inline_one = compiled(with_ports("ports: [{device: net_null0}]"), machine(2));
  EXPECT_THAT(describe(*inline_one),
              HasSubstr("cores (inline):\n"
                        "  cpu 0   control: intervals, Segments, requests\n"
                        "  cpu 0   io: 1 kernel sockets\n"
                        "  cpu 1   rx 0: receives port0/0 and runs shard 0\n"));
  const auto pipeline = compiled(
      with_ports("listeners: {udp: {sockets: 2, spread: true}}, ports: [{device: net_null0}]"),
      machine(5));
  EXPECT_THAT(describe(*pipeline),
              HasSubstr("cores (pipeline):\n"
                        "  cpu 0   control: intervals, Segments, requests\n"
                        "  cpu 2   io: 2 kernel sockets\n"
                        "  cpu 1   rx 0: receives port0/0, each flow to its shard\n"
                        "  cpu 3   shard 0\n"
                        "  cpu 4   shard 1\n"));
  EXPECT_THAT(describe(*pipeline),
              HasSubstr("listener udp/1: localhost:8125, each burst to the emptiest shard\n"));
}

// Every limit of memory has its line, by its key, and lowering it lowers the sum.
TEST(Compile, EveryLimitIsInTheBudget) {
  const auto with_streams = [](std::string_view penstock) {
    Config config = with_ports(penstock);
    config.stream_socket_path = "/s";
    return compiled(config, machine(2));
  };
  const uint64_t before = sum_of(with_streams("")->budget);
  for (const char* limit : {"contexts: 1000", "context_bytes: 1MiB", "memo_bytes: 1MiB",
                            "sample_bytes: 1MiB", "set_members: 16", "carry_bytes: 1MiB",
                            "ring_slots: 64", "io_buffers: 16", "segment_bytes_held: 1MiB"}) {
    const auto result = with_streams(cat("limits: {", limit, "}"));
    EXPECT_LT(sum_of(result->budget), before) << limit;
    const std::string_view text = limit;
    EXPECT_THAT(describe(*result), HasSubstr(cat("(", text.substr(0, text.find(':')), ")\n")));
  }
}

TEST(Compile, ConnectionsAreInTheBudgetAndInThePlan) {
  Config config = with_ports("listeners: {uds_stream: {connections: 10}}");
  config.stream_socket_path = "/s";
  const auto few = compiled(config, machine(2));
  EXPECT_EQ(few->plan->listeners[0].kind, ListenerKind::kUdsStream);
  EXPECT_EQ(few->plan->listeners[0].connections, 10);
  config.listeners.stream_connections = 10'000;
  EXPECT_LT(sum_of(few->budget), sum_of(compiled(config, machine(2))->budget));
}

TEST(Compile, RefusesWhatIsOverTheMemoryLimitAndSaysWhatToLower) {
  const uint64_t sum = sum_of(compiled(with_ports(""), machine(2))->budget);
  const auto limited = [](std::string_view limits, uint64_t memory_limit) {
    return compiled(with_ports(cat("limits: {", limits, "memory_limit: ", memory_limit, "}")),
                    machine(2))
        .status();
  };
  EXPECT_TRUE(limited("", sum).ok());
  EXPECT_THAT(std::string(limited("", sum - 1).message()),
              HasSubstr("; lower penstock.exporters.prometheus.max_series, which stands for"));
  EXPECT_THAT(std::string(limited("contexts: 10000000, ", sum).message()),
              HasSubstr("; lower penstock.limits.contexts, which stands for the most,"));
  EXPECT_THAT(std::string(limited("sample_bytes: 4GiB, ", sum).message()),
              HasSubstr("; lower penstock.limits.sample_bytes, "));
}

TEST(Compile, NamespaceGetsItsDot) {
  Config config = with_ports("");
  config.metric_namespace = "app";
  const auto result = compiled(config, machine(2));
  EXPECT_EQ(result->plan->str(result->plan->dogstatsd.metric_namespace), "app.");
}

}  // namespace
}  // namespace penstock

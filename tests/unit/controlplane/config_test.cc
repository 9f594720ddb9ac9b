#include "controlplane/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/compile.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

LoadedConfig good(std::string_view text, const Environment& environment = {}) {
  absl::StatusOr<LoadedConfig> loaded = parse_config(text, "p.yaml", environment);
  EXPECT_TRUE(loaded.ok()) << loaded.status() << "\n" << text;
  return loaded.ok() ? *std::move(loaded) : LoadedConfig{};
}

std::string bad(std::string_view text, const Environment& environment = {}) {
  const absl::StatusOr<LoadedConfig> loaded = parse_config(text, "p.yaml", environment);
  EXPECT_FALSE(loaded.ok()) << text;
  return loaded.ok() ? std::string() : std::string(loaded.status().message());
}

TEST(Config, AnEmptyFileHasTheAgentsDefaults) {
  const Config c = good("").config;
  EXPECT_EQ(c.udp_port, 8125);
  EXPECT_EQ(c.socket_path, "/var/run/datadog/dsd.socket");
  EXPECT_EQ(c.bind_host, "localhost");
  EXPECT_EQ(c.buffer_size, 8192u);
  EXPECT_EQ(c.counter_expiry_s, 300u);
  EXPECT_EQ(c.context_expiry_s, 20u);
  EXPECT_TRUE(c.timestamps);
  EXPECT_FALSE(c.client_origin);
  EXPECT_THAT(c.histogram_aggregates, ElementsAre("max", "median", "avg", "count"));
  EXPECT_EQ(c.namespace_exclusions.size(), 21u);
  EXPECT_EQ(c.limits.memo_bytes, 32u << 20);
  ASSERT_TRUE(c.prometheus.has_value());
  EXPECT_EQ(c.prometheus->listen.text(), "127.0.0.1:9126");
  EXPECT_FALSE(c.jsonl.has_value());
}

TEST(Config, ReadsEveryPartOfOurSection) {
  const Config c = good(R"(
penstock:
  run_dir: /tmp/x/
  log_level: debug
  ports:
    - name: wire0
      device: "net_af_xdp0,iface=veth0"
      udp_ports: [8125, 8126]
      addresses: ["10.0.0.2", "fd00::2"]
      own: udp
      queues: 2
      mtu: 9000
      descriptors: 2048
    - device: "0000:03:00.0"
  cores: {control: 3, data: [1, 2]}
  wiring: pipeline
  idle: busy
  hugepages: require
  listeners: {uds_stream: {connections: 7}}
  limits: {contexts: 1000, memo_bytes: 1MiB, ring_slots: 128, memory_limit: 2GiB}
  exporters:
    jsonl: {path: /tmp/p.jsonl}
    prometheus: {listen: "[::1]:9000", max_series: 10, expiry_seconds: 1h}
  http: {listen: ""}
)")
                       .config;
  EXPECT_EQ(c.run_dir, "/tmp/x");
  ASSERT_EQ(c.ports.size(), 2u);
  EXPECT_THAT(c.ports[0].udp_ports, ElementsAre(8125, 8126));
  EXPECT_EQ(c.ports[0].addresses[1].family, 6);
  EXPECT_EQ(c.ports[0].own, PortOwner::kUdp);
  EXPECT_EQ(c.ports[0].queues, 2);
  EXPECT_EQ(c.ports[0].mtu, 9000);
  EXPECT_EQ(c.ports[1].name, "port1");
  EXPECT_EQ(c.control_core, 3);
  EXPECT_THAT(c.data_cores, ElementsAre(1, 2));
  EXPECT_EQ(c.wiring, WiringChoice::kPipeline);
  EXPECT_EQ(c.idle, IdleMode::kBusy);
  EXPECT_EQ(c.hugepages, HugepageChoice::kRequire);
  EXPECT_EQ(c.listeners.stream_connections, 7);
  EXPECT_EQ(c.limits.contexts, 1000u);
  EXPECT_EQ(c.limits.memory_limit, 2ull << 30);
  EXPECT_EQ(c.jsonl->path, "/tmp/p.jsonl");
  EXPECT_EQ(c.prometheus->listen, (ListenAddress{"::1", 9000}));
  EXPECT_EQ(c.prometheus->expiry_seconds, 3600u);
  EXPECT_FALSE(c.http.has_value());
}

TEST(Config, ExportersThatAreWrittenAreTheOnlyOnes) {
  EXPECT_FALSE(good("penstock: {exporters: {jsonl: {path: /a}}}").config.prometheus.has_value());
  EXPECT_TRUE(good("penstock: {exporters: {prometheus: }}").config.prometheus.has_value());
  EXPECT_FALSE(good("penstock: {exporters: {}}").config.prometheus.has_value());
}

struct BadCase {
  const char* text;
  const char* message;
};

TEST(Config, MistakesNameLineKeyValueAndRemedy) {
  const std::string deep = "a: " + std::string(5000, '[');
  const BadCase cases[] = {
      {"penstock:\n  idle: buzy", "p.yaml:2: penstock.idle = \"buzy\": must be adaptive or busy"},
      {"penstock:\n  idel: busy", "p.yaml:2: penstock.idel: unknown key; did you mean \"idle\"?"},
      {"penstock:\n  forward: {targets: [nowhere]}",
       "p.yaml:2: penstock.forward.targets = \"nowhere\": must be \"host:port\""},
      {"penstock:\n  forward:\n    targets:\n      - a:1\n      - ::1:8125",
       "p.yaml:5: penstock.forward.targets = \"::1:8125\": must be \"host:port\""},
      {"penstock: {forward: {targets: [a:0]}}", "with a port from 1 to 65535"},
      {"penstock: {forward: {targets: [\"a b:1\"]}}", "must name a host: a name or an address"},
      {"penstock: {forward: {targets: [a:1, a:1]}}", "a:1 is a forward target already; remove one"},
      {"penstock: {forward: {targets: [a:1, a:2, a:3, a:4, a:5, a:6, a:7, a:8, a:9]}}",
       "has 9 entries; at most 8 are allowed"},
      {"statsd_forward_host: z\nstatsd_forward_port: 1\n"
       "penstock: {forward: {targets: [a:1, a:2, a:3, a:4, a:5, a:6, a:7, a:8]}}",
       "more than 8 forward targets"},
      {"penstock: {forward: {queue: 63}}", "must be a whole number from 64 to 65536"},
      {"penstock: {forward: {target: a:1}}", "unknown key; did you mean \"targets\"?"},
      {"statsd_forward_host: a\nstatsd_forward_port: 65536",
       "p.yaml:2: statsd_forward_port = \"65536\": must be a whole number from 0 to 65535"},
      {"penstock:\n  limits:\n    context: 5",
       "p.yaml:3: penstock.limits.context: unknown key; did you mean \"contexts\"?"},
      {"penstock:\n  limits: {ring_slots: 100}",
       "penstock.limits.ring_slots = \"100\": must be a power of two"},
      {"penstock:\n  limits: {memo_bytes: 5 parsecs}",
       "penstock.limits.memo_bytes = \"5 parsecs\": must be a size"},
      {"penstock:\n  listeners: {uds_stream: {connections: 0}}",
       "penstock.listeners.uds_stream.connections = \"0\": must be a whole number from 1 to 16384"},
      {"penstock:\n  ports: 3", "penstock.ports = \"3\": must be a list of ports"},
      {"penstock:\n  ports:\n    - name: a", "p.yaml:3: penstock.ports[0].device: missing"},
      {"penstock:\n  ports:\n    - {device: x, mtu: 10}",
       "penstock.ports[0].mtu = \"10\": must be a whole number from 576 to 9600"},
      {"penstock:\n  ports:\n    - {device: x, addresses: [1.2.3]}",
       "penstock.ports[0].addresses = \"1.2.3\": must be an IPv4 or IPv6 address"},
      {"penstock:\n  ports: [{device: x, name: a}, {device: y, name: a}]",
       "two ports are named \"a\""},
      {"penstock:\n  ports: [{device: 'x0,iface=a'}, {device: 'x0,iface=b'}]",
       "two ports have the device \"x0\""},
      {"penstock:\n  ports: [{device: x, name: udp}]",
       "penstock.ports[0].name = \"udp\": is the name of a listener"},
      {"penstock:\n  ? [a, b]\n  : c", "p.yaml:2: penstock: a key must be text"},
      {"dogstatsd_socket: \"\\0abc\"", "must not hold a NUL byte"},
      {"dogstatsd_tags: [\"a\\0b\"]", "must not hold a NUL byte"},
      {"penstock:\n  cores: {data: [1, 1]}", "penstock.cores.data: names a core twice"},
      {"penstock:\n  cores: {data: []}", "penstock.cores.data: must name at least one core"},
      {"penstock:\n  listeners: {udp: {sockets: 9}}",
       "penstock.listeners.udp.sockets = \"9\": must be a whole number from 1 to 8"},
      {"penstock:\n  listeners: {tcp: {}}", "penstock.listeners.tcp: unknown key"},
      {"penstock:\n  listeners: {uds: {sockets: 2}}",
       "penstock.listeners.uds.sockets: unknown key"},
      {"penstock:\n  exporters: {jsonl: {path: rel}}",
       "penstock.exporters.jsonl.path = \"rel\": must be an absolute path"},
      {"penstock:\n  exporters: {json: {}}",
       "penstock.exporters.json: unknown key; did you mean \"jsonl\"?"},
      {"penstock:\n  http: {listen: 5080}",
       "penstock.http.listen = \"5080\": must be \"address:port\""},
      {"penstock:\n  run_dir: here", "penstock.run_dir = \"here\": must be an absolute path"},
      {"penstock: [1]", "p.yaml:1: penstock: must be a map of keys"},
      {"dogstatsd_port: 70000", "dogstatsd_port = \"70000\": must be a port"},
      {"dogstatsd_buffer_size: 100000",
       "dogstatsd_buffer_size = \"100000\": must be a whole number from 64 to 65535"},
      {"dogstatsd_expiry_seconds: soon", "dogstatsd_expiry_seconds = \"soon\": must be seconds"},
      {"dogstatsd_expiry_seconds: 999999999", "of at most ten years"},
      {"dogstatsd_expiry_seconds: \"1\\02\"", "dogstatsd_expiry_seconds = \"1\\02\": must be"},
      {"dogstatsd_tags: {a: b}", "dogstatsd_tags: must be a list"},
      {"use_dogstatsd: perhaps", "use_dogstatsd = \"perhaps\": must be true or false"},
      {"a: [", "not valid YAML"},
      {deep.c_str(), "p.yaml:1: not valid YAML: nested too deeply"},
      {"- a", "must be a map of keys"},
  };
  for (const BadCase& c : cases) EXPECT_THAT(bad(c.text), HasSubstr(c.message)) << c.text;
}

TEST(Config, ForwardTargetsComeFromTheAgentsKeysAndOurs) {
  const LoadedConfig l = good(R"(
statsd_forward_host: "::1"
statsd_forward_port: 9125
penstock:
  forward: {targets: ["agg.example:8125", "[fd00::1]:8126"], batch: true, queue: 128}
)");
  const ForwardConfig& f = l.config.forward;
  EXPECT_THAT(f.targets, ElementsAre(ListenAddress{"::1", 9125}, ListenAddress{"agg.example", 8125},
                                     ListenAddress{"fd00::1", 8126}));
  EXPECT_EQ(f.targets[0].text(), "[::1]:9125");
  EXPECT_TRUE(f.batch);
  EXPECT_EQ(f.queue, 128u);
  EXPECT_THAT(l.warnings, IsEmpty());
  EXPECT_THAT(l.ignored, IsEmpty());
}

// Spec section 3: active only if both are set.
TEST(Config, HalfAForwardTargetIsNone) {
  struct Case {
    const char* text;
    const char* warning;
  };
  const Case cases[] = {
      {"statsd_forward_host: a", "statsd_forward_host = \"a\": has no effect without"},
      {"statsd_forward_port: 1", "statsd_forward_port = \"1\": has no effect without"},
      {"statsd_forward_host: a\nstatsd_forward_port: 0", "has no effect without"},
      {"statsd_forward_host: \"\"\nstatsd_forward_port: 0", nullptr},
  };
  for (const Case& c : cases) {
    const LoadedConfig l = good(c.text);
    EXPECT_THAT(l.config.forward.targets, IsEmpty()) << c.text;
    ASSERT_EQ(l.warnings.size(), c.warning == nullptr ? 0u : 1u) << c.text;
    if (c.warning != nullptr) {
      EXPECT_THAT(l.warnings[0], HasSubstr(c.warning));
    }
  }
}

TEST(Config, ReportsEveryErrorAtOnce) {
  const std::string all = bad("dogstatsd_port: 70000\npenstock:\n  idle: y\n  wring: z\n");
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), 2) << all;
}

TEST(Config, VariablesWinAndListsAreSpaceSeparated) {
  const Environment environment{{"DD_DOGSTATSD_PORT", "9000"},
                                {"DD_DOGSTATSD_TAGS", "b:2 a:1 a:1"},
                                {"DD_DOGSTATSD_NON_LOCAL_TRAFFIC", "T"},
                                {"DD_HOSTNAME", ""}};
  const Config c = good("dogstatsd_port: 1\nhostname: file\n", environment).config;
  EXPECT_EQ(c.udp_port, 9000);
  EXPECT_THAT(c.tags, ElementsAre("a:1", "b:2"));
  EXPECT_TRUE(c.non_local_traffic);
  EXPECT_EQ(c.hostname, "file");
  EXPECT_THAT(bad("", {{"DD_DOGSTATSD_PORT", "70000"}}),
              HasSubstr("DD_DOGSTATSD_PORT = \"70000\": must"));
}

TEST(Config, AgentKeysThatAreNotOursAreListedAndUnknownOnesWarnedOf) {
  const LoadedConfig loaded = good(
      "api_key: k\ndogstatsd_stats_enable: true\ntelemetry: {enabled: true}\n"
      "dogstatsd_prt: 1\n",
      {{"DD_DOGSTATSD_WORKERS_COUNT", "3"}});
  EXPECT_THAT(loaded.ignored, ElementsAre("DD_DOGSTATSD_WORKERS_COUNT", "api_key",
                                          "dogstatsd_stats_enable", "telemetry"));
  EXPECT_THAT(loaded.warnings,
              ElementsAre("p.yaml:4: dogstatsd_prt: unknown key, ignored; did you mean "
                          "\"dogstatsd_port\"?"));
}

TEST(Config, AListMayBeWrittenAsWords) {
  const Config c =
      good(
          "dogstatsd_tags: \"b:2  a:1\\ta:1 \"\nstatsd_metric_namespace_blacklist: \"\"\n"
          "metric_filterlist: \" \"\nstatsd_metric_blocklist: x.y\nhistogram_percentiles: 0.5\n"
          "histogram_aggregates: max min\n")
          .config;
  EXPECT_THAT(c.tags, ElementsAre("a:1", "b:2"));
  EXPECT_THAT(c.namespace_exclusions, IsEmpty());
  EXPECT_THAT(c.filter, ElementsAre("x.y"));
  EXPECT_THAT(c.histogram_percentiles, ElementsAre("0.5"));
  EXPECT_THAT(c.histogram_aggregates, ElementsAre("max", "min"));
}

TEST(Config, WhatTheAgentSkipsWithAWarningIsSkipped) {
  const LoadedConfig loaded = good(
      "dogstatsd_eol_required: [udp, tcp]\nhistogram_aggregates: [max, mode]\n"
      "histogram_percentiles: [\"0.5\", x]\n");
  EXPECT_TRUE(loaded.config.eol_udp);
  EXPECT_FALSE(loaded.config.eol_uds);
  EXPECT_EQ(loaded.warnings.size(), 3u);
}

TEST(Config, Sizes) {
  EXPECT_EQ(*parse_size("64MiB"), 64u << 20);
  EXPECT_EQ(*parse_size("1.5 KiB"), 1536u);
  EXPECT_EQ(*parse_size("10MB"), 10000000u);
  EXPECT_EQ(*parse_size("512"), 512u);
  for (const char* text : {"", "x", "-1", "5 XiB", "1e400", "99999999GiB", "5MiB5"}) {
    EXPECT_FALSE(parse_size(text).ok()) << text;
  }
}

TEST(Config, Durations) {
  EXPECT_EQ(*parse_duration_ms("100ms"), 100u);
  EXPECT_EQ(*parse_duration_ms("1h30m"), 5400000u);
  EXPECT_EQ(*parse_duration_ms("1.5s"), 1500u);
  for (const char* text : {"", "5", "s", "5 parsecs", "-1s"}) {
    EXPECT_FALSE(parse_duration_ms(text).ok()) << text;
  }
}

TEST(Config, AKeyWrittenTwiceAtTheTopIsToldOf) {
  const LoadedConfig loaded = good("dogstatsd_port: 1\ndogstatsd_port: 2\n");
  EXPECT_EQ(loaded.config.udp_port, 1);
  EXPECT_THAT(loaded.warnings,
              ElementsAre("p.yaml:2: dogstatsd_port: written twice; the first one counts"));
}

TEST(Config, AFileThatCannotBeReadIsNamed) {
  for (const char* path : {"/nonexistent/p.yaml", "/tmp"}) {
    const absl::StatusOr<LoadedConfig> loaded = load_config(path, {});
    ASSERT_FALSE(loaded.ok()) << path;
    EXPECT_THAT(std::string(loaded.status().message()), HasSubstr(path));
  }
}

TEST(Config, NamesAndPathsAreNoLongerThanTheyCanBe) {
  struct Case {
    const char* key;
    size_t most;
  };
  for (const Case c : {Case{"bind_host: ", 253},
                       {"dogstatsd_socket: /", 107},
                       {"dogstatsd_pipe_name: /", 4095},
                       {"container_proc_root: /", 4000}}) {
    const std::string key = c.key;
    const size_t more = c.most - (key.back() == '/' ? 1 : 0);
    good(key + std::string(more, 'x'));
    EXPECT_THAT(bad(key + std::string(more + 1, 'x')),
                HasSubstr(cat("at most ", c.most, " bytes")));
  }
}

TEST(Config, APipeOfWindowsIsAWarning) {
  const LoadedConfig loaded = good("dogstatsd_pipe_name: datadog-dogstatsd");
  ASSERT_EQ(loaded.warnings.size(), 1u);
  EXPECT_THAT(loaded.warnings[0],
              HasSubstr("dogstatsd_pipe_name = \"datadog-dogstatsd\": is not an"));
}

TEST(Config, ListenersFollowTheAgentsRules) {
  struct Case {
    const char* text;
    std::vector<std::string> addresses;
  };
  const Case cases[] = {
      {"", {"/var/run/datadog/dsd.socket", "localhost:8125"}},
      {"dogstatsd_socket: ''", {"localhost:8125"}},
      {"{dogstatsd_socket: '', dogstatsd_port: 0}", {}},
      {"{dogstatsd_socket: /a, dogstatsd_port: __random__}", {"/a", "localhost:0"}},
      {"{dogstatsd_socket: '', dogstatsd_port: -1}", {}},
      {"{dogstatsd_socket: '', dogstatsd_port: eight}", {}},
      {"{dogstatsd_socket: '', dogstatsd_non_local_traffic: true}", {"[::]:8125"}},
      {"{dogstatsd_socket: '', dogstatsd_non_local_traffic: true, bind_host: h}", {"[::]:8125"}},
      {"{dogstatsd_socket: '', penstock: {listeners: {udp: {sockets: 2}}}}",
       {"localhost:8125", "localhost:8125"}},
      {"{dogstatsd_socket: '', bind_host: 10.0.0.1}", {"10.0.0.1:8125"}},
      {"use_dogstatsd: false", {}},
      {"{dogstatsd_socket: /a, dogstatsd_stream_socket: /b, dogstatsd_port: 1, "
       "dogstatsd_pipe_name: /c}",
       {"/a", "/b", "localhost:1", "/c"}},
      {"{dogstatsd_socket: '', dogstatsd_port: 0, dogstatsd_pipe_name: datadog-dogstatsd}", {}},
  };
  for (const Case& c : cases) {
    std::vector<std::string> addresses;
    for (const ListenerSpec& spec : configured_listeners(good(c.text).config)) {
      addresses.push_back(spec.address);
    }
    EXPECT_EQ(addresses, c.addresses) << c.text;
  }
}

}  // namespace
}  // namespace penstock

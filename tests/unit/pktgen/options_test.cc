#include "tools/pktgen/options.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace penstock::pktgen {
namespace {

using Words = std::vector<std::string>;

absl::StatusOr<Options> parse(Words words) {
  words.insert(words.begin(), "penstock-pktgen");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  return parse_options(static_cast<int>(words.size()), argv.data());
}

// Parsed, and of the right size to be made.
absl::Status accept(const Words& words) {
  const absl::StatusOr<Options> options = parse(words);
  if (!options.ok() || options->help || !options->verify.empty()) return options.status();
  if (!options->dpdk.empty() || !options->pcap.empty()) {
    const auto frames =
        FrameMaker::to(options->dpdk.empty() ? "pcap-to" : "dpdk-to", options->wire);
    if (!frames.ok()) return frames.status();
  }
  return Deck::make(options->traffic).status();
}

const Words kUdp = {"--udp", "h:1"};
Words udp(const Words& more) {
  Words words = kUdp;
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

struct Good {
  Words words;
  std::function<bool(const Options&)> set;
};

const std::vector<Good>& good() {
  using O = const Options&;
  static const std::vector<Good> all = {
      {{"--udp", "[::1]:8125"}, [](O o) { return o.udp == "[::1]:8125" && o.run.seconds == 10; }},
      {{"--uds", "/s"}, [](O o) { return o.uds == "/s"; }},
      {{"--uds-stream", "/s"}, [](O o) { return o.uds_stream == "/s"; }},
      {{"--pipe", "/p"}, [](O o) { return o.pipe == "/p"; }},
      {{"--dpdk", "net_null0"},
       [](O o) { return o.dpdk == "net_null0" && o.wire.to == "10.0.0.2:8125"; }},
      {{"--dpdk", "net_null0", "--dpdk-to", "[fd00::2]:1"},
       [](O o) { return o.wire.to == "[fd00::2]:1"; }},
      {{"--pcap", "f"},
       [](O o) { return o.pcap == "f" && o.run.packets == 100'000 && o.run.seconds == 0; }},
      {{"--pcap", "f", "--pcap-to", "10.0.0.9:1"}, [](O o) { return o.wire.to == "10.0.0.9:1"; }},
      {{"--jsonl", "f"}, [](O o) { return o.jsonl == "f" && o.to_file(); }},
      {udp({"--flows", "1024"}), [](O o) { return o.wire.flows == 1024; }},
      {{"--dpdk", "d", "--flows", "65536", "--source-ports", "45535"},
       [](O o) { return o.wire.flows == 65536 && o.wire.source_ports == 45535; }},
      {udp({"--senders", "64"}), [](O o) { return o.senders == 64; }},
      {udp({"--profile", "small"}), [](O o) { return o.traffic.contexts == 1000; }},
      {udp({"--profile", "typical"}), [](O o) { return o.traffic.contexts == 10'000; }},
      {udp({"--tags", "2", "--profile", "long"}),
       [](O o) { return o.traffic.contexts == 3000 && o.traffic.tags == Range(2); }},
      {udp({"--contexts", "1"}), [](O o) { return o.traffic.contexts == 1; }},
      {udp({"--contexts-per-name", "1296"}),
       [](O o) { return o.traffic.contexts_per_name == 1296; }},
      {udp({"--lines-per-packet", "3"}), [](O o) { return o.traffic.lines_per_packet == 3; }},
      {udp({"--packet-bytes", "65507"}), [](O o) { return o.traffic.packet_bytes == 65507; }},
      {udp({"--mix", "c=60,s=40"}),
       [](O o) {
         return o.traffic.mix == std::array<uint32_t, 5>{60, 0, 0, 0, 40};
       }},
      {udp({"--name-bytes", "30-40"}), [](O o) { return o.traffic.name_bytes == Range(30, 40); }},
      {udp({"--tags", "2-4"}), [](O o) { return o.traffic.tags == Range(2, 4); }},
      {udp({"--tag-bytes", "9"}), [](O o) { return o.traffic.tag_bytes == Range(9); }},
      {udp({"--packed", "100"}), [](O o) { return o.traffic.packed == 100; }},
      {udp({"--packed-values", "7"}), [](O o) { return o.traffic.packed_values == Range(7); }},
      {udp({"--sampled", "12.5"}), [](O o) { return o.traffic.sampled == 12.5; }},
      {udp({"--sample-rate", "0.1"}), [](O o) { return o.traffic.sample_rate == 0.1; }},
      {udp({"--malformed", "90"}), [](O o) { return o.traffic.malformed == 90; }},
      {udp({"--prefix", ""}), [](O o) { return o.traffic.prefix.empty(); }},
      {udp({"--seed", "18446744073709551615"}), [](O o) { return o.traffic.seed == UINT64_MAX; }},
      {udp({"--rate", "5-2e3", "--seconds", "1"}),
       [](O o) { return o.run.rate.from == 5 && o.run.rate.to == 2000 && !o.run.in_lines; }},
      {udp({"--line-rate", "500"}), [](O o) { return o.run.rate.from == 500 && o.run.in_lines; }},
      {udp({"--seconds", "0.5"}), [](O o) { return o.run.seconds == 0.5; }},
      {udp({"--packets", "7"}), [](O o) { return o.run.packets == 7 && o.run.seconds == 0; }},
      {udp({"--progress"}), [](O o) { return o.run.progress; }},
      {{"--verify", "v", "--report", "a", "--report", "b"},
       [](O o) {
         return o.verify == "v" && o.reports == Words{"a", "b"};
       }},
      {{"--help", "--udp", "x", "--uds", "y"}, [](O o) { return o.help; }},
      {{"-h"}, [](O o) { return o.help; }},
  };
  return all;
}

struct Bad {
  Words words;
  std::string message;
};

const std::vector<Bad>& bad() {
  static const std::string kOutputs =
      "give one of --udp, --uds, --uds-stream, --pipe, --dpdk, --pcap, --jsonl or --verify; see "
      "--help";
  static const std::vector<Bad> all = {
      {{}, kOutputs},
      {{"--udp", "a:1", "--uds", "b"}, kOutputs},
      {{"--udp", ""}, kOutputs},
      {{"--udb", "h:1"}, "see --help"},
      {{"--udp"}, "see --help"},
      {udp({"more"}), "\"more\": not an option; see --help"},
      {udp({"--progress=1"}), "see --help"},
      {udp({"--flows", "0"}), "--flows 0: must be from 1 to 1024 sockets"},
      {udp({"--flows", "1025"}), "--flows 1025: must be from 1 to 1024 sockets"},
      {{"--dpdk", "d", "--flows", "65537"}, "--flows 65537: must be from 1 to 65536"},
      {udp({"--flows", "x"}), "--flows \"x\": must be a number from 0 to 4294967295"},
      {{"--dpdk", "d", "--source-ports", "45536"}, "--source-ports 45536: must be from 1 to 45535"},
      {udp({"--source-ports", "5"}),
       "--source-ports: the kernel chooses those of sockets; leave it out, and give --flows"},
      {udp({"--senders", "0"}), "--senders 0: must be from 1 to 64"},
      {udp({"--senders", "65"}), "--senders 65: must be from 1 to 64"},
      {{"--pipe", "p", "--senders", "2"},
       "--senders 2: a file or pipe has one writer; leave it out"},
      {udp({"--profile", "big"}), "--profile \"big\": must be small, typical, many or long"},
      {udp({"--contexts", "0"}), "--contexts 0: must be from 1 to 20000000"},
      {udp({"--contexts", "20000001"}), "--contexts 20000001: must be from 1 to 20000000"},
      {udp({"--contexts", "5000000000"}),
       "--contexts \"5000000000\": must be a number from 0 to 4294967295"},
      {udp({"--contexts-per-name", "1297"}), "--contexts-per-name 1297: must be from 1 to 1296"},
      {udp({"--packet-bytes", "15"}), "--packet-bytes 15: must be from 16 to 65507"},
      {udp({"--packet-bytes", "65508"}), "--packet-bytes 65508: must be from 16 to 65507"},
      {udp({"--packet-bytes", "40"}),
       "--packet-bytes 40: a line is 102 bytes; raise it, or lower --tags, --tag-bytes, "
       "--name-bytes or --packed-values"},
      {udp({"--mix", "c=60"}), "--mix: the percentages must add up to 100"},
      {udp({"--mix", "x=100"}),
       "--mix \"x=100\": must be types and percentages, c=50,g=20,h=15,d=10,s=5"},
      {udp({"--name-bytes", "1025"}),
       "--name-bytes 1025: must be from 1 to 1024, or a range within that: 10-20"},
      {udp({"--name-bytes", "9-x"}),
       "--name-bytes \"9-x\": must be a number, 0 or more, or two of them: 10-20"},
      {udp({"--tags", "65"}), "--tags 65: must be from 0 to 64, or a range within that: 10-20"},
      {udp({"--tags", "5-2"}), "--tags 5-2: must be from 0 to 64, or a range within that: 10-20"},
      {udp({"--tag-bytes", "2"}),
       "--tag-bytes 2: must be from 3 to 1024, or a range within that: 10-20"},
      {udp({"--tag-bytes", "3"}),
       "--tag-bytes 3: the tag that tells contexts apart needs 4; raise it, or give a range"},
      {udp({"--packed", "101"}), "--packed 101: must be from 0 to 100"},
      {udp({"--packed-values", "1001"}),
       "--packed-values 1001: must be from 1 to 1000, or a range within that: 10-20"},
      {udp({"--sampled", "101"}), "--sampled 101: must be from 0 to 100"},
      {udp({"--sampled=-1"}), "--sampled \"-1\": must be a number, 0 or more"},
      {udp({"--sample-rate", "0.3"}),
       "--sample-rate 0.3: must be 1/n, such as 0.5, 0.1 or 0.001, so that sums stay whole"},
      {udp({"--malformed", "91"}), "--malformed 91: must be from 0 to 90"},
      {udp({"--prefix", "a:b"}), "--prefix \"a:b\": must be a metric name without any of : | # @"},
      {udp({"--seed", "x"}), "--seed \"x\": must be a number from 0 to 18446744073709551615"},
      {udp({"--rate", "fast"}),
       "--rate \"fast\": must be a number, 0 or more, or two of them: 10-20"},
      {udp({"--rate", "5", "--line-rate", "5"}), "--rate and --line-rate: give one of them"},
      {udp({"--rate", "1-5", "--packets", "5"}), "--rate N-M: a ramp takes a time; give --seconds"},
      {{"--pcap", "f", "--rate", "0.5"},
       "--pcap, --jsonl: a file is not sent; give --packets, and --rate from 1 to 1000000000 for "
       "the times of its records, no ramp, --line-rate or --seconds"},
      {{"--pcap", "f", "--seconds", "5"},
       "--pcap, --jsonl: a file is not sent; give --packets, and --rate from 1 to 1000000000 for "
       "the times of its records, no ramp, --line-rate or --seconds"},
      {udp({"--seconds", "nan"}), "--seconds \"nan\": must be a number, 0 or more"},
      {udp({"--packets", "-1"}),
       "--packets \"-1\": must be a number from 0 to 18446744073709551615"},
      {udp({"--lines-per-packet", "x"}),
       "--lines-per-packet \"x\": must be a number from 0 to 4294967295"},
      {{"--verify", "v"}, "--verify: give what was sent with --report FILE"},
      {udp({"--report", "r"}), "--report: belongs to --verify; give that, or leave it out"},
      {udp({"--dpdk-to", "1.1.1.1:1"}), "--dpdk-to: belongs to --dpdk; give that, or leave it out"},
      {{"--jsonl", "j", "--pcap-to", "1.1.1.1:1"},
       "--pcap-to: belongs to --pcap; give that, or leave it out"},
      {{"--pcap", "zz.pcap", "--pcap-to", "x"},
       "--pcap-to \"x\": must be an IP address and a port, 10.0.0.2:8125 or [fd00::2]:8125"},
      {udp({"--line-rate", "x"}),
       "--line-rate \"x\": must be a number, 0 or more, or two of them: 10-20"},
  };
  return all;
}

TEST(PktgenOptions, EachIsTaken) {
  for (const Good& g : good()) {
    const std::string shown = ::testing::PrintToString(g.words);
    const auto options = parse(g.words);
    ASSERT_TRUE(options.ok()) << shown << ": " << options.status();
    EXPECT_TRUE(g.set(*options)) << shown;
    EXPECT_TRUE(accept(g.words).ok()) << shown << ": " << accept(g.words);
  }
}

TEST(PktgenOptions, AWrongOneIsNamedWithItsValueAndWhatToDo) {
  for (const Bad& b : bad()) {
    EXPECT_EQ(accept(b.words).message(), b.message) << ::testing::PrintToString(b.words);
  }
}

// The words of the help that begin an option's line.
std::set<std::string> options_in_help() {
  std::set<std::string> found;
  const std::string help = kHelp;
  for (size_t at = 0; (at = help.find("\n  ", at)) != std::string::npos; ++at) {
    std::string line = help.substr(at + 3, help.find('\n', at + 3) - at - 3);
    if (line.starts_with("-h, ")) line.erase(0, 4);
    if (line.starts_with("--")) found.insert(line.substr(0, line.find(' ')));
  }
  return found;
}

TEST(PktgenOptions, HelpNamesEachAndNoOther) {
  std::set<std::string> taken;
  for (const Good& g : good()) {
    for (const std::string& word : g.words) {
      if (word.starts_with("--")) taken.insert(word);
    }
  }
  EXPECT_EQ(options_in_help(), taken);
}

}  // namespace
}  // namespace penstock::pktgen

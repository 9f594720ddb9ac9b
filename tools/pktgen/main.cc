// penstock-pktgen: deterministic DogStatsD traffic, and the sums it must lead to.

#include <getopt.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "dataplane/base/fd.h"
#include "dataplane/base/strings.h"
#include "tools/pktgen/output.h"
#include "tools/pktgen/run.h"
#include "tools/pktgen/traffic.h"
#include "tools/pktgen/verify.h"

namespace penstock::pktgen {
namespace {

constexpr int kExitOk = 0;
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

constexpr const char* kHelp =
    R"(usage: penstock-pktgen (--udp HOST:PORT | --uds PATH | --uds-stream PATH | --pipe PATH | --pcap FILE)
                       [options]
       penstock-pktgen --verify OUTPUT --report REPORT [--report REPORT ...]

Sends DogStatsD packets that follow from the options alone, and prints one JSON object: what was
sent, with the sum of every counter. Interrupted, it still prints it.

where to:
  --udp HOST:PORT        kernel UDP, a socket for each flow
  --uds PATH             Unix datagram socket; waits while the receiver is full
  --uds-stream PATH      Unix stream socket, a connection for each flow; waits likewise
  --pipe PATH            named pipe; waits likewise, and ends each packet with a line feed
  --dpdk DEVICE          a DPDK port: PCI address or vdev, such as
                         net_memif0,role=client,socket=/run/m.sock,socket-abstract=no
  --dpdk-to ADDR:PORT    destination of its frames (10.0.0.2:8125)
  --pcap FILE            a capture file of Ethernet, IPv4 and UDP
  --pcap-to ADDR:PORT    destination in the capture (10.0.0.2:8125)
what:
  --profile NAME         small: one untagged counter a packet, 1000 contexts
                         typical (default): 1432-byte packets of about 12 lines with 5 tags,
                         10000 contexts, 50 % c, 20 % g, 15 % h, 10 % d, 5 % s
                         many: as typical, 1 million contexts
                         long: names of 1 to 200 bytes, 2 to 50 tags of 3 to 150, 8 % packed with 2
                         to 32 values, 3000 contexts; packets of 8192 bytes
  --contexts N           distinct (name, tags)
  --lines-per-packet N   most lines in a packet; 0: as many as fit
  --packet-bytes N       most bytes in a packet
  --tags N               tags on each line; with 0 each context is a name of its own
  --prefix NAME          metric names start with this (pktgen)
  --seed N               another seed, other traffic (1)
  --flows N              sockets or source ports, 1 to 1024 (16)
how much:
  --rate N               packets a second; 0: flat out (0)
  --seconds S            how long (10, unless --packets is given)
  --packets N            how many (with --pcap 100000)
checking:
  --verify OUTPUT        compare a JSON-lines output with what was sent, and send nothing
  --report REPORT        what an earlier run printed; repeat for several runs

Exit codes: 0 done, or sums equal; 1 failed, or sums differ; 2 usage.
)";

struct Options {
  TrafficOptions traffic;
  RunOptions run;
  uint32_t flows = 16;
  std::string udp, uds, uds_stream, pipe, dpdk, pcap, verify;
  std::string dpdk_to = "10.0.0.2:8125";
  std::string pcap_to = "10.0.0.2:8125";
  std::vector<std::string> reports;
};

std::atomic<bool> stop_requested{false};

void on_signal(int) { stop_requested.store(true); }

template <class T>
absl::Status parse_number(std::string_view option, std::string_view text, T& out) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0)
    return absl::InvalidArgumentError(
        cat("--", option, " \"", text, "\": must be a number, 0 or more"));
  out = value;
  return absl::OkStatus();
}

// "N" or "N-M".
absl::Status parse_range(std::string_view option, std::string_view text, Range& out) {
  const size_t dash = text.find('-');
  RETURN_IF_ERROR(parse_number(option, text.substr(0, dash), out.min));
  if (dash == std::string_view::npos) return out.max = out.min, absl::OkStatus();
  return parse_number(option, text.substr(dash + 1), out.max);
}

absl::Status set_option(std::string_view name, const char* value, Options& o) {
  if (name == "udp") return o.udp = value, absl::OkStatus();
  if (name == "uds") return o.uds = value, absl::OkStatus();
  if (name == "dpdk") return o.dpdk = value, absl::OkStatus();
  if (name == "dpdk-to") return o.dpdk_to = value, absl::OkStatus();
  if (name == "uds-stream") return o.uds_stream = value, absl::OkStatus();
  if (name == "pipe") return o.pipe = value, absl::OkStatus();
  if (name == "pcap") return o.pcap = value, absl::OkStatus();
  if (name == "pcap-to") return o.pcap_to = value, absl::OkStatus();
  if (name == "verify") return o.verify = value, absl::OkStatus();
  if (name == "report") return o.reports.emplace_back(value), absl::OkStatus();
  if (name == "prefix") return o.traffic.prefix = value, absl::OkStatus();
  if (name == "contexts") return parse_number(name, value, o.traffic.contexts);
  if (name == "lines-per-packet") return parse_number(name, value, o.traffic.lines_per_packet);
  if (name == "packet-bytes") return parse_number(name, value, o.traffic.packet_bytes);
  if (name == "tags") return parse_range(name, value, o.traffic.tags);
  if (name == "seed") return parse_number(name, value, o.traffic.seed);
  if (name == "flows") return parse_number(name, value, o.flows);
  if (name == "rate") return parse_number(name, value, o.run.rate);
  if (name == "seconds") return parse_number(name, value, o.run.seconds);
  if (name == "packets") return parse_number(name, value, o.run.packets);
  return absl::OkStatus();  // profile, taken before the rest
}

absl::Status check(const Options& o) {
  if (!o.verify.empty())
    return o.reports.empty()
               ? absl::InvalidArgumentError("--verify: give what was sent with --report FILE")
               : absl::OkStatus();
  const int outputs = !o.udp.empty() + !o.uds.empty() + !o.uds_stream.empty() + !o.pipe.empty() +
                      !o.dpdk.empty() + !o.pcap.empty();
  if (outputs != 1)
    return absl::InvalidArgumentError(
        "give one of --udp, --uds, --uds-stream, --pipe, --dpdk, --pcap or --verify; see --help");
  if (o.flows < 1 || o.flows > 1024)
    return absl::InvalidArgumentError(cat("--flows ", o.flows, ": must be from 1 to 1024"));
  if (!o.pcap.empty() && (o.run.seconds > 0 || o.run.rate > 0))
    return absl::InvalidArgumentError("--pcap: a file has no pace; give --packets, no --rate");
  return absl::OkStatus();
}

absl::StatusOr<Options> parse(int argc, char** argv) {
  static constexpr std::array<const char*, 21> kNames = {"uds-stream",
                                                         "pipe",
                                                         "udp",
                                                         "uds",
                                                         "dpdk",
                                                         "dpdk-to",
                                                         "pcap",
                                                         "pcap-to",
                                                         "profile",
                                                         "contexts",
                                                         "lines-per-packet",
                                                         "packet-bytes",
                                                         "tags",
                                                         "prefix",
                                                         "seed",
                                                         "flows",
                                                         "rate",
                                                         "seconds",
                                                         "packets",
                                                         "verify",
                                                         "report"};
  std::array<option, kNames.size() + 2> longs{};
  for (size_t i = 0; i < kNames.size(); ++i) longs[i] = {kNames[i], required_argument, nullptr, 0};
  longs[kNames.size()] = {"help", no_argument, nullptr, 'h'};

  Options out;
  std::vector<std::pair<std::string_view, const char*>> given;
  int index = 0;
  for (int c; (c = ::getopt_long(argc, argv, "h", longs.data(), &index)) != -1;) {
    if (c == 'h') {
      std::fputs(kHelp, stdout);
      std::exit(kExitOk);
    }
    if (c != 0) return absl::InvalidArgumentError("see --help");
    given.emplace_back(kNames[index], optarg);
  }
  if (optind < argc)
    return absl::InvalidArgumentError(cat("\"", argv[optind], "\": not an option; see --help"));
  for (const auto& [name, value] : given) {
    if (name == "profile") {
      ASSIGN_OR_RETURN(out.traffic, profile(value));
    }
  }
  for (const auto& [name, value] : given) RETURN_IF_ERROR(set_option(name, value, out));
  RETURN_IF_ERROR(check(out));
  if (out.run.packets == 0 && !out.pcap.empty()) out.run.packets = 100'000;
  if (out.run.packets == 0 && out.run.seconds == 0) out.run.seconds = 10;
  return out;
}

absl::StatusOr<std::unique_ptr<Output>> open_output(const Options& o, const Deck& deck) {
  if (!o.udp.empty()) return open_udp(o.udp, o.flows);
  if (!o.uds.empty()) return open_uds(o.uds, o.flows);
  if (!o.dpdk.empty()) return open_dpdk(o.dpdk, o.dpdk_to, o.flows, deck.size());
  if (!o.uds_stream.empty()) return open_uds_stream(o.uds_stream, o.flows);
  if (!o.pipe.empty()) return open_pipe(o.pipe);
  return open_pcap(o.pcap, o.pcap_to, o.flows);
}

absl::Status send(const Options& o) {
  ASSIGN_OR_RETURN(const Deck deck, Deck::make(o.traffic));
  ASSIGN_OR_RETURN(const std::unique_ptr<Output> output, open_output(o, deck));
  RunOptions options = o.run;
  options.progress = ::isatty(STDERR_FILENO) == 1;
  const RunResult result = run(deck, *output, options, stop_requested);
  std::puts(report_json(deck, result).c_str());
  if (result.refused > 0)
    std::fprintf(stderr, "penstock-pktgen: %s: nobody listens; the kernel said so %llu times\n",
                 o.udp.c_str(), static_cast<unsigned long long>(result.refused));
  return result.status;
}

absl::Status verify(const Options& o) {
  Sums sums;
  for (const std::string& path : o.reports) {
    std::ifstream report(path);
    if (!report) return errno_status(errno, cat("--report ", std::string_view(path)));
    if (const absl::Status added = add_report(report, sums); !added.ok())
      return absl::InvalidArgumentError(
          cat("--report ", std::string_view(path), ": ", added.message()));
  }
  std::ifstream output(o.verify);
  if (!output) return errno_status(errno, cat("--verify ", std::string_view(o.verify)));
  ASSIGN_OR_RETURN(const std::vector<std::string> found, differences(output, sums));
  for (const std::string& difference : found) std::puts(difference.c_str());
  if (!found.empty())
    return absl::DataLossError(cat(found.size(), " of ", sums.size(), " counters differ"));
  std::printf("%zu counters equal what was sent\n", sums.size());
  return absl::OkStatus();
}

int fail(const absl::Status& status, int code) {
  std::fprintf(stderr, "penstock-pktgen: %s\n", std::string(status.message()).c_str());
  return code;
}

int main(int argc, char** argv) {
  const auto options = parse(argc, argv);
  if (!options.ok()) return fail(options.status(), kExitUsage);
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  std::signal(SIGPIPE, SIG_IGN);
  const absl::Status done = options->verify.empty() ? send(*options) : verify(*options);
  if (done.ok()) return kExitOk;
  return fail(done, absl::IsInvalidArgument(done) ? kExitUsage : kExitFailed);
}

}  // namespace
}  // namespace penstock::pktgen

int main(int argc, char** argv) { return penstock::pktgen::main(argc, argv); }

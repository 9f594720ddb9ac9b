#include "tools/pktgen/options.h"

#include <getopt.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>
#include <variant>

#include "dataplane/base/strings.h"

namespace penstock::pktgen {

const char* const kHelp =
    R"(usage: penstock-pktgen (--udp HOST:PORT | --uds PATH | --uds-stream PATH | --pipe PATH | --dpdk DEVICE |
                        --pcap FILE | --jsonl FILE) [options]
       penstock-pktgen --verify OUTPUT --report REPORT [--report REPORT ...]

Sends DogStatsD packets that follow from the options alone, and prints one JSON object: what was
sent, with the sum of every counter. Interrupted, it still prints it.

where to:
  --udp HOST:PORT          kernel UDP, a socket for each flow; [ADDRESS]:PORT for IPv6
  --uds PATH               Unix datagram socket; waits while the receiver is full
  --uds-stream PATH        Unix stream socket, a connection for each flow; waits likewise
  --pipe PATH              named pipe; waits likewise, and ends each packet with a line feed
  --dpdk DEVICE            a DPDK port: PCI address or vdev, such as
                           net_memif0,role=client,socket=/run/m.sock,socket-abstract=no
  --dpdk-to ADDR:PORT      destination of its frames (10.0.0.2:8125); [ADDR]:PORT for IPv6
  --pcap FILE              a capture file of Ethernet, IPv4 or IPv6, and UDP
  --pcap-to ADDR:PORT      destination in the capture, likewise
  --jsonl FILE             JSON lines for penstock-replay
  --flows N                sockets or connections, 1 to 1024; in frames source addresses and ports,
                           1 to 65536 (16)
  --source-ports N         source ports in frames, 1 to 45535; more flows than that have further
                           source addresses (one for each flow)
  --senders N              threads, 1 to 64, with --udp, --uds, --uds-stream or --dpdk; each has
                           flows or a transmit queue of its own (1)
what:
  --profile NAME           small: one untagged counter a packet, 1000 contexts
                           typical (default): 1432-byte packets of about 12 lines with 5 tags,
                           10000 contexts, 50 % c, 20 % g, 15 % h, 10 % d, 5 % s
                           many: as typical, 1 million contexts
                           long: names of 1 to 200 bytes, 2 to 50 tags of 3 to 150, 8 % packed
                           with 2 to 32 values, 3000 contexts, no prefix; packets of 8192 bytes
  --contexts N             distinct (name, tags), 1 to 20000000
  --contexts-per-name N    1 to 1296 (100; long: 10)
  --lines-per-packet N     most lines in a packet; 0: as many as fit
  --packet-bytes N         most bytes in a packet, 16 to 65507
  --mix c=N,g=N,...        percent of contexts of each type c, g, h, d, s; what is not named has none
  --name-bytes N[-M]       length of names, prefix included, to 1024; 0: words
  --tags N[-M]             tags on a line, to 64; from 0, each context is a name of its own
  --tag-bytes N[-M]        length of a tag, 3 to 1024; 0: words
  --packed PERCENT         lines with several values, of those with c, g, h, d (2)
  --packed-values N[-M]    how many these have, 1 to 1000 (2)
  --sampled PERCENT        lines with a sample rate, of those with c, h, d (6)
  --sample-rate R          that rate: 1/n, such as 0.5 or 0.1, from 0.001 (0.5)
  --malformed PERCENT      lines that a server must reject, of all; to 90 (0)
  --prefix NAME            metric names start with this and a dot (pktgen); "": nothing
  --seed N                 another seed, other traffic (1)
how much:
  --rate N[-M]             packets a second, or a ramp from N to M over --seconds; 0: flat out (0).
                           In a file, the distance of its records (1000000)
  --line-rate N[-M]        the same in lines a second
  --seconds S              how long (10, unless --packets is given)
  --packets N              how many (in a file 100000)
  --progress               a line on standard error each second, also if that is no terminal
checking:
  --verify OUTPUT          compare a JSON-lines output with what was sent, and send nothing
  --report REPORT          what an earlier run printed; repeat for several runs
  -h, --help               this text

Exit codes: 0 done, or sums equal; 1 failed, or sums differ; 2 usage.
)";

namespace {

using Mix = std::array<uint32_t, kTypes.size()>;

absl::Status bad(std::string_view option, std::string_view text, std::string_view must) {
  return absl::InvalidArgumentError(cat("--", option, " \"", text, "\": must be ", must));
}

template <class T>
bool read(std::string_view text, T& out) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= T{0})) return false;
  if constexpr (std::is_floating_point_v<T>) {
    if (!std::isfinite(value)) return false;
  }
  out = value;
  return true;
}

absl::Status parse(std::string_view option, std::string_view text, bool& out) {
  return text.empty() ? (out = true, absl::OkStatus()) : bad(option, text, "given without a value");
}
absl::Status parse(std::string_view, std::string_view text, std::string& out) {
  return out = text, absl::OkStatus();
}
absl::Status parse(std::string_view, std::string_view text, std::vector<std::string>& out) {
  return out.emplace_back(text), absl::OkStatus();
}
template <class T>
absl::Status parse(std::string_view option, std::string_view text, T& out) {
  if (read(text, out)) return absl::OkStatus();
  if constexpr (std::is_floating_point_v<T>) return bad(option, text, "a number, 0 or more");
  return bad(option, text, cat("a number from 0 to ", std::numeric_limits<T>::max()));
}

// "N" or "N-M".
template <class T>
absl::Status parse_pair(std::string_view option, std::string_view text, T& first, T& last) {
  const size_t dash = text.find('-');
  const std::string_view second = dash == std::string_view::npos ? text : text.substr(dash + 1);
  if (read(text.substr(0, dash), first) && read(second, last)) return absl::OkStatus();
  return bad(option, text, "a number, 0 or more, or two of them: 10-20");
}
absl::Status parse(std::string_view option, std::string_view text, Range& out) {
  return parse_pair(option, text, out.min, out.max);
}
absl::Status parse(std::string_view option, std::string_view text, Pace& out) {
  return parse_pair(option, text, out.from, out.to);
}

// "c=50,g=50".
absl::Status parse(std::string_view option, std::string_view text, Mix& out) {
  out = {};
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view piece = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(piece.size() + 1, rest.size()));
    const auto* const type = std::ranges::find(kTypes, piece.substr(0, piece.find('=')));
    if (type == kTypes.end() || piece.size() < 3 ||
        !read(piece.substr(2), out[type - kTypes.begin()]))
      return bad(option, text, "types and percentages, c=50,g=20,h=15,d=10,s=5");
  }
  return absl::OkStatus();
}

// What the options set, but for the profile.
struct Given {
  Options options;
  Pace line_rate = 0;
  std::string dpdk_to, pcap_to;
};

using Target = std::variant<bool*, std::string*, std::vector<std::string>*, uint32_t*, uint64_t*,
                            double*, Range*, Pace*, Mix*>;

std::map<std::string_view, Target> targets(Given& given) {
  Options& o = given.options;
  TrafficOptions& t = o.traffic;
  return {{"udp", &o.udp},
          {"uds", &o.uds},
          {"uds-stream", &o.uds_stream},
          {"pipe", &o.pipe},
          {"dpdk", &o.dpdk},
          {"dpdk-to", &given.dpdk_to},
          {"pcap", &o.pcap},
          {"pcap-to", &given.pcap_to},
          {"jsonl", &o.jsonl},
          {"flows", &o.wire.flows},
          {"source-ports", &o.wire.source_ports},
          {"senders", &o.senders},
          {"contexts", &t.contexts},
          {"contexts-per-name", &t.contexts_per_name},
          {"lines-per-packet", &t.lines_per_packet},
          {"packet-bytes", &t.packet_bytes},
          {"mix", &t.mix},
          {"name-bytes", &t.name_bytes},
          {"tags", &t.tags},
          {"tag-bytes", &t.tag_bytes},
          {"packed", &t.packed},
          {"packed-values", &t.packed_values},
          {"sampled", &t.sampled},
          {"sample-rate", &t.sample_rate},
          {"malformed", &t.malformed},
          {"prefix", &t.prefix},
          {"seed", &t.seed},
          {"rate", &o.run.rate},
          {"line-rate", &given.line_rate},
          {"seconds", &o.run.seconds},
          {"packets", &o.run.packets},
          {"progress", &o.run.progress},
          {"help", &o.help},
          {"verify", &o.verify},
          {"report", &o.reports}};
}

absl::Status check_flows(const Options& o) {
  const bool frames = !o.dpdk.empty() || o.to_file();
  const uint32_t most = frames ? 65536 : 1024;
  if (o.wire.flows < 1 || o.wire.flows > most)
    return absl::InvalidArgumentError(
        cat("--flows ", o.wire.flows, ": must be from 1 to ", most, frames ? "" : " sockets"));
  if (o.wire.source_ports > 45535)
    return absl::InvalidArgumentError(
        cat("--source-ports ", o.wire.source_ports, ": must be from 1 to 45535"));
  if (o.wire.source_ports != 0 && !frames)
    return absl::InvalidArgumentError(
        "--source-ports: the kernel chooses those of sockets; leave it out, and give --flows");
  if (o.senders < 1 || o.senders > 64)
    return absl::InvalidArgumentError(cat("--senders ", o.senders, ": must be from 1 to 64"));
  if (o.senders > 1 && (!o.pipe.empty() || o.to_file()))
    return absl::InvalidArgumentError(
        cat("--senders ", o.senders, ": a file or pipe has one writer; leave it out"));
  return absl::OkStatus();
}

absl::Status check_pace(const Given& given) {
  const RunOptions& run = given.options.run;
  if (!run.rate.flat_out() && !given.line_rate.flat_out())
    return absl::InvalidArgumentError("--rate and --line-rate: give one of them");
  if ((run.rate.ramp() || given.line_rate.ramp()) && run.seconds == 0 && run.packets != 0)
    return absl::InvalidArgumentError("--rate N-M: a ramp takes a time; give --seconds");
  if (given.options.to_file() &&
      (run.seconds > 0 || run.rate.ramp() || !given.line_rate.flat_out() ||
       (run.rate.from != 0 && (run.rate.from < 1 || run.rate.from > 1e9))))
    return absl::InvalidArgumentError(
        "--pcap, --jsonl: a file is not sent; give --packets, and --rate from 1 to 1000000000 for "
        "the times of its records, no ramp, --line-rate or --seconds");
  return absl::OkStatus();
}

// What belongs to another option that is not there would do nothing.
absl::Status check_company(const Given& given) {
  const Options& o = given.options;
  for (const auto& [option, lonely, company] :
       {std::tuple{"dpdk-to", !given.dpdk_to.empty() && o.dpdk.empty(), "dpdk"},
        std::tuple{"pcap-to", !given.pcap_to.empty() && o.pcap.empty(), "pcap"},
        std::tuple{"report", !o.reports.empty() && o.verify.empty(), "verify"}}) {
    if (lonely)
      return absl::InvalidArgumentError(
          cat("--", option, ": belongs to --", company, "; give that, or leave it out"));
  }
  return absl::OkStatus();
}

absl::Status check(const Given& given) {
  const Options& o = given.options;
  RETURN_IF_ERROR(check_company(given));
  if (!o.verify.empty())
    return o.reports.empty()
               ? absl::InvalidArgumentError("--verify: give what was sent with --report FILE")
               : absl::OkStatus();
  const int outputs = !o.udp.empty() + !o.uds.empty() + !o.uds_stream.empty() + !o.pipe.empty() +
                      !o.dpdk.empty() + !o.pcap.empty() + !o.jsonl.empty();
  if (outputs != 1)
    return absl::InvalidArgumentError(
        "give one of --udp, --uds, --uds-stream, --pipe, --dpdk, --pcap, --jsonl or --verify; see "
        "--help");
  RETURN_IF_ERROR(check_flows(o));
  return check_pace(given);
}

void complete(Given& given) {
  Options& o = given.options;
  const std::string& to = o.dpdk.empty() ? given.pcap_to : given.dpdk_to;
  if (!to.empty()) o.wire.to = to;
  if (!given.line_rate.flat_out()) {
    o.run.rate = given.line_rate;
    o.run.in_lines = true;
  }
  if (o.run.packets == 0 && o.to_file()) o.run.packets = 100'000;
  if (o.run.packets == 0 && o.run.seconds == 0) o.run.seconds = 10;
}

}  // namespace

absl::StatusOr<Options> parse_options(int argc, char** argv) {
  Given out;
  const auto known = targets(out);
  std::vector<option> longs = {{"profile", required_argument, nullptr, 0}};
  for (const auto& [name, target] : known) {
    const bool flag = std::holds_alternative<bool*>(target);
    longs.push_back({name.data(), flag ? no_argument : required_argument, nullptr, 0});
  }
  longs.push_back({});

  std::vector<std::pair<std::string_view, std::string_view>> given;
  optind = 0;  // begin anew
  int index = 0;
  for (int c; (c = ::getopt_long(argc, argv, "h", longs.data(), &index)) != -1;) {
    if (c == '?') return absl::InvalidArgumentError("see --help");
    given.emplace_back(c == 'h' ? "help" : longs[index].name,
                       c == 'h' || optarg == nullptr ? "" : optarg);
  }
  if (optind < argc)
    return absl::InvalidArgumentError(cat("\"", argv[optind], "\": not an option; see --help"));
  for (const auto& [name, value] : given) {
    if (name == "profile") {
      ASSIGN_OR_RETURN(out.options.traffic, profile(value));
    }
  }
  for (const auto& [name, value] : given) {
    if (name == "profile") continue;
    RETURN_IF_ERROR(
        std::visit([&name = name, &value = value](auto* to) { return parse(name, value, *to); },
                   known.at(name)));
  }
  if (out.options.help) return std::move(out.options);
  RETURN_IF_ERROR(check(out));
  complete(out);
  return std::move(out.options);
}

}  // namespace penstock::pktgen

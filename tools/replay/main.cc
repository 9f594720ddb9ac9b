// penstock-replay: what a configuration would have made of recorded traffic.

#include <getopt.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>

#include "controlplane/config.h"
#include "dataplane/base/fd.h"
#include "dataplane/base/strings.h"
#include "parsers/simd/kernel.h"
#include "tools/replay/input.h"
#include "tools/replay/replay.h"
#include "tools/replay/segment_folder.h"

namespace penstock::replay {
namespace {

constexpr int kExitOk = 0;
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

constexpr const char* kHelp =
    R"(usage: penstock-replay --input FILE [options]

Runs recorded traffic through Penstock's shards with a clock that follows the recording, and prints
the points of every 10-second bucket as JSON lines.

  --input FILE     "-": standard input. By content: JSON lines
                   {"t":SECONDS,"packet":"...","source":"udp|uds|uds-stream|pipe","container":"..."},
                   a pcap or pcapng file, or a capture of the Datadog Agent; compressed with zstd or not
  --config FILE    a configuration of penstockd; without: its defaults
  --output FILE    "-": standard output (default)
  --shards N       1 to 64 (1)
  --burst N        packets handed to a shard at once, 1 to 512 (32)
  --variant NAME   parser: scalar, sse42, avx2, avx512; without: the best for this CPU
  --segments DIR   also write each bucket's Segment there (docs/segment.md): a new or empty folder
  --summary        print the ledger on standard error
  --help

The output is the same bytes for every --shards, --burst and --variant.

Exit codes: 0 done; 1 something in the input was wrong (each is named on standard error, the rest is
done), reading or writing failed, or the ledger does not balance; 2 usage or configuration.
)";

struct Arguments {
  std::string input, config, variant, segments;
  std::string output = "-";
  Options options;
  bool summary = false;
};

void complain(std::string_view what) {
  std::fprintf(stderr, "penstock-replay: %.*s\n", static_cast<int>(what.size()), what.data());
}

absl::Status parse_number(std::string_view option, std::string_view text, uint16_t max,
                          uint16_t& out) {
  uint16_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > max) {
    return absl::InvalidArgumentError(
        cat("--", option, " \"", text, "\": must be a number from 1 to ", max));
  }
  out = value;
  return absl::OkStatus();
}

absl::Status set_option(std::string_view name, const char* value, Arguments& a) {
  if (value != nullptr && *value == 0)
    return absl::InvalidArgumentError(cat("--", name, ": its value is empty; see --help"));
  if (name == "input") return a.input = value, absl::OkStatus();
  if (name == "config") return a.config = value, absl::OkStatus();
  if (name == "output") return a.output = value, absl::OkStatus();
  if (name == "segments") return a.segments = value, absl::OkStatus();
  if (name == "summary") return a.summary = true, absl::OkStatus();
  if (name == "shards") return parse_number(name, value, kPlanShardsMax, a.options.shards);
  if (name == "burst") return parse_number(name, value, 512, a.options.burst);
  a.variant = value;
  return absl::OkStatus();
}

absl::StatusOr<Arguments> parse(int argc, char** argv) {
  static constexpr std::array<option, 10> kOptions = {{{"input", required_argument, nullptr, 0},
                                                       {"config", required_argument, nullptr, 0},
                                                       {"output", required_argument, nullptr, 0},
                                                       {"shards", required_argument, nullptr, 0},
                                                       {"burst", required_argument, nullptr, 0},
                                                       {"variant", required_argument, nullptr, 0},
                                                       {"segments", required_argument, nullptr, 0},
                                                       {"summary", no_argument, nullptr, 0},
                                                       {"help", no_argument, nullptr, 'h'},
                                                       {nullptr, 0, nullptr, 0}}};
  Arguments arguments;
  int index = 0;
  for (int c; (c = ::getopt_long(argc, argv, "h", kOptions.data(), &index)) != -1;) {
    if (c == 'h') {
      std::fputs(kHelp, stdout);
      std::exit(std::fflush(stdout) == 0 ? kExitOk : kExitFailed);
    }
    if (c != 0) return absl::InvalidArgumentError("see --help");
    RETURN_IF_ERROR(set_option(kOptions[static_cast<size_t>(index)].name, optarg, arguments));
  }
  if (optind < argc)
    return absl::InvalidArgumentError(cat("\"", argv[optind], "\": not an option; see --help"));
  if (arguments.input.empty()) return absl::InvalidArgumentError("--input is missing; see --help");
  return arguments;
}

absl::Status choose_variant(const std::string& variant) {
  if (variant.empty()) {
    const std::string error = simd::environment_error();
    return error.empty() ? absl::OkStatus() : absl::InvalidArgumentError(error);
  }
  if (simd::named(variant) == nullptr) {
    std::string names;
    for (const simd::Kernel* kernel : simd::runnable())
      names += cat(" ", simd::variant_name(kernel->variant));
    return absl::InvalidArgumentError(
        cat("--variant ", variant, ": this machine runs", names, "; name one of them"));
  }
  ::setenv("PENSTOCK_SIMD", variant.c_str(), 1);
  return absl::OkStatus();
}

// Opening the output empties it.
absl::Status refuse_same_file(const Arguments& a) {
  struct stat in {};
  struct stat out {};
  if (a.input == "-" || a.output == "-" || ::stat(a.input.c_str(), &in) != 0 ||
      ::stat(a.output.c_str(), &out) != 0 || !S_ISREG(out.st_mode) || in.st_dev != out.st_dev ||
      in.st_ino != out.st_ino) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      cat("--output ", a.output, ": is the file of --input; name another"));
}

absl::StatusOr<Config> read_config(const std::string& path) {
  const Environment environment = read_environment();
  absl::StatusOr<LoadedConfig> loaded =
      path.empty() ? parse_config("", "environment", environment) : load_config(path, environment);
  RETURN_IF_ERROR(loaded.status());
  for (const std::string& fault : loaded->faults) complain(cat("the mapper is off: ", fault));
  for (const std::string& warning : loaded->warnings) complain(warning);
  return std::move(loaded->config);
}

std::vector<uint16_t> udp_ports_of(const Config& config) {
  std::vector<uint16_t> ports;
  if (config.udp_port != 0 && !config.udp_port_random) ports.push_back(config.udp_port);
  for (const PortConfig& port : config.ports)
    ports.insert(ports.end(), port.udp_ports.begin(), port.udp_ports.end());
  return ports;
}

void set_options(const Config& config, Options& options) {
  options.eol_udp = config.eol_udp;
  options.eol_uds = config.eol_uds;
  options.eol_pipe = config.eol_pipe;
  std::vector<std::string> ignored;  // told when the configuration was read
  options.histograms =
      HistogramConfig::parse(config.histogram_aggregates, config.histogram_percentiles, ignored);
  options.histograms.leave_out(config.filter, config.filter_prefix);
}

// Where the lines go. Remembers the first error.
class Output {
 public:
  static absl::StatusOr<Output> open(const std::string& path) {
    Output output;
    output.file_ = path == "-" ? stdout : std::fopen(path.c_str(), "wbe");
    if (output.file_ == nullptr) return errno_status(errno, cat("--output ", path));
    return output;
  }
  void write(std::string_view text) {
    if (std::fwrite(text.data(), 1, text.size(), file_) != text.size()) note();
  }
  absl::Status close() {
    if (std::fclose(file_) != 0) note();
    return status_;
  }

 private:
  void note() {
    if (status_.ok()) status_ = errno_status(errno, "writing --output");
  }
  std::FILE* file_ = nullptr;
  absl::Status status_;
};

// Whether all of the input was good.
bool feed(Input& input, Replay& replay) {
  uint64_t bad = 0;
  Record record;
  for (;;) {
    const absl::StatusOr<bool> more = input.next(record);
    if (!more.ok()) complain(to_std(more.status().message()));
    if (!more.ok() || !*more) {
      if (bad != 0) complain(cat(bad, " bad records"));
      return more.ok() && bad == 0;
    }
    replay.take(record);
    if (record.error.empty()) continue;
    ++bad;
    complain(record.error);
  }
}

// Whether the ledger balances.
bool report(const Replay& replay, bool summary) {
  for (const std::string& note : replay.notes()) complain(note);
  bool balanced = false;
  const std::string ledger = replay.ledger_text(balanced);
  if (summary || !balanced) std::fputs(ledger.c_str(), stderr);
  return balanced;
}

int fail(const absl::Status& status, int code) {
  complain(to_std(status.message()));
  return code;
}

int main(int argc, char** argv) {
  absl::StatusOr<Arguments> arguments = parse(argc, argv);
  if (!arguments.ok()) return fail(arguments.status(), kExitUsage);
  std::signal(SIGPIPE, SIG_IGN);
  if (const absl::Status chosen = choose_variant(arguments->variant); !chosen.ok())
    return fail(chosen, kExitUsage);
  const absl::StatusOr<Config> config = read_config(arguments->config);
  if (!config.ok()) return fail(config.status(), kExitUsage);
  const auto plan = plan_for(*config);
  if (!plan.ok()) return fail(plan.status(), kExitUsage);
  set_options(*config, arguments->options);
  if (const absl::Status other = refuse_same_file(*arguments); !other.ok())
    return fail(other, kExitUsage);

  const auto input = open_input(arguments->input, udp_ports_of(*config));
  if (!input.ok()) {
    return fail(absl::Status(input.status().code(), cat("--input ", arguments->input, ": ",
                                                        to_std(input.status().message()))),
                kExitFailed);
  }
  SegmentFolder folder(arguments->segments);
  if (!arguments->segments.empty()) {
    if (const absl::Status made = folder.prepare(); !made.ok()) return fail(made, kExitFailed);
    arguments->options.on_segment = [&](const auto& meta, auto bytes) { folder.add(meta, bytes); };
  }
  absl::StatusOr<Output> output = Output::open(arguments->output);
  if (!output.ok()) return fail(output.status(), kExitFailed);

  Replay replay(**plan, arguments->options, [&](std::string_view text) { output->write(text); });
  const bool good = feed(**input, replay);
  replay.finish();
  const bool balanced = report(replay, arguments->summary);
  const absl::Status written = output->close();
  if (!written.ok()) return fail(written, kExitFailed);
  if (!folder.status().ok()) return fail(folder.status(), kExitFailed);
  return good && balanced ? kExitOk : kExitFailed;
}

}  // namespace
}  // namespace penstock::replay

int main(int argc, char** argv) {
  try {
    return penstock::replay::main(argc, argv);
  } catch (const std::bad_alloc&) {
    penstock::replay::complain("out of memory");
    return penstock::replay::kExitFailed;
  }
}

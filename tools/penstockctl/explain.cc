#include "tools/penstockctl/explain.h"

#include <fcntl.h>
#include <getopt.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/compile.h"
#include "controlplane/config.h"
#include "dataplane/base/strings.h"
#include "tools/penstockctl/explain_json.h"
#include "tools/penstockctl/explain_message.h"
#include "tools/penstockctl/explain_print.h"
#include "tools/penstockctl/line_reader.h"
#include "tools/penstockctl/output.h"

namespace penstock {
namespace {

constexpr int kAllParsed = 0;
constexpr int kSomeRefused = 1;
constexpr int kUsage = 2;
constexpr size_t kBlock = size_t{64} * 1024;

constexpr char kHelp[] =
    "usage: penstockctl explain [--config FILE] [--json] [--parse-only] [--] [MESSAGE...]\n"
    "\n"
    "Shows what the server makes of each DogStatsD message: its fields, and what enrichment turns\n"
    "them into; of a refused one the reason, the byte and the remedy. Needs no running server.\n"
    "Without MESSAGE it reads standard input, one message a line; as in the server, one carriage\n"
    "return at the end of a line is removed and empty lines are skipped.\n"
    "\n"
    "  --config FILE  the configuration of penstockd to apply, with the DD_* variables over it\n"
    "  --json         one JSON object a line: in, parsed, final\n"
    "  --parse-only   only what the parser says, without enrichment\n"
    "  --help         this text\n"
    "\n"
    "Without --config the parser reads every field (T, c:, e:, card:), the rest is the server's\n"
    "defaults with this machine's host name, and DD_* variables are not read. By default origin\n"
    "fields (c:, e:, card:) have no effect: dogstatsd_origin_detection_client turns them on.\n"
    "\n"
    "exit codes: 0 every message parsed, 1 some did not, or input or output failed,\n"
    "            2 usage or configuration\n";

struct Arguments {
  std::optional<std::string> config;
  bool json = false;
  bool parse_only = false;
  std::vector<std::string_view> messages;
};

// Reads the command line; an exit code if there is nothing more to do.
std::optional<int> parse_arguments(int argc, char** argv, Arguments& arguments) {
  enum : int { kConfig = 1, kJson, kParseOnly, kHelpOption };
  const option table[] = {{"config", required_argument, nullptr, kConfig},
                          {"json", no_argument, nullptr, kJson},
                          {"parse-only", no_argument, nullptr, kParseOnly},
                          {"help", no_argument, nullptr, kHelpOption},
                          {nullptr, 0, nullptr, 0}};
  for (int c; (c = ::getopt_long(argc, argv, "", table, nullptr)) != -1;) {
    switch (c) {
      case kConfig:
        arguments.config = optarg;
        break;
      case kJson:
        arguments.json = true;
        break;
      case kParseOnly:
        arguments.parse_only = true;
        break;
      case kHelpOption:
        std::fputs(kHelp, stdout);
        return kAllParsed;
      default:
        std::fputs(
            "penstockctl explain --help tells the options; a message that begins with '-' goes "
            "behind --\n",
            stderr);
        return kUsage;
    }
  }
  arguments.messages.assign(argv + std::min(optind + 1, argc),
                            argv + argc);  // the first is "explain"
  return std::nullopt;
}

// What of the server concerns one message: its Plan and the parser's options.
struct Setup {
  std::unique_ptr<Plan> plan;
  dogstatsd::Options options{.timestamps = true, .client_origin = true};  // spec section 12
};

// Ports, cores and limits belong to the machine that serves, which need not be this one.
absl::StatusOr<std::unique_ptr<Plan>> compile_messages(Config config) {
  const Config defaults;
  config.ports.clear();
  config.control_core = defaults.control_core;
  config.io_core = defaults.io_core;
  config.data_cores = defaults.data_cores;
  config.wiring = defaults.wiring;
  config.idle = defaults.idle;
  config.limits = defaults.limits;
  MachineFacts facts = read_machine_facts();
  facts.cpus = {0};
  ASSIGN_OR_RETURN(Compiled compiled, compile(config, facts, {}));
  return std::move(compiled.plan);
}

absl::StatusOr<Setup> set_up(const std::optional<std::string>& path) {
  Setup setup;
  Config config;
  if (path) {
    ASSIGN_OR_RETURN(LoadedConfig loaded, load_config(*path, read_environment()));
    for (const std::string& fault : loaded.faults) {
      std::fprintf(stderr, "penstockctl: the mapper is off: %s\n", fault.c_str());
    }
    for (const std::string& warning : loaded.warnings) {
      std::fprintf(stderr, "penstockctl: %s\n", warning.c_str());
    }
    config = std::move(loaded.config);
    setup.options = {.timestamps = config.timestamps, .client_origin = config.client_origin};
  }
  ASSIGN_OR_RETURN(setup.plan, compile_messages(std::move(config)));
  return setup;
}

// Explains lines as they come in.
class Session {
 public:
  Session(const Arguments& arguments, const Setup& setup)
      : arguments_(arguments), explainer_(*setup.plan, setup.options), reader_(kMessageMax + 1) {}

  int run() {
    const bool done = arguments_.messages.empty() ? explain_input() : explain_arguments();
    output_.flush();
    return done && !refused_ && !output_.failed() ? kAllParsed : kSomeRefused;
  }

 private:
  // As the data plane sees them: a line break in an argument separates messages.
  bool explain_arguments() {
    for (const std::string_view message : arguments_.messages) {
      if (!take(message) || !end_line()) break;
    }
    return true;
  }

  bool explain_input() {
    std::vector<char> block(kBlock);
    for (;;) {
      if (!output_.flush()) return true;
      const ssize_t n = ::read(STDIN_FILENO, block.data(), block.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        std::fprintf(stderr, "penstockctl: cannot read standard input: %s\n", std::strerror(errno));
        end_line();
        return false;
      }
      if (n == 0) return end_line();
      if (!take({block.data(), static_cast<size_t>(n)})) return true;
    }
  }

  bool take(std::string_view bytes) {
    reader_.feed(bytes, [this](std::string_view line, size_t size) { explain(line, size); });
    return open_;
  }
  bool end_line() {
    reader_.finish([this](std::string_view line, size_t size) { explain(line, size); });
    return open_;
  }

  void explain(std::string_view line, size_t bytes) {
    const Explained* e = open_ ? explainer_.explain(line, bytes) : nullptr;
    if (e == nullptr) return;
    refused_ |= !e->ok();
    std::string& out = output_.text();
    if (!arguments_.json) {
      if (!first_) out += '\n';
      append_block(out, *e, !arguments_.parse_only);
    } else {
      arguments_.parse_only ? append_expect(out, *e) : append_explained(out, *e);
      out += '\n';
    }
    first_ = false;
    open_ = output_.flush_if_full();
  }

  const Arguments& arguments_;
  Explainer explainer_;
  LineReader reader_;
  Output output_;
  bool first_ = true;
  bool refused_ = false;  // some message
  bool open_ = true;      // somebody reads
};

}  // namespace

int explain_main(int argc, char** argv) {
  Arguments arguments;
  if (const std::optional<int> done = parse_arguments(argc, argv, arguments)) return *done;
  if (const std::string error = simd::environment_error(); !error.empty()) {
    std::fprintf(stderr, "penstockctl: %s\n", error.c_str());
    return kUsage;
  }
  const absl::StatusOr<Setup> setup = set_up(arguments.config);
  if (!setup.ok()) {
    std::fprintf(stderr, "%s\n", std::string(to_std(setup.status().message())).c_str());
    return kUsage;
  }
  ::signal(SIGPIPE, SIG_IGN);
  return Session(arguments, *setup).run();
}

}  // namespace penstock

#include <getopt.h>

#include <cstdio>
#include <exception>
#include <iterator>
#include <new>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "controlplane/control_wire.h"
#include "controlplane/ledger.h"
#include "dataplane/base/strings.h"
#include "tools/penstockctl/explain.h"
#include "tools/penstockctl/print.h"
#include "tools/penstockctl/segment.h"

namespace penstock {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kOk = 0;
constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr int kNoDaemon = 3;
// Draining has deadlines of its own; this is above their sum.
constexpr int kTimeoutMs = 60000;

constexpr char kHelp[] =
    "usage: penstockctl [--socket PATH] [--json] COMMAND\n"
    "\n"
    "  status            what runs, and what is not well\n"
    "  ledger [--check]  where every packet, line, sample and point went; with --check, exit 1\n"
    "                    unless it balances\n"
    "  stats             every counter of the data plane\n"
    "  stop              drain, deliver, end penstockd, and print the last ledger\n"
    "  explain           what the server makes of messages; works without one; explain --help\n"
    "  segment cat FILE  the aggregates in a Segment; works without a server; segment --help\n"
    "\n"
    "  --socket PATH     control socket; default /run/penstock/control.sock\n"
    "  --json            JSON instead of tables\n"
    "  --help            this text\n"
    "\n"
    "exit codes: 0 ok, 1 failed, 2 usage, 3 no penstockd answers\n";

// The command, or nothing. Those that need no penstockd have options of their own.
std::string_view command_of(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--socket") {
      ++i;
    } else if (!argument.starts_with("-")) {
      return argument;
    }
  }
  return {};
}

struct Arguments {
  std::string socket = "/run/penstock/control.sock";
  std::string verb;
  bool json = false;
  bool check = false;
};

int usage_error(const std::string& what) {
  std::fprintf(stderr, "penstockctl: %s; see --help\n", what.c_str());
  return kUsage;
}

// Reads the command line; an exit code if there is nothing more to do.
std::optional<int> parse(int argc, char** argv, Arguments& arguments) {
  enum : int { kSocket = 1, kJson, kCheck, kHelpOption };
  const option table[] = {{"socket", required_argument, nullptr, kSocket},
                          {"json", no_argument, nullptr, kJson},
                          {"check", no_argument, nullptr, kCheck},
                          {"help", no_argument, nullptr, kHelpOption},
                          {nullptr, 0, nullptr, 0}};
  for (int c; (c = ::getopt_long(argc, argv, "", table, nullptr)) != -1;) {
    switch (c) {
      case kSocket:
        arguments.socket = optarg;
        break;
      case kJson:
        arguments.json = true;
        break;
      case kCheck:
        arguments.check = true;
        break;
      case kHelpOption:
        std::fputs(kHelp, stdout);
        return kOk;
      default:
        return kUsage;
    }
  }
  if (optind >= argc)
    return usage_error("a command is missing: status, ledger, stats, stop, explain or segment");
  arguments.verb = argv[optind];
  if (optind + 1 < argc)
    return usage_error(cat("unexpected \"", std::string_view(argv[optind + 1]), "\""));
  for (const char* known : {"status", "ledger", "stats", "stop"}) {
    if (arguments.verb == known) return std::nullopt;
  }
  return usage_error(cat("unknown command \"", arguments.verb, "\""));
}

int print(const Arguments& arguments, const std::string& result) {
  const Json json = Json::parse(result, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return kFailed;
  std::string out;
  const bool ledger = arguments.verb == "ledger" || arguments.verb == "stop";
  if (arguments.json) {
    out = json.dump() + "\n";
  } else if (ledger) {
    out = ledger_table(json);
  } else {
    out = arguments.verb == "status" ? status_table(json) : stats_table(json);
  }
  std::fputs(out.c_str(), stdout);
  if (std::fflush(stdout) != 0) {
    std::perror("penstockctl: cannot write");
    return kFailed;
  }
  return arguments.check && ledger && !json.value("balanced", false) ? kFailed : kOk;
}

int run(int argc, char** argv) {
  const std::string_view command = command_of(argc, argv);
  if (command == "explain") return explain_main(argc, argv);
  if (command == "segment") return segment_main(argc, argv);
  Arguments arguments;
  if (const std::optional<int> done = parse(argc, argv, arguments)) return *done;
  absl::StatusOr<control::Client> client = control::Client::connect(arguments.socket, kTimeoutMs);
  if (!client.ok()) {
    std::fprintf(stderr, "penstockctl: %s\n",
                 std::string(to_std(client.status().message())).c_str());
    return kNoDaemon;
  }
  const absl::StatusOr<std::string> result = client->call(arguments.verb);
  if (!result.ok()) {
    std::fprintf(stderr, "penstockctl: %s\n",
                 std::string(to_std(result.status().message())).c_str());
    return kFailed;
  }
  return print(arguments, *result);
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) {
  try {
    return penstock::run(argc, argv);
  } catch (const std::bad_alloc&) {
    std::fputs("penstockctl: out of memory\n", stderr);
    return penstock::kFailed;
  } catch (const std::exception& e) {  // an answer that is JSON, but not of this protocol
    std::fprintf(stderr, "penstockctl: %s; is penstockd of the same build?\n", e.what());
    return penstock::kFailed;
  }
}

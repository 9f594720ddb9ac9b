#include "controlplane/options.h"

#include <getopt.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <string_view>

#include "penstock_version.h"

namespace penstock {
namespace {

constexpr char kUsage[] =
    "usage: penstockd --config FILE [options]\n"
    "\n"
    "Control plane of Penstock, the DogStatsD ingest appliance: reads the configuration, runs the\n"
    "data plane, delivers what it aggregates.\n"
    "\n"
    "  --config FILE       configuration (YAML); Agent keys at the top, ours under `penstock:`\n"
    "  --check             check it for this machine, print cores and memory budget, and exit\n"
    "  --print-plan        the same, and print the whole Plan\n"
    "  --log-level LEVEL   trace, debug, info, warning, error or off; default: penstock.log_level\n"
    "  --help              this text\n"
    "  --version           the version\n"
    "\n"
    "SIGTERM and SIGINT drain the data plane, deliver everything, and write the last ledger to\n"
    "<run_dir>/ledger.json; a second one ends at once.\n"
    "\n"
    "PENSTOCK_SIMD=scalar|sse42|avx2|avx512 in the environment chooses the parser's instruction "
    "set;\n"
    "by default it is the best that this CPU has.\n"
    "\n"
    "exit codes: 0 ok, 1 failed at start-up or run time, 2 usage or configuration error,\n"
    "            3 another penstockd runs with this run_dir\n";

bool known_level(std::string_view level) {
  constexpr std::string_view kLevels[] = {"trace", "debug", "info", "warning", "error", "off"};
  return std::ranges::find(kLevels, level) != std::end(kLevels);
}

}  // namespace

std::optional<Options> parse_options(int argc, char** argv, int& exit_code) {
  enum : int { kConfig = 1, kCheck, kPrintPlan, kLogLevel, kHelp, kVersion };
  const option table[] = {{"config", required_argument, nullptr, kConfig},
                          {"check", no_argument, nullptr, kCheck},
                          {"print-plan", no_argument, nullptr, kPrintPlan},
                          {"log-level", required_argument, nullptr, kLogLevel},
                          {"help", no_argument, nullptr, kHelp},
                          {"version", no_argument, nullptr, kVersion},
                          {nullptr, 0, nullptr, 0}};
  Options options;
  exit_code = kExitUsage;
  for (int c; (c = ::getopt_long(argc, argv, "", table, nullptr)) != -1;) {
    switch (c) {
      case kConfig:
        options.config_path = optarg;
        break;
      case kCheck:
        options.check = true;
        break;
      case kPrintPlan:
        options.print_plan = true;
        break;
      case kLogLevel:
        options.log_level = optarg;
        break;
      case kHelp:
        std::fputs(kUsage, stdout);
        exit_code = kExitOk;
        return std::nullopt;
      case kVersion:
        std::puts("penstockd " PENSTOCK_VERSION);
        exit_code = kExitOk;
        return std::nullopt;
      default:
        std::fputs("penstockd --help tells the options\n", stderr);
        return std::nullopt;
    }
  }
  if (optind < argc) {
    std::fprintf(stderr, "penstockd: unexpected argument \"%s\"; see --help\n", argv[optind]);
    return std::nullopt;
  }
  if (options.config_path.empty()) {
    std::fputs("penstockd: --config FILE is missing; see --help\n", stderr);
    return std::nullopt;
  }
  if (!options.log_level.empty() && !known_level(options.log_level)) {
    std::fprintf(stderr,
                 "penstockd: --log-level = \"%s\": must be trace, debug, info, warning, error or "
                 "off\n",
                 options.log_level.c_str());
    return std::nullopt;
  }
  return options;
}

}  // namespace penstock

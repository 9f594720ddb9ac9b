#pragma once

#include <optional>
#include <string>

namespace penstock {

// Exit codes of penstockd.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;   // at start-up or run time
inline constexpr int kExitUsage = 2;    // wrong arguments or configuration
inline constexpr int kExitRunning = 3;  // another penstockd has the run directory

struct Options {
  std::string config_path;
  bool check = false;
  bool print_plan = false;
  std::string log_level;  // empty: as configured
};

// Reads the command line. An empty result means that the process is to exit with `exit_code`; what
// there was to say is said (--help, --version, mistakes).
std::optional<Options> parse_options(int argc, char** argv, int& exit_code);

}  // namespace penstock

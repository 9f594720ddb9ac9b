#include <sys/resource.h>
#include <sys/signalfd.h>

#include <csignal>
#include <cstdio>

#include "controlplane/compile.h"
#include "controlplane/config.h"
#include "controlplane/daemon.h"
#include "controlplane/launcher.h"
#include "controlplane/options.h"
#include "controlplane/run_dir.h"
#include "dataplane/base/log.h"
#include "dataplane/base/strings.h"
#include "parsers/simd/kernel.h"

namespace penstock {
namespace {

int fail(const absl::Status& status, int exit_code) {
  spdlog::error("{}", to_std(status.message()));
  return exit_code;
}

// Errors of configuration go out as they are, one a line, so that editors find file and line.
int refuse(const absl::Status& status) {
  std::fprintf(stderr, "%s\n", std::string(to_std(status.message())).c_str());
  return kExitUsage;
}

// So do faults that a start would survive.
int refuse(const std::vector<std::string>& faults) {
  for (const std::string& fault : faults) std::fprintf(stderr, "%s\n", fault.c_str());
  return kExitUsage;
}

// SIGTERM and SIGINT as a descriptor, in this and all later threads.
absl::StatusOr<Fd> take_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGINT);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  Fd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return errno_status(errno, "signalfd");
  return fd;
}

void report(const LoadedConfig& loaded) {
  for (const std::string& fault : loaded.faults) spdlog::warn("the mapper is off: {}", fault);
  for (const std::string& warning : loaded.warnings) spdlog::warn("{}", warning);
  if (loaded.ignored.empty()) return;
  std::string all;
  for (const std::string& key : loaded.ignored) all += cat(all.empty() ? "" : ", ", key);
  spdlog::info("Agent keys without effect in Penstock: {}", all);
}

// As many descriptors as we may have: held Segments are one each, in the data plane, which inherits
// the limit.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

int serve(const Config& config, const MachineFacts& facts) {
  raise_descriptor_limit();
  absl::StatusOr<RunDir> run_dir = RunDir::open(config.run_dir);
  if (!run_dir.ok()) {
    const bool running = absl::IsAlreadyExists(run_dir.status());
    return fail(run_dir.status(), running ? kExitRunning : kExitFailed);
  }
  const absl::StatusOr<std::string> executable = find_program("penstock-dataplane", "dataplane");
  if (!executable.ok()) return fail(executable.status(), kExitFailed);
  absl::StatusOr<Fd> signals = take_signals();
  if (!signals.ok()) return fail(signals.status(), kExitFailed);
  absl::StatusOr<std::unique_ptr<EventLoop>> loop = EventLoop::create();
  if (!loop.ok()) return fail(loop.status(), kExitFailed);
  Daemon daemon(config, facts, *executable, *std::move(run_dir), *std::move(loop),
                *std::move(signals));
  return daemon.run();
}

int run(int argc, char** argv) {
  int exit_code = kExitOk;
  const std::optional<Options> options = parse_options(argc, argv, exit_code);
  if (!options) return exit_code;
  absl::StatusOr<LoadedConfig> loaded = load_config(options->config_path, read_environment());
  if (!loaded.ok()) return refuse(loaded.status());
  Config& config = loaded->config;
  const bool only_check = options->check || options->print_plan;
  if (only_check && !loaded->faults.empty()) return refuse(loaded->faults);
  if (!options->log_level.empty()) config.log_level = options->log_level;
  init_log("penstockd", config.log_level);
  report(*loaded);

  if (const std::string why = simd::environment_error(); !why.empty()) {
    return refuse(absl::InvalidArgumentError(to_absl(why)));
  }
  const MachineFacts facts = read_machine_facts(config.ports);
  const std::vector<ListenerSpec> listeners = configured_listeners(config);
  const absl::StatusOr<Compiled> compiled = compile(config, facts, listeners);
  if (!compiled.ok()) return refuse(compiled.status());
  if (only_check) {
    std::fputs(describe(*compiled).c_str(), stdout);
    if (options->print_plan) std::fputs(print_plan(*compiled->plan).c_str(), stdout);
    return kExitOk;
  }
  return serve(config, facts);
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) { return penstock::run(argc, argv); }

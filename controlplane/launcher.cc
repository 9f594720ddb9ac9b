#include "controlplane/launcher.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "dataplane/base/strings.h"

namespace penstock {
namespace {

constexpr int kFirstFd = 3;
constexpr int kExecFailed = 127;

// Between fork and exec: nothing that allocates or locks. `high` holds duplicates above every
// target, so that no dup2 overwrites one still needed.
[[noreturn]] void become(const char* executable, const std::vector<int>& high, int null_fd) {
  ::setsid();
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  ::dup2(null_fd, STDIN_FILENO);
  int next = kFirstFd;
  for (const int fd : high) ::dup2(fd, next++);
  ::syscall(SYS_close_range, static_cast<unsigned>(next), ~0U, 0);
  char* const argv[] = {const_cast<char*>(executable), nullptr};
  ::execv(executable, argv);
  ::_exit(kExecFailed);
}

std::string own_directory() {
  std::array<char, 4096> path{};
  const ssize_t n = ::readlink("/proc/self/exe", path.data(), path.size() - 1);
  const std::string_view full(path.data(), n > 0 ? static_cast<size_t>(n) : 0);
  return std::string(full.substr(0, full.rfind('/')));
}

}  // namespace

absl::StatusOr<Fd> open_pidfd(pid_t pid) {
  Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!fd.valid()) return errno_status(errno, cat("pidfd_open of process ", pid));
  return fd;
}

void signal_process(const Fd& pidfd, int signal) {
  if (pidfd.valid()) ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0);
}

absl::StatusOr<Launched> launch(const std::string& executable, std::span<const int> fds) {
  if (::access(executable.c_str(), X_OK) != 0) {
    return errno_status(errno, cat("cannot execute ", executable));
  }
  std::vector<Fd> owned;
  std::vector<int> high;
  for (const int fd : fds) {
    owned.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, kFirstFd + static_cast<int>(fds.size()) + 1));
    if (!owned.back().valid()) return errno_status(errno, cat("cannot pass descriptor ", fd));
    high.push_back(owned.back().get());
  }
  const Fd null_fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const pid_t pid = ::fork();
  if (pid < 0) return errno_status(errno, cat("cannot start ", executable));
  if (pid == 0) become(executable.c_str(), high, null_fd.get());
  absl::StatusOr<Fd> pidfd = open_pidfd(pid);
  if (!pidfd.ok()) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return pidfd.status();
  }
  return Launched{pid, *std::move(pidfd)};
}

absl::StatusOr<std::string> find_program(std::string_view name, std::string_view build_folder) {
  if (const char* folder = std::getenv("PENSTOCK_LIBEXEC"); folder != nullptr && *folder != 0) {
    return cat(folder, "/", name);
  }
  const std::string here = own_directory();
  std::string tried;
  for (const std::string& folder :
       {here, cat(here, "/../", build_folder), here + "/../lib/penstock"}) {
    std::string path = cat(folder, "/", name);
    if (::access(path.c_str(), X_OK) == 0) return path;
    tried += cat(tried.empty() ? "" : ", ", path);
  }
  return absl::NotFoundError(
      cat(name, " is not at ", tried, "; install it there or set PENSTOCK_LIBEXEC to its folder"));
}

std::string explain_exit(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    const int signal = WTERMSIG(wait_status);
    return cat("killed by signal ", signal, " (", ::strsignal(signal), ")");
  }
  const int code = WEXITSTATUS(wait_status);
  const char* meaning = "its last log lines say why";
  switch (code) {
    case 0:
      meaning = "it drained and stopped";
      break;
    case 2:
      meaning = "it cannot use its Plan; are both programs of one build?";
      break;
    case 3:
      meaning = "nothing to receive from: every port failed and there is no listener";
      break;
    case 4:
      meaning = "DPDK's EAL could not start; check hugepages, cores and rights";
      break;
    case kExecFailed:
      meaning = "the program could not be executed";
      break;
    default:
      break;
  }
  return cat("exit code ", code, ": ", meaning);
}

}  // namespace penstock

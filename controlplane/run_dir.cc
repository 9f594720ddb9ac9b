#include "controlplane/run_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "dataplane/base/strings.h"

namespace penstock {
namespace {

absl::Status make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return errno_status(errno, cat("penstock.run_dir = \"", path,
                                   "\": cannot be made (make its parent directory, or choose "
                                   "another)"));
  }
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) return errno_status(errno, path);
  if (!S_ISDIR(st.st_mode)) {
    return absl::FailedPreconditionError(
        cat("penstock.run_dir = \"", path, "\": is not a directory; choose another"));
  }
  if (st.st_uid != ::geteuid()) {
    return absl::PermissionDeniedError(cat("penstock.run_dir = \"", path, "\": belongs to user ",
                                           st.st_uid, " and penstockd runs as ", ::geteuid(),
                                           "; choose another or change its owner"));
  }
  if (::chmod(path.c_str(), 0700) != 0) return errno_status(errno, cat("chmod ", path));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RunDir> RunDir::open(const std::string& path) {
  RETURN_IF_ERROR(make_directory(path));
  const std::string name = path + "/penstockd.lock";
  Fd lock(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.valid()) return errno_status(errno, cat("cannot open ", name));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return errno_status(errno, cat("cannot lock ", name));
    std::string pid(32, '\0');
    const ssize_t n = ::pread(lock.get(), pid.data(), pid.size(), 0);
    pid.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return absl::AlreadyExistsError(cat("another penstockd (process ", pid, ") runs with run_dir ",
                                        path, "; stop it or set another penstock.run_dir"));
  }
  const std::string pid = cat(::getpid());
  if (::ftruncate(lock.get(), 0) != 0 ||
      ::pwrite(lock.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return errno_status(errno, cat("cannot write ", name));
  }
  return RunDir(path, std::move(lock));
}

std::string RunDir::file(std::string_view name) const { return cat(path_, "/", name); }

}  // namespace penstock

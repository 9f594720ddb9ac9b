#include "dataplane/origin/container_lookup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "dataplane/base/fd.h"
#include "dataplane/base/strings.h"
#include "parsers/cgroup/container.h"

namespace penstock::origin {
namespace {

// Far beyond what the kernel writes into them; what is longer is read in part.
constexpr size_t kCgroupBytesMax = size_t{64} << 10;
constexpr size_t kMountsBytesMax = size_t{1} << 20;

}  // namespace

ContainerLookup::ContainerLookup(std::string proc_root, bool in_namespace)
    : proc_root_(std::move(proc_root)), in_namespace_(in_namespace) {}

bool ContainerLookup::in_cgroup_namespace() {
  constexpr ino_t kFirst = 0xEFFFFFFB;  // fixed by the kernel
  struct stat info {};
  return ::stat("/proc/self/ns/cgroup", &info) == 0 && info.st_ino != kFirst;
}

ContainerLookup::Found ContainerLookup::find(uint32_t pid) {
  if (const int error = read(pid, "cgroup", kCgroupBytesMax); error != 0) {
    return {Outcome::kError, {}, error};
  }
  const cgroup::Membership member = cgroup::find_container(text_);
  if (!member.container.empty()) return {Outcome::kContainer, member.container};
  if (!member.at_root || !in_namespace_) return {Outcome::kNone, {}};
  // Our own container, whose name its namespace hides. Its mounts may tell; not having them is no
  // error.
  if (read(pid, "mountinfo", kMountsBytesMax) != 0) return {Outcome::kNone, {}};
  const std::string_view container = cgroup::find_mounted_container(text_);
  return {container.empty() ? Outcome::kNone : Outcome::kContainer, container};
}

// Reads a file of the process into `text_`. Returns 0 or errno.
int ContainerLookup::read(uint32_t pid, std::string_view name, size_t bytes_max) {
  constexpr size_t kStep = 4096;
  const std::string path = cat(proc_root_, "/", pid, "/", name);
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.valid()) return errno;
  size_t size = 0;
  while (size < bytes_max) {
    if (text_.size() < size + kStep) text_.resize(size + kStep);
    const ssize_t n = ::read(file.get(), text_.data() + size, kStep);
    if (n < 0) return errno;
    if (n == 0) break;
    size += static_cast<size_t>(n);
  }
  text_.resize(size);
  return 0;
}

}  // namespace penstock::origin

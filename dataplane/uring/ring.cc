#include "dataplane/uring/ring.h"

#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "dataplane/base/fd.h"
#include "dataplane/base/strings.h"

namespace penstock::uring {
namespace {

constexpr std::string_view kRemedy =
    "; or receive by DPDK ports only (dogstatsd_port: 0, dogstatsd_socket: \"\")";

std::string_view advice(int error) {
  switch (error) {
    case ENOMEM:
      return "; raise the limit of locked memory (ulimit -l, LimitMEMLOCK=) or free memory";
    case EPERM:
    case EACCES:
      return "; set the sysctl kernel.io_uring_disabled to 0, or allow io_uring in the container's "
             "seccomp profile";
    case ENOSYS:
      return "; this kernel is built without io_uring, or a seccomp profile hides it";
    default:
      return "";
  }
}

}  // namespace

absl::Status check_kernel(std::string_view release) {
  int major = 0;
  int minor = 0;
  const char* end = release.data() + release.size();
  const auto [dot, error] = std::from_chars(release.data(), end, major);
  if (error == std::errc() && dot != end) std::from_chars(dot + 1, end, minor);
  if (major > 6 || (major == 6 && minor >= 1)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      cat("io_uring: kernel ", release, " is older than 6.1; use a newer kernel", kRemedy));
}

absl::StatusOr<std::unique_ptr<Ring>> Ring::create(unsigned submissions, unsigned completions) {
  utsname host{};
  ::uname(&host);
  RETURN_IF_ERROR(check_kernel(host.release));
  std::unique_ptr<Ring> ring(new Ring);
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE;
  params.cq_entries = completions;
  if (const int rc = io_uring_queue_init_params(submissions, &ring->ring_, &params); rc < 0) {
    ring->ring_.ring_fd = -1;
    return errno_status(-rc, cat("io_uring of ", completions, " completions (kernel ",
                                 std::string_view(host.release), ")", advice(-rc), kRemedy));
  }
  return ring;
}

Ring::~Ring() {
  if (ring_.ring_fd >= 0) io_uring_queue_exit(&ring_);
}

io_uring_sqe* Ring::sqe() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (sqe == nullptr) {
    io_uring_submit(&ring_);
    sqe = io_uring_get_sqe(&ring_);
  }
  assert(sqe != nullptr);  // there are completions for all that can be outstanding
  return sqe;
}

absl::Status Ring::enable() {
  // liburing 2.3 declares io_uring_enable_rings and does not export it.
  const long rc =
      ::syscall(__NR_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
  if (rc >= 0) return absl::OkStatus();
  const int error = errno;
  return errno_status(error, cat("enabling the io_uring", advice(error)));
}

}  // namespace penstock::uring

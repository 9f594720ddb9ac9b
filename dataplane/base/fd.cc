#include "dataplane/base/fd.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace penstock {

void Fd::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

Mapping::~Mapping() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

absl::StatusOr<Mapping> Mapping::map(int fd, bool writable) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return errno_status(errno, "fstat before mmap");
  if (st.st_size == 0) return absl::InvalidArgumentError("cannot map an empty file");
  const auto size = static_cast<size_t>(st.st_size);
  void* p = ::mmap(nullptr, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) return errno_status(errno, absl::StrCat("mmap of ", size, " bytes"));
  Mapping m;
  m.bytes_ = {static_cast<std::byte*>(p), size};
  return m;
}

absl::Status errno_status(int error, const std::string& what) {
  const std::string message = absl::StrCat(what, ": ", strerror(error));
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(message);
    case EEXIST:
    case EADDRINUSE:
      return absl::AlreadyExistsError(message);
    default:
      return absl::UnavailableError(message);
  }
}

absl::StatusOr<Fd> make_memfd(const char* name, size_t size) {
  Fd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return errno_status(errno, absl::StrCat("memfd_create ", name));
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) {
    return errno_status(errno, absl::StrCat("memfd ", name, " of ", size, " bytes"));
  }
  return fd;
}

absl::Status seal_memfd(int fd) {
  if (::fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) {
    return errno_status(errno, "sealing a memfd");
  }
  return absl::OkStatus();
}

}  // namespace penstock

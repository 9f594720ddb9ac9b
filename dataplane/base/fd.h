#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/base/status.h"

namespace penstock {

// Owns one file descriptor; closes it on destruction. -1 is "none". Not thread-safe.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~Fd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

// A shared memory mapping of a whole file (a memfd); unmaps on destruction.
class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }

  // Maps all of `fd`, read-only or read-write (shared). The descriptor may be closed afterwards.
  static absl::StatusOr<Mapping> map(int fd, bool writable);

 private:
  std::span<std::byte> bytes_;
};

// `errno` as a Status: "<what>: <strerror>", code UNAVAILABLE, or the fitting one for ENOENT,
// EACCES, EPERM, EEXIST.
absl::Status errno_status(int error, const std::string& what);

// A new memfd of `size` zero bytes, close-on-exec.
absl::StatusOr<Fd> make_memfd(const char* name, size_t size);

// Forbids any further change of the memfd's size and contents. Fails while a writable mapping
// exists.
absl::Status seal_memfd(int fd);

}  // namespace penstock

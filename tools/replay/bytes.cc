#include "tools/replay/bytes.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "dataplane/base/strings.h"

namespace penstock::replay {
namespace {

constexpr size_t kChunk = size_t{1} << 16;

}  // namespace

absl::StatusOr<Bytes> Bytes::open(const std::string& path) {
  Bytes bytes;
  bytes.path_ = path == "-" ? "standard input" : path;
  bytes.fd_ = Fd(path == "-" ? ::dup(STDIN_FILENO) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!bytes.fd_.valid()) return errno_status(errno, bytes.path_);
  return bytes;
}

Bytes Bytes::of(std::string all) {
  Bytes bytes;
  bytes.ahead_ = std::move(all);
  return bytes;
}

absl::StatusOr<std::string_view> Bytes::peek(size_t n) {
  while (ahead_.size() - taken_ < n) {
    const size_t before = ahead_.size();
    ahead_.resize(before + kChunk);
    const absl::StatusOr<size_t> got = read_file(ahead_.data() + before, kChunk);
    ahead_.resize(before + got.value_or(0));
    RETURN_IF_ERROR(got.status());
    if (*got == 0) break;
  }
  return std::string_view(ahead_).substr(taken_, n);
}

absl::StatusOr<size_t> Bytes::read(char* out, size_t n) {
  const size_t kept = ahead_.size() - taken_;
  if (kept == 0) return read_file(out, n);
  n = std::min(n, kept);
  std::memcpy(out, ahead_.data() + taken_, n);
  taken_ += n;
  return n;
}

absl::StatusOr<std::string> Bytes::rest() {
  std::string all = std::move(ahead_);
  all.erase(0, std::exchange(taken_, 0));
  ahead_.clear();
  for (;;) {
    const size_t before = all.size();
    all.resize(before + kChunk);
    ASSIGN_OR_RETURN(const size_t got, read_file(all.data() + before, kChunk));
    all.resize(before + got);
    if (got == 0) return all;
  }
}

absl::StatusOr<size_t> Bytes::read_file(char* out, size_t n) {
  if (!fd_.valid()) return size_t{0};
  ssize_t got = 0;
  do {
    got = ::read(fd_.get(), out, n);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return errno_status(errno, cat("reading ", std::string_view(path_)));
  return static_cast<size_t>(got);
}

}  // namespace penstock::replay

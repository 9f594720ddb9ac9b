#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "dataplane/base/fd.h"
#include "dataplane/base/status.h"

namespace penstock::replay {

// The bytes of a file, of standard input or of memory, in order, with a look ahead. One thread.
class Bytes {
 public:
  // "-" is standard input. NOT_FOUND, PERMISSION_DENIED ... name the path.
  static absl::StatusOr<Bytes> open(const std::string& path);
  static Bytes of(std::string all);

  // The next `n` bytes, fewer at the end. They stay to be read.
  absl::StatusOr<std::string_view> peek(size_t n);
  // Up to `n` bytes; 0 at the end.
  absl::StatusOr<size_t> read(char* out, size_t n);
  // All that is left.
  absl::StatusOr<std::string> rest();

 private:
  Bytes() = default;
  absl::StatusOr<size_t> read_file(char* out, size_t n);

  std::string path_;
  Fd fd_;  // none: only what is in `ahead_`
  std::string ahead_;
  size_t taken_ = 0;  // of `ahead_`
};

}  // namespace penstock::replay

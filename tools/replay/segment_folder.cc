#include "tools/replay/segment_folder.h"

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "dataplane/base/fd.h"
#include "dataplane/base/strings.h"

namespace penstock::replay {

absl::Status SegmentFolder::prepare() {
  std::error_code error;
  std::filesystem::create_directory(path_, error);
  std::error_code ignored;
  if (std::filesystem::exists(path_, ignored) && !std::filesystem::is_directory(path_, ignored)) {
    return absl::FailedPreconditionError(
        cat("--segments ", path_, ": is not a folder; name a new or an empty one"));
  }
  if (!error && std::filesystem::is_empty(path_, error)) return absl::OkStatus();
  if (error) return errno_status(error.value(), cat("--segments ", path_));
  return absl::FailedPreconditionError(
      cat("--segments ", path_, ": is not empty; name a new or an empty folder"));
}

void SegmentFolder::add(const segment::Meta& meta, std::span<const std::byte> bytes) {
  if (!status_.ok()) return;
  status_ = write(cat(path_, "/", meta.bucket_start, "-", absl::Dec(meta.sequence, absl::kZeroPad6),
                      ".segment"),
                  bytes);
}

absl::Status SegmentFolder::write(const std::string& file, std::span<const std::byte> bytes) const {
  std::FILE* out = std::fopen(file.c_str(), "wbe");
  if (out == nullptr) return errno_status(errno, file);
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), out) == bytes.size();
  const int error = errno;
  if (std::fclose(out) != 0) return errno_status(errno, file);
  return written ? absl::OkStatus() : errno_status(error, file);
}

}  // namespace penstock::replay

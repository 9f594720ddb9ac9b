#pragma once

#include <string>

#include "dataplane/base/fd.h"

namespace penstock {

// The run directory, mode 0700, and the lock on it: one penstockd at a time.
class RunDir {
 public:
  // Makes the directory if it is missing (not its parent) and locks it until the RunDir goes.
  // ALREADY_EXISTS: another penstockd has it; other errors name the path and the remedy.
  static absl::StatusOr<RunDir> open(const std::string& path);

  [[nodiscard]] std::string file(std::string_view name) const;

 private:
  RunDir(std::string path, Fd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string path_;
  Fd lock_;
};

}  // namespace penstock

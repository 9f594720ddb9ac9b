#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace penstock::origin {

// What became of the question which container a process is in. kFull: in one that is beyond the
// limit of those we know.
enum class Outcome : uint8_t { kContainer, kNone, kError, kFull };

// Finds the container of a process in the proc file system. One thread; system calls.
class ContainerLookup {
 public:
  // `proc_root` is where the proc file system is, "/proc". `in_namespace`: this process is in a
  // cgroup namespace of its own, so that processes of its own container are at the root.
  explicit ContainerLookup(std::string proc_root, bool in_namespace = in_cgroup_namespace());

  struct Found {
    Outcome outcome;
    std::string_view container;  // until the next call
    int error = 0;               // errno of kError
  };
  Found find(uint32_t pid);

  [[nodiscard]] const std::string& proc_root() const { return proc_root_; }

  // Whether this process is in another cgroup namespace than the first one.
  static bool in_cgroup_namespace();

 private:
  int read(uint32_t pid, std::string_view name, size_t bytes_max);

  const std::string proc_root_;
  const bool in_namespace_;
  std::string text_;  // of the file last read
};

}  // namespace penstock::origin

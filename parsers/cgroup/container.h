#pragma once

#include <string_view>

namespace penstock::cgroup {

// Longest id `find_container` gives: no name of a cgroup is longer (NAME_MAX).
inline constexpr size_t kContainerMax = 255;

// What a process's cgroup file ("/proc/PID/cgroup") says of its container.
struct Membership {
  std::string_view container;  // id, a view into the text; empty: the file names none
  // The process is at the root of the reader's cgroup namespace, so that what has no container by
  // this file may be in the reader's own.
  bool at_root = false;
};

// Reads a cgroup file of either version, or of both at once. The memory controller's line (v1)
// counts before the unified one (v2), and that before any other; of the first that names a
// container, the innermost cgroup that does. Ids are what the Agent takes for one: 64 hexadecimal
// digits, 32 and a dash and a number (ECS, Fargate), or 8-4-4-4-4 at the end of the name (Garden).
// Never fails: what cannot be read names none.
Membership find_container(std::string_view cgroup_file);

// The container that a file of mounts ("/proc/PID/mountinfo") names: that whose host name file is
// mounted on /etc/hostname. Empty: none, or only the sandbox of a pod.
std::string_view find_mounted_container(std::string_view mountinfo_file);

}  // namespace penstock::cgroup

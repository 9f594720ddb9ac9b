#pragma once

#include <sys/types.h>

#include <span>
#include <string>
#include <string_view>

#include "dataplane/base/fd.h"

namespace penstock {

struct Launched {
  pid_t pid = 0;
  Fd pidfd;  // readable when the process has ended
};

// Starts `executable` in a session of its own, so that neither a Ctrl-C at our terminal nor our own
// end reaches it. `fds` become its descriptors 3, 4 ...; it has no others but the standard ones,
// with input from /dev/null. Safe with threads running.
absl::StatusOr<Launched> launch(const std::string& executable, std::span<const int> fds);

absl::StatusOr<Fd> open_pidfd(pid_t pid);
void signal_process(const Fd& pidfd, int signal);

// Where a program of ours is: next to this executable, in the build tree, or installed;
// PENSTOCK_LIBEXEC overrides. NOT_FOUND names the places.
absl::StatusOr<std::string> find_program(std::string_view name, std::string_view build_folder);

// What a wait status of the data plane means, for people: "exit code 4: DPDK's EAL could not
// start".
std::string explain_exit(int wait_status);

}  // namespace penstock

#include "dataplane/origin/container_lookup.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>

#include "tests/unit/origin/fake_proc.h"

namespace penstock::origin {
namespace {

TEST(ContainerLookup, ReadsTheFilesOfAProcess) {
  const FakeProc proc;
  const std::string a = container('a');
  const std::string mounts = "1 2 8:1 /docker/containers/" + a + "/hostname /etc/hostname rw - x\n";
  proc.put(1, a);
  proc.put(2, "");
  proc.write(3, "cgroup", "11:memory:/docker/" + a + "\n0::/\n");
  proc.write(4, "cgroup", "");
  // At the root of a cgroup namespace: the mounts tell, if it is ours.
  proc.write(5, "cgroup", "0::/\n");
  proc.write(5, "mountinfo", mounts);
  proc.write(6, "cgroup", "0::/\n");
  proc.write(7, "cgroup", "0::/\n");
  proc.write(7, "mountinfo", "1 2 8:1 / / rw - x\n");
  // Not at the root: they are not asked.
  proc.write(8, "cgroup", "0::/user.slice\n");
  proc.write(8, "mountinfo", mounts);
  // Longer than one read.
  proc.write(9, "cgroup", std::string(9000, '\n') + "0::/docker/" + a + "\n");
  struct Case {
    uint32_t pid;
    Outcome outcome;
    Outcome in_namespace;
  };
  const Case cases[] = {
      {1, Outcome::kContainer, Outcome::kContainer}, {2, Outcome::kNone, Outcome::kNone},
      {3, Outcome::kContainer, Outcome::kContainer}, {4, Outcome::kNone, Outcome::kNone},
      {5, Outcome::kNone, Outcome::kContainer},      {6, Outcome::kNone, Outcome::kNone},
      {7, Outcome::kNone, Outcome::kNone},           {8, Outcome::kNone, Outcome::kNone},
      {9, Outcome::kContainer, Outcome::kContainer}, {10, Outcome::kError, Outcome::kError},
  };
  for (const bool in_namespace : {false, true}) {
    ContainerLookup lookup(proc.root(), in_namespace);
    for (const Case& c : cases) {
      const ContainerLookup::Found found = lookup.find(c.pid);
      const Outcome expected = in_namespace ? c.in_namespace : c.outcome;
      EXPECT_EQ(found.outcome, expected) << c.pid;
      EXPECT_EQ(found.container, expected == Outcome::kContainer ? a : "") << c.pid;
      EXPECT_EQ(found.error, expected == Outcome::kError ? ENOENT : 0) << c.pid;
    }
  }
}

TEST(ContainerLookup, ReadsTheRealFiles) {
  ContainerLookup lookup("/proc");
  EXPECT_NE(lookup.find(static_cast<uint32_t>(::getpid())).outcome, Outcome::kError);
  EXPECT_EQ(lookup.find(UINT32_MAX).error, ENOENT);
  EXPECT_EQ(ContainerLookup("/nowhere").find(1).error, ENOENT);
}

}  // namespace
}  // namespace penstock::origin

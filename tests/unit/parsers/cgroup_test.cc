#include <gtest/gtest.h>

#include <string>

#include "parsers/cgroup/container.h"

namespace penstock::cgroup {
namespace {

// An id of each form. `D` in the tables below stands for kDocker, `E` for kEcs, `G` for kGarden.
constexpr char kDocker[] = "3726184226f5d3147c25fdeab5b60097e378e8a720503a5e19ecfdf29f869860";
constexpr char kEcs[] = "34dc0b5e626f2c5c4c5170e34b10e765-1234567890";
constexpr char kGarden[] = "6f265890-5165-7fab-6b52-18d1";
constexpr char kHex32[] = "34dc0b5e626f2c5c4c5170e34b10e765";

std::string spelled(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case 'D':
        out += kDocker;
        break;
      case 'E':
        out += kEcs;
        break;
      case 'G':
        out += kGarden;
        break;
      default:
        out += c;
    }
  }
  return out;
}

TEST(FindContainer, OfOnePath) {
  struct Case {
    const char* path;
    const char* container;
  };
  const Case cases[] = {
      // Runtimes and drivers, as they are found.
      {"/docker/D", "D"},
      {"/docker-ce/docker/D", "D"},
      {"/system.slice/docker-D.scope", "D"},
      {"/kubepods/besteffort/pod3d274242-8ee0-11e9-a8a6-1e68d864ef1a/D", "D"},
      {"/kubepods/pod3d274242-8ee0-11e9-a8a6-1e68d864ef1a/D", "D"},
      {"/kubepods.slice/kubepods-burstable.slice/"
       "kubepods-burstable-pod2d3da189_6407_48e3_9ab6_78188d75e609.slice/cri-containerd-D.scope",
       "D"},
      {"/kubepods.slice/kubepods-pod2d3da189_6407_48e3_9ab6_78188d75e609.slice/crio-D.scope", "D"},
      {"/kubepods.slice/kubepods-pod2d3da189_6407_48e3_9ab6_78188d75e609.slice/docker-D.scope",
       "D"},
      {"/system.slice/containerd.service/"
       "kubepods-besteffort-pod1.slice:cri-containerd:D",
       "D"},
      {"/default/D", "D"},  // ctr, nerdctl
      {"/machine.slice/libpod-D.scope", "D"},
      {"/machine.slice/libpod-D.scope/container", "D"},
      {"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-D.scope/container", "D"},
      {"/libpod_parent/libpod-D", "D"},
      {"/ecs/haissam-ecs-classic/5a0d5ceddf6c44c1928d367a815d890f/D", "D"},
      {"/ecs/5a0d5ceddf6c44c1928d367a815d890f/E", "E"},
      {"/ecs/D", "D"},
      {"/garden/G", "G"},
      {"/system.slice/garden.service/garden/G", "G"},
      {"/azure-container-service/D", "D"},
      {"/actions_job/D", "D"},
      {"/lxc.payload/docker/D", "D"},
      // Cgroups inside a container are it.
      {"/docker/D/init.scope", "D"},
      {"/docker/D/system.slice/nginx.service", "D"},
      {"/docker/D/kubepods/besteffort/pod1/E", "E"},  // the inner one
      {"/../docker-D.scope", "D"},                    // of a namespace beside ours
      {"/../../D", "D"},
      {"/docker/D (deleted)", "D"},
      {"/garden/G (deleted)", "G"},
      // No container.
      {"", ""},
      {"/", ""},
      {"//", ""},
      {"/init.scope", ""},
      {"/user.slice/user-1000.slice/session-2.scope", ""},
      {"/system.slice/nginx.service", ""},
      {"/kubepods/besteffort/pod3d274242-8ee0-11e9-a8a6-1e68d864ef1a", ""},
      {"/kubepods.slice/kubepods-pod2d3da189_6407_48e3_9ab6_78188d75e609.slice", ""},
      {"/ecs/5a0d5ceddf6c44c1928d367a815d890f", ""},
      {"/ecs/5a0d5ceddf6c44c1928d367a815d890f-", ""},
      {"/ecs/5a0d5ceddf6c44c1928d367a815d890f-x1", ""},
      {"/garden/G.x", ""},
      {"/garden/6f265890-5165-7fab-6b52-18d", ""},
      {"/garden/6f265890-5165-7fab-6b52-18d1a", ""},
      {"/garden/6F265890-5165-7fab-6b52-18d1", ""},
      {"/docker/3726184226F5D3147C25FDEAB5B60097E378E8A720503A5E19ECFDF29F869860", ""},
      // They have the id of a container and are none.
      {"/system.slice/docker-D.mount", ""},
      {"/kubepods.slice/crio-conmon-D.scope", ""},
      {"/machine.slice/libpod-conmon-D.scope", ""},
      {"/docker/D/dev.mount", "D"},
      // Where in a name.
      {"/aD", "a3726184226f5d3147c25fdeab5b60097e378e8a720503a5e19ecfdf29f86986"},
      {"/Dx", "D"},
      {"/aG", "G"},
      {"/E-5", "E"},
      {"D", "D"},  // no slash
  };
  for (const Case& c : cases) {
    const std::string path = spelled(c.path);
    for (const std::string& file : {"0::" + path, "0::" + path + "\n", "9:memory:" + path + "\n",
                                    "1:name=systemd:" + path + "\n"}) {
      EXPECT_EQ(find_container(file).container, spelled(c.container)) << file;
    }
  }
}

TEST(FindContainer, OfSeveralLines) {
  struct Case {
    const char* file;
    const char* container;
    bool at_root = false;
  };
  const Case cases[] = {
      {"", ""},
      {"\n\n", ""},
      {"0::/\n", "", true},
      {"0::/", "", true},
      {"0::/..\n", ""},
      {"0::\n", ""},
      {"9:memory:/\n0::/x\n", "", true},
      {"9:memory:/x\n0::/\n", ""},
      {"5:cpu:/\n1:name=systemd:/\n", ""},  // neither says
      {"5:cpu:/\n1:name=systemd:/\n0::/\n", "", true},
      // Docker on cgroup v1.
      {"13:name=systemd:/docker/D\n12:pids:/docker/D\n4:memory:/docker/D\n1:cpuset:/docker/D\n",
       "D"},
      // The memory controller before the unified one before the rest.
      {"0::/E\n4:memory:/D\n", "D"},
      {"1:pids:/G\n0::/E\n", "E"},
      {"4:memory:/\n1:pids:/G\n0::/E\n", "E"},
      {"4:memory:/user.slice\n1:pids:/G\n0::/\n", "G"},
      {"3:hugetlb,memory:/D\n0::/E\n", "D"},
      {"3:memoryx:/D\n0::/E\n", "E"},
      {"1:pids:/G\n2:cpu,cpuacct:/E\n", "G"},  // the first of equals
      // What does not parse is left out.
      {"memory:/D\n", ""},
      {"memory\n0::/D\n", "D"},
      {":memory:/D\n", "D"},
      {"::::/D\n", "D"},
      {"x:memory:D:E\n", "D"},
      {"0::/D\r\n", "D"},
  };
  for (const Case& c : cases) {
    const std::string file = spelled(c.file);
    const Membership m = find_container(file);
    EXPECT_EQ(m.container, spelled(c.container)) << file;
    EXPECT_EQ(m.at_root, c.at_root) << file;
  }
}

TEST(FindContainer, BoundsTheId) {
  const std::string longest = std::string(kHex32) + "-" + std::string(255 - 33, '7');
  ASSERT_EQ(longest.size(), kContainerMax);
  EXPECT_EQ(find_container("0::/" + longest).container, longest);
  EXPECT_EQ(find_container("0::/" + longest + "7").container, "");
}

TEST(FindMountedContainer, ByTheHostNameFile) {
  struct Case {
    const char* file;
    const char* container;
  };
  const Case cases[] = {
      {"678 655 254:1 /var/lib/docker/containers/D/hostname /etc/hostname rw,relatime - ext4 x "
       "rw\n",
       "D"},
      {"1 2 0:1 / /proc rw - proc proc rw\n"
       "678 655 254:1 /docker/containers/D/resolv.conf /etc/resolv.conf rw - ext4 x rw\n"
       "679 655 254:1 /docker/containers/D/hostname /etc/hostname rw - ext4 x rw\n",
       "D"},
      {"1 2 0:3 /containers/overlay-containers/D/userdata/hostname /etc/hostname rw - tmpfs t rw\n",
       "D"},
      {"1 2 0:3 /G/hostname /etc/hostname rw", "G"},
      {"1 2 0:3 /E/hostname /etc/hostname", "E"},
      // The sandbox of a pod is not one of its containers.
      {"1 2 0:3 /lib/io.containerd.grpc.v1.cri/sandboxes/D/hostname /etc/hostname rw - ext4 x rw\n",
       ""},
      // Seen from outside of the container.
      {"1 2 0:3 / /var/lib/docker/containers/D/mounts/shm rw - tmpfs shm rw\n", ""},
      {"1 2 0:3 /docker/containers/D/hosts /etc/hosts rw - ext4 x rw\n", ""},
      {"1 2 0:3 /docker/containers/D/x /etc/hostname rw - ext4 x rw\n", ""},
      {"1 2 0:3 /docker/containers/xD/hostname /etc/hostname rw - ext4 x rw\n", ""},
      {"1 2 0:3 /etc/hostname /etc/hostname rw - ext4 x rw\n", ""},
      {"1 2 0:3 / / rw\n", ""},
      {"/D/hostname /etc/hostname\n", ""},
      {"", ""},
      {"\n    \n", ""},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(find_mounted_container(spelled(c.file)), spelled(c.container)) << c.file;
  }
}

}  // namespace
}  // namespace penstock::cgroup

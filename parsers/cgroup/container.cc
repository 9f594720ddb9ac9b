#include "parsers/cgroup/container.h"

#include <algorithm>
#include <cstddef>

namespace penstock::cgroup {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); }

// How many hexadecimal digits `s` begins with, of at most `limit`.
size_t hex_prefix(std::string_view s, size_t limit) {
  const std::string_view head = s.substr(0, limit);
  return static_cast<size_t>(std::find_if_not(head.begin(), head.end(), is_hex) - head.begin());
}

// The whole of `s` is 8-4-4-4-4. A pod's UUID (8-4-4-4-12) is not.
bool is_garden(std::string_view s) {
  constexpr std::string_view kShape = "hhhhhhhh-hhhh-hhhh-hhhh-hhhh";
  return std::equal(s.begin(), s.end(), kShape.begin(), kShape.end(),
                    [](char c, char shape) { return shape == 'h' ? is_hex(c) : c == shape; });
}

// The id at the very beginning of `s`.
std::string_view id_at(std::string_view s) {
  constexpr size_t kOci = 64;
  constexpr size_t kTask = 32;
  const size_t digits = hex_prefix(s, kOci);
  if (digits == kOci) return s.substr(0, kOci);
  if (digits == kTask && s.size() > kTask + 1 && s[kTask] == '-' && is_digit(s[kTask + 1])) {
    const auto* const end = std::find_if_not(s.begin() + kTask + 1, s.end(), is_digit);
    return s.substr(0, static_cast<size_t>(end - s.begin()));
  }
  return is_garden(s) ? s : std::string_view();
}

// The container that one cgroup's name stands for. The cgroups of mounts and of the monitor of a
// container have its id, and are not it.
std::string_view id_in(std::string_view name) {
  if (name.size() > kContainerMax || name.ends_with(".mount") || name.starts_with("crio-conmon-") ||
      name.starts_with("libpod-conmon-")) {
    return {};
  }
  for (; !name.empty(); name.remove_prefix(1)) {
    if (const std::string_view id = id_at(name); !id.empty()) return id;
  }
  return {};
}

// Takes the text up to the next `separator` off `text`.
std::string_view take_until(std::string_view& text, char separator) {
  const size_t at = text.find(separator);
  const std::string_view taken = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return taken;
}

// The innermost cgroup that names a container: there may be others in it, such as podman's
// "container" and systemd's "init.scope".
std::string_view innermost_id(std::string_view path) {
  constexpr std::string_view kDeleted = " (deleted)";
  if (path.ends_with(kDeleted)) path.remove_suffix(kDeleted.size());
  while (!path.empty()) {
    const size_t slash = path.rfind('/');
    const size_t name = slash == std::string_view::npos ? 0 : slash + 1;
    if (const std::string_view id = id_in(path.substr(name)); !id.empty()) return id;
    path = path.substr(0, name == 0 ? 0 : slash);
  }
  return {};
}

bool lists(std::string_view controllers, std::string_view name) {
  while (!controllers.empty()) {
    if (take_until(controllers, ',') == name) return true;
  }
  return false;
}

// The best line of each rank, by what it says.
enum Rank { kMemory, kUnified, kOther, kRanks };

Rank rank_of(std::string_view controllers) {
  if (controllers.empty()) return kUnified;
  return lists(controllers, "memory") ? kMemory : kOther;
}

}  // namespace

Membership find_container(std::string_view file) {
  std::string_view ids[kRanks];
  bool seen[kRanks] = {};
  bool at_root[kRanks] = {};
  while (!file.empty()) {
    std::string_view path = take_until(file, '\n');
    if (path.find(':') == std::string_view::npos) continue;
    take_until(path, ':');  // number of the hierarchy
    if (path.find(':') == std::string_view::npos) continue;
    const Rank rank = rank_of(take_until(path, ':'));
    if (!ids[rank].empty()) continue;
    ids[rank] = innermost_id(path);
    if (!seen[rank]) at_root[rank] = path == "/";
    seen[rank] = true;
  }
  const auto* const named =
      std::find_if(ids, ids + kRanks, [](std::string_view id) { return !id.empty(); });
  if (named != ids + kRanks) return {*named, false};
  return {{}, at_root[seen[kMemory] ? kMemory : kUnified]};
}

std::string_view find_mounted_container(std::string_view file) {
  while (!file.empty()) {
    std::string_view line = take_until(file, '\n');
    for (int i = 0; i < 3; ++i) take_until(line, ' ');  // mount, parent, device
    std::string_view root = take_until(line, ' ');      // within the mounted file system
    if (take_until(line, ' ') != "/etc/hostname" || !root.ends_with("hostname")) continue;
    std::string_view folder;
    while (!root.empty()) {
      const std::string_view name = take_until(root, '/');
      const std::string_view id = id_at(name);
      if (!id.empty() && id.size() == name.size() && folder != "sandboxes") return id;
      folder = name;
    }
  }
  return {};
}

}  // namespace penstock::cgroup

#include "dataplane/nic/xdp_filter.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "bpf/bpf.h"
#include "bpf/libbpf.h"
#include "dataplane/base/log.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

// As in penstock_xdp.bpf.c; the kernel keeps the first 15 bytes of a name.
constexpr std::string_view kProgram = "penstock_filter";
constexpr std::string_view kPortsMap = "penstock_ports";
constexpr const char* kObject = "penstock_xdp.bpf.o";

struct Attached {
  uint32_t id = 0;  // 0: none
  std::string name;
  Fd fd;
  std::vector<uint32_t> maps;
};

absl::StatusOr<Attached> attached_program(unsigned interface) {
  Attached a;
  if (const int e = bpf_xdp_query_id(static_cast<int>(interface), 0, &a.id); e != 0) {
    return errno_status(-e, "asking for the XDP program");
  }
  if (a.id == 0) return a;
  a.fd.reset(bpf_prog_get_fd_by_id(a.id));
  if (!a.fd.valid()) return errno_status(errno, cat("opening XDP program ", a.id));
  std::array<uint32_t, 8> maps{};
  bpf_prog_info info{};
  uint32_t size = sizeof info;
  info.map_ids = reinterpret_cast<uint64_t>(maps.data());
  info.nr_map_ids = maps.size();
  if (bpf_obj_get_info_by_fd(a.fd.get(), &info, &size) != 0) {
    return errno_status(errno, cat("reading XDP program ", a.id));
  }
  a.name.assign(info.name, strnlen(info.name, sizeof info.name));
  a.maps.assign(maps.begin(), maps.begin() + std::min<size_t>(info.nr_map_ids, maps.size()));
  return a;
}

absl::StatusOr<Fd> find_map(const Attached& program, std::string_view name) {
  for (const uint32_t id : program.maps) {
    Fd map(bpf_map_get_fd_by_id(id));
    bpf_map_info info{};
    uint32_t size = sizeof info;
    if (!map.valid() || bpf_obj_get_info_by_fd(map.get(), &info, &size) != 0) continue;
    if (name == std::string_view(info.name, strnlen(info.name, sizeof info.name))) return map;
  }
  return absl::NotFoundError(cat("XDP program ", program.name, " has no map ", name));
}

// An abstract socket name: per network namespace, like interfaces, and gone with its process.
absl::StatusOr<Fd> reserve(std::string_view interface, unsigned index) {
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return errno_status(errno, "socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = cat("penstock-xdp-", index);
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    return absl::AlreadyExistsError(cat("interface ", interface,
                                        " is in use by another Penstock data plane; stop it, or "
                                        "give this one another interface in penstock.ports"));
  }
  return socket;
}

}  // namespace

absl::StatusOr<std::unique_ptr<XdpFilter>> XdpFilter::prepare(std::string_view interface) {
  std::string name(interface);
  const unsigned index = ::if_nametoindex(name.c_str());
  if (index == 0) {
    return absl::NotFoundError(cat("no kernel interface \"", interface,
                                   "\"; create it or correct iface= in penstock.ports.device"));
  }
  ASSIGN_OR_RETURN(Fd reservation, reserve(interface, index));
  ASSIGN_OR_RETURN(const Attached found, attached_program(index));
  std::unique_ptr<XdpFilter> filter(new XdpFilter(name, index, std::move(reservation)));
  if (found.id == 0) return filter;
  if (found.name != kProgram) {
    return absl::AlreadyExistsError(cat("interface ", interface, " already has the XDP program \"",
                                        found.name, "\" (id ", found.id,
                                        "), which is not ours; remove it with `ip link set ",
                                        interface, " xdp off` or use another interface"));
  }
  spdlog::warn("interface {}: removing the XDP program of a data plane that was killed", name);
  if (const int e = bpf_xdp_detach(static_cast<int>(index), 0, nullptr); e != 0) {
    return errno_status(-e, cat("interface ", interface, ": removing a stale XDP program"));
  }
  filter->was_stale_ = true;
  return filter;
}

XdpFilter::~XdpFilter() {
  const absl::StatusOr<Attached> left = attached_program(index_);
  if (left.ok() && left->name == kProgram) {
    bpf_xdp_detach(static_cast<int>(index_), 0, nullptr);
  }
}

absl::Status XdpFilter::admit(std::span<const uint16_t> udp_ports) {
  ASSIGN_OR_RETURN(const Attached program, attached_program(index_));
  if (program.name != kProgram) {
    return absl::InternalError(cat("interface ", interface_, ": our XDP program is not attached"));
  }
  program_ = program.id;
  ASSIGN_OR_RETURN(ports_, find_map(program, kPortsMap));
  for (const uint16_t port : udp_ports) {
    const uint8_t one = 1;
    if (bpf_map_update_elem(ports_.get(), &port, &one, BPF_ANY) != 0) {
      return errno_status(errno, cat("XDP map penstock_ports: adding port ", port));
    }
    admitted_.push_back(port);
  }
  return absl::OkStatus();
}

void XdpFilter::withdraw() {
  for (const uint16_t port : admitted_) bpf_map_delete_elem(ports_.get(), &port);
  admitted_.clear();
}

bool XdpFilter::link_up() const {
  ifreq request{};
  if (::if_indextoname(index_, request.ifr_name) == nullptr) return false;
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return ::ioctl(socket.get(), SIOCGIFFLAGS, &request) == 0 &&
         (request.ifr_flags & IFF_RUNNING) != 0;
}

std::string XdpFilter::trouble() const {
  std::array<char, IF_NAMESIZE> name;
  if (::if_indextoname(index_, name.data()) == nullptr) {
    return cat("interface ", interface_,
               " is gone; once it is back, restart the data plane (SIGTERM to it)");
  }
  uint32_t id = 0;
  if (bpf_xdp_query_id(static_cast<int>(index_), 0, &id) != 0 || id == program_) return {};
  const std::string_view what =
      id == 0 ? ": somebody took our XDP program off; undo what did it"
              : ": somebody put another XDP program in the place of ours; remove it";
  return cat("interface ", interface_, what, ", then restart the data plane (SIGTERM to it)");
}

absl::StatusOr<std::string> find_xdp_object() {
  namespace fs = std::filesystem;
  std::error_code error;
  const char* libexec = std::getenv("PENSTOCK_LIBEXEC");
  const fs::path base =
      libexec != nullptr ? libexec : fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const fs::path& place : {base / kObject, base / "nic" / kObject}) {
    if (fs::exists(place, error)) return place.string();
  }
  return absl::NotFoundError(cat("the XDP object ", kObject, " is not in ", base.string(),
                                 " or its nic/; PENSTOCK_LIBEXEC names its folder"));
}

}  // namespace penstock

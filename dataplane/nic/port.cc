#include "dataplane/nic/port.h"

#include <dirent.h>
#include <linux/if_xdp.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <set>
#include <thread>

#include "dataplane/api/port_memory.h"
#include "dataplane/base/log.h"
#include "dataplane/base/strings.h"
#include "dataplane/core/packet.h"
#include "dataplane/nic/eal.h"
#include "dataplane/nic/packet_pool.h"

namespace penstock {
namespace {

constexpr uint64_t kChecksums = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
// UDP by the 4-tuple; fragments, of which only the first has ports, and the rest by their
// addresses, so that all pieces of a datagram meet in one queue.
constexpr uint64_t kRss = RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_NONFRAG_IPV6_UDP |
                          RTE_ETH_RSS_FRAG_IPV4 | RTE_ETH_RSS_FRAG_IPV6 | RTE_ETH_RSS_IPV4 |
                          RTE_ETH_RSS_IPV6;

// The AF_XDP sockets of this process, in the order of their descriptors. The driver shows nobody
// its sockets, but its own counters leave out what a full receive ring lost.
std::set<int> xdp_sockets() {
  std::set<int> found;
  DIR* dir = ::opendir("/proc/self/fd");
  if (dir == nullptr) return found;
  while (const dirent* entry = ::readdir(dir)) {
    const int fd = std::atoi(entry->d_name);
    int domain = 0;
    socklen_t size = sizeof domain;
    if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_XDP) {
      found.insert(fd);
    }
  }
  ::closedir(dir);
  return found;
}

// The port a device string names, or UINT16_MAX.
uint16_t find_port(const std::string& devargs) {
  uint16_t id = UINT16_MAX;
  rte_dev_iterator iterator;
  uint16_t each;
  RTE_ETH_FOREACH_MATCHING_DEV(each, devargs.c_str(), &iterator) {
    if (id == UINT16_MAX) id = each;
  }
  return id;
}

// Our MAC address on the port. net_tap tells the address of the kernel's end of the wire; ours is
// another one, as a neighbour does not answer itself.
std::array<uint8_t, 6> own_mac(uint16_t id, std::string_view driver) {
  rte_ether_addr address{};
  rte_eth_macaddr_get(id, &address);
  std::array<uint8_t, 6> mac;
  std::copy_n(address.addr_bytes, mac.size(), mac.begin());
  if (driver == "net_tap") mac[5] ^= 1;
  return mac;
}

std::string mac_text(const std::array<uint8_t, 6>& mac) {
  std::string text;
  for (const uint8_t byte : mac) {
    text += cat(text.empty() ? "" : ":", absl::Hex(byte, absl::kZeroPad2));
  }
  return text;
}

// Some drivers say it by the MTU, some by the frame, some not at all.
uint32_t mtu_max(const rte_eth_dev_info& info) {
  const uint32_t by_mtu = info.max_mtu == 0 ? UINT32_MAX : info.max_mtu;
  constexpr uint32_t kAround = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
  if (info.max_rx_pktlen <= kAround) return by_mtu;
  return std::min(by_mtu, info.max_rx_pktlen - kAround);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Port>> Port::start(const Plan& plan, uint16_t index) {
  std::unique_ptr<Port> port(new Port(plan, index));
  absl::Status status = port->bring_up();
  // The kernel takes the sockets of a killed process apart in the background; until then their
  // queue is busy.
  for (int retry = 0; !status.ok() && port->filter_ && port->filter_->was_stale() && retry < 10;
       ++retry) {
    port->tear_down();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    status = port->bring_up();
  }
  if (!status.ok()) return status;
  return port;
}

absl::Status Port::bring_up() {
  if (is_af_xdp(spec_) && !filter_) {
    absl::StatusOr<std::unique_ptr<XdpFilter>> filter =
        XdpFilter::prepare(plan_.str(spec_.interface));
    if (!filter.ok()) {
      return {filter.status().code(),
              to_absl(cat("port ", plan_.str(spec_.name), ": ", filter.status().message()))};
    }
    filter_ = *std::move(filter);
  }
  take_dpdk_error();  // of an earlier port
  const std::set<int> before = xdp_sockets();
  RETURN_IF_ERROR(probe());
  RETURN_IF_ERROR(configure());
  RETURN_IF_ERROR(set_up_queues());
  for (const int fd : xdp_sockets()) {
    if (!before.contains(fd)) xdp_sockets_.push_back(fd);
  }
  return run();
}

// Many drivers return -1 for everything and log the reason.
absl::Status Port::failure(std::string_view what, int error, std::string_view todo) const {
  std::string why = take_dpdk_error();
  if (why.empty()) why = rte_strerror(error < 0 ? -error : error);
  return absl::UnavailableError(cat("port ", plan_.str(spec_.name), ", device \"",
                                    plan_.str(spec_.device), "\": ", what, ": ", why, "; ", todo));
}

// The device string with what the Plan says elsewhere.
absl::StatusOr<std::string> Port::devargs() const {
  std::string args(plan_.str(spec_.device));
  if (!is_af_xdp(spec_)) return args;
  if (args.find("queue_count=") == std::string::npos) {
    args += cat(",queue_count=", spec_.queues);
  }
  // The driver would ask the kernel, by a system call, each time it finds nothing.
  if (plan_.idle == IdleMode::kBusy && args.find("busy_budget=") == std::string::npos) {
    args += ",busy_budget=0";
  }
  ASSIGN_OR_RETURN(const std::string object, find_xdp_object());
  return cat(args, ",xdp_prog=", object);
}

absl::Status Port::probe() {
  ASSIGN_OR_RETURN(const std::string args, devargs());
  id_ = find_port(args);
  if (id_ != UINT16_MAX) return claim();
  if (const int e = rte_dev_probe(args.c_str()); e != 0) {
    return failure("the driver refuses it", e,
                   "check penstock.ports.device: its driver, its arguments, and for PCI that the "
                   "device is bound to vfio-pci");
  }
  id_ = find_port(args);
  if (id_ == UINT16_MAX) return failure("probed, but no Ethernet port", ENODEV, "is it a NIC?");
  return claim();
}

// DPDK finds a device by its name alone, whatever its arguments: what another of our ports has is
// not ours to configure, nor to close.
absl::Status Port::claim() {
  rte_eth_dev_owner owner{};
  rte_eth_dev_owner_new(&owner.id);
  plan_.str(spec_.name).copy(owner.name, sizeof owner.name - 1);
  if (const int e = rte_eth_dev_owner_set(id_, &owner); e != 0) {
    id_ = UINT16_MAX;
    return failure("another port has this device", e,
                   "give each port of penstock.ports a device of its own (net_af_xdp0, "
                   "net_af_xdp1 ...)");
  }
  return absl::OkStatus();
}

absl::Status Port::configure() {
  rte_eth_dev_info info;
  if (const int e = rte_eth_dev_info_get(id_, &info); e != 0) {
    return failure("no device information", e, "see the driver's log above");
  }
  if (spec_.queues > info.max_rx_queues || spec_.queues > info.max_tx_queues) {
    return failure(cat(spec_.queues, " queues, but the device has ",
                       std::min(info.max_rx_queues, info.max_tx_queues)),
                   EINVAL, "lower penstock.ports.queues");
  }
  if (const uint32_t most = mtu_max(info); spec_.mtu > most) {
    return failure(cat("MTU ", spec_.mtu, " is above the device's ", most), EINVAL,
                   "lower penstock.ports.mtu");
  }
  const rte_eth_conf conf = offloads(info);
  if (const int e = rte_eth_dev_configure(id_, spec_.queues, spec_.queues, &conf); e != 0) {
    return failure("cannot be configured", e, "see the driver's log above");
  }
  RETURN_IF_ERROR(set_mtu());
  mac_ = own_mac(id_, info.driver_name);
  RETURN_IF_ERROR(choose_descriptors());
  describe(info, conf);
  return absl::OkStatus();
}

// What we want and the device can.
rte_eth_conf Port::offloads(const rte_eth_dev_info& info) const {
  rte_eth_conf conf{};
  conf.rxmode.mtu = spec_.mtu;
  conf.rxmode.offloads = kChecksums & info.rx_offload_capa;
  const uint64_t rss = kRss & info.flow_type_rss_offloads;
  if (spec_.queues > 1 && rss != 0) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_RSS_HASH & info.rx_offload_capa;
    conf.rx_adv_conf.rss_conf.rss_hf = rss;
  }
  return conf;
}

// An interface of the kernel keeps the MTU its owner set, and some drivers have none.
absl::Status Port::set_mtu() const {
  if (is_af_xdp(spec_)) return absl::OkStatus();
  const int e = rte_eth_dev_set_mtu(id_, spec_.mtu);
  if (e == 0 || e == -ENOTSUP) return absl::OkStatus();
  return failure(cat("MTU ", spec_.mtu, " refused"), e, "lower penstock.ports.mtu");
}

absl::Status Port::choose_descriptors() {
  rx_descriptors_ = spec_.descriptors;
  // AF_XDP rings are powers of two, and never hold more than the frames the driver gives them.
  if (is_af_xdp(spec_)) {
    rx_descriptors_ = static_cast<uint16_t>(
        std::bit_ceil(std::min<uint32_t>(spec_.descriptors, kAfXdpFillFrames)));
  }
  tx_descriptors_ = kTxDescriptors;
  if (const int e = rte_eth_dev_adjust_nb_rx_tx_desc(id_, &rx_descriptors_, &tx_descriptors_);
      e != 0) {
    return failure("descriptors refused", e, "change penstock.ports.descriptors");
  }
  return absl::OkStatus();
}

void Port::describe(const rte_eth_dev_info& info, const rte_eth_conf& conf) {
  const int node = rte_eth_dev_socket_id(id_);
  const bool rss = conf.rxmode.mq_mode == RTE_ETH_MQ_RX_RSS;
  text_ = cat(info.driver_name, is_af_xdp(spec_) ? " on " : "", plan_.str(spec_.interface),
              ", MAC ", mac_text(mac_), ", MTU ", spec_.mtu,
              node >= 0 ? cat(", NUMA node ", node) : "", ", ", spec_.queues,
              spec_.queues == 1 ? " queue of " : " queues of ", rx_descriptors_, ", checksums by ",
              conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_UDP_CKSUM ? "the NIC" : "software",
              spec_.queues == 1 ? "" : (rss ? ", RSS" : ", no RSS"));
}

// Where the buffers of `queue` belong: at the NIC, or for a virtual one at the core that polls it.
int Port::numa_node(uint16_t queue) const {
  if (const int node = rte_eth_dev_socket_id(id_); node >= 0) return node;
  for (unsigned rx = 0; rx < plan_.rx_count; ++rx) {
    if (plan_.rx[rx].port == index_ && plan_.rx[rx].queue == queue) {
      return static_cast<int>(rte_lcore_to_socket_id(rx + 1));
    }
  }
  return 0;
}

absl::StatusOr<std::unique_ptr<Reassembly>> Port::make_reassembly(uint16_t queue) const {
  auto made = Reassembly::create(cat("ip", index_, ".", queue), plan_.limits.fragments,
                                 datagram_buffers(plan_),
                                 static_cast<uint16_t>(datagram_room(plan_)), numa_node(queue));
  if (made.ok()) return made;
  return absl::UnavailableError(
      to_absl(cat("port ", plan_.str(spec_.name), ": ", made.status().message())));
}

absl::StatusOr<rte_mempool*> Port::make_pool(uint16_t queue) const {
  const uint32_t mbufs = mbufs_per_queue(plan_, spec_);
  rte_mempool* pool =
      make_packet_pool(cat("rx", index_, ".", queue), mbufs, spec_, numa_node(queue));
  if (pool == nullptr) {
    return failure(cat("no memory for ", mbufs, " buffers of ", mbuf_bytes(spec_), " bytes"),
                   rte_errno,
                   "reserve more hugepages (sysctl vm.nr_hugepages), or lower "
                   "penstock.ports.descriptors or penstock.limits.ring_slots");
  }
  return pool;
}

absl::Status Port::set_up_queues() {
  for (uint16_t q = 0; q < spec_.queues; ++q) {
    ASSIGN_OR_RETURN(rte_mempool * pool, make_pool(q));
    pools_.push_back(pool);
    ASSIGN_OR_RETURN(fragments_.emplace_back(), make_reassembly(q));
    RETURN_IF_ERROR(set_up_queue(q));
  }
  return absl::OkStatus();
}

absl::Status Port::set_up_queue(uint16_t queue) {
  const auto socket = static_cast<unsigned>(numa_node(queue));
  if (const int e =
          rte_eth_rx_queue_setup(id_, queue, rx_descriptors_, socket, nullptr, pools_[queue]);
      e != 0) {
    return failure(cat("receive queue ", queue, " cannot be set up"), e,
                   is_af_xdp(spec_)
                       ? "AF_XDP needs root, a free queue of that number and no other XDP program"
                       : "see the driver's log above");
  }
  if (const int e = rte_eth_tx_queue_setup(id_, queue, tx_descriptors_, socket, nullptr); e != 0) {
    return failure(cat("transmit queue ", queue, " cannot be set up"), e,
                   "see the driver's log above");
  }
  return absl::OkStatus();
}

absl::Status Port::run() {
  if (spec_.promiscuous) {
    const int e = rte_eth_promiscuous_enable(id_);
    text_ += e == 0 ? ", promiscuous" : cat(", not promiscuous: ", rte_strerror(-e));
  }
  if (spec_.responder) rte_eth_allmulticast_enable(id_);  // neighbour solicitations
  if (const int e = rte_eth_dev_start(id_); e != 0) {
    return failure("cannot be started", e, "see the driver's log above");
  }
  started_ = true;
  steer();
  if (filter_) {
    constexpr std::array kWhole = {XdpFilter::kEverything};
    const auto ours = std::span(spec_.udp_ports).first(spec_.udp_port_count);
    RETURN_IF_ERROR(filter_->admit(spec_.xdp_filter ? ours : std::span(kWhole)));
  }
  for (const IpAddress& a : std::span(spec_.addresses).first(spec_.address_count)) {
    if (a.family == 4) {
      std::copy_n(a.bytes.begin(), 4, ipv4_.emplace_back().begin());
    } else {
      ipv6_.push_back(a.bytes);
    }
  }
  return absl::OkStatus();
}

// With one queue there is nothing to steer.
void Port::steer() {
  if (spec_.queues == 1) return;
  const std::string why_not = rules_.install(id_, spec_);
  text_ += why_not.empty() ? ", UDP ports steered by the NIC"
                           : cat(", UDP ports found by software (flow rules: ", why_not, ")");
}

bool Port::link_up() const {
  if (filter_) return filter_->link_up();
  rte_eth_link link{};
  return rte_eth_link_get_nowait(id_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

bool Port::watch_link() {
  const bool up = link_up();
  if (up && !link_was_up_) link_ups_.fetch_add(1, std::memory_order_relaxed);
  link_was_up_ = up;
  return up;
}

std::string Port::trouble() const { return filter_ ? filter_->trouble() : std::string(); }

packet::Responder Port::responder() const {
  packet::Responder us{};
  us.mac = mac_;
  us.ipv4 = ipv4_;
  us.ipv6 = ipv6_;
  return us;
}

void Port::withdraw() {
  if (filter_) filter_->withdraw();
}

void Port::read_losses(std::span<LossStats* const> queues) const {
  for (size_t q = 0; q < xdp_sockets_.size() && q < queues.size(); ++q) {
    xdp_statistics s{};
    socklen_t size = sizeof s;
    if (::getsockopt(xdp_sockets_[q], SOL_XDP, XDP_STATISTICS, &s, &size) != 0) continue;
    queues[q]->missed.set(s.rx_ring_full);
    queues[q]->no_buffer.set(s.rx_dropped);
  }
  rte_eth_stats s{};
  if (!xdp_sockets_.empty() || queues.empty() || rte_eth_stats_get(id_, &s) != 0) return;
  queues[0]->missed.set(s.imissed);
  queues[0]->no_buffer.set(s.rx_nombuf);
}

void Port::tear_down() {
  if (id_ != UINT16_MAX) {
    rules_.clear();
    if (started_) rte_eth_dev_stop(id_);
    rte_eth_dev_info info{};
    rte_eth_dev_info_get(id_, &info);
    rte_eth_dev_close(id_);
    if (info.device != nullptr) rte_dev_remove(info.device);
  }
  id_ = UINT16_MAX;
  started_ = false;
  xdp_sockets_.clear();
  fragments_.clear();
  for (rte_mempool* pool : pools_) rte_mempool_free(pool);
  pools_.clear();
}

Port::~Port() { tear_down(); }

}  // namespace penstock

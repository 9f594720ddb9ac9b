// Output through a DPDK port: any vdev string or PCI address. Every packet of the deck is built
// once for each queue, as an mbuf that is sent again and again, so that sending costs the driver's
// part only.

#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <unordered_map>
#include <vector>

#include "dataplane/base/strings.h"
#include "tools/pktgen/frame.h"
#include "tools/pktgen/memif_rings.h"
#include "tools/pktgen/output.h"

namespace penstock::pktgen {
namespace {

constexpr size_t kPage = 4096;        // without hugepages an mbuf does not share one
constexpr size_t kAroundFrame = 512;  // of an mbuf: its header and headroom
constexpr size_t kEalMib = 32;
constexpr uint16_t kTxDescriptors = 1024;
constexpr std::chrono::seconds kLinkPatience{20};
constexpr timespec kPoll{0, 1'000'000};
// After the last packet: what a wire holds goes with us. Where it does not say whether it is empty.
constexpr timespec kLeave{0, 500'000'000};
// Where it does: how long the other side may take nothing.
constexpr std::chrono::seconds kTakePatience{20};

// A PCI address is let in by name; for a vdev the bus is not looked at.
std::vector<std::string> bus_args(const std::string& device) {
  const std::string address = device.substr(0, device.find(','));
  if (address.find(':') == std::string::npos) return {"--no-pci"};
  return {"-a", address};
}

std::string own_cpus() {
  cpu_set_t set;
  ::sched_getaffinity(0, sizeof set, &set);
  std::string cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus += cat(cpus.empty() ? "" : ",", cpu);
  }
  return cpus;
}

// EAL with one lcore, on the CPUs this process may use, and none of the machine's hugepages.
absl::Status start_eal(const std::string& device, size_t mib) {
  std::vector<std::string> args = {"penstock-pktgen",
                                   cat("--lcores=0@(", own_cpus(), ")"),
                                   cat("--file-prefix=penstock-pktgen-", ::getpid()),
                                   "--no-huge",
                                   "--no-shconf",
                                   "--no-telemetry",
                                   "--log-level=error",
                                   "-m",
                                   cat(mib)};
  for (std::string& arg : bus_args(device)) args.push_back(std::move(arg));
  std::vector<char*> argv;
  argv.reserve(args.size());
  for (std::string& a : args) argv.push_back(a.data());
  if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) >= 0) return absl::OkStatus();
  return absl::UnavailableError(cat("--dpdk: DPDK's EAL cannot start: ", rte_strerror(rte_errno),
                                    "; it needs root and ", mib, " MiB"));
}

// The started port. Its queues share it; the last one closes it.
class DpdkPort {
 public:
  explicit DpdkPort(std::string device) : device_(std::move(device)) {}
  DpdkPort(const DpdkPort&) = delete;
  DpdkPort& operator=(const DpdkPort&) = delete;

  ~DpdkPort() {
    if (id_ != RTE_MAX_ETHPORTS) {
      rte_eth_dev_stop(id_);
      rte_eth_dev_close(id_);
    }
    rte_mempool_free(pool_);
    const std::string folder = rte_eal_get_runtime_dir();
    rte_eal_cleanup();
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  }

  // `mbufs` of `room` bytes of frame.
  absl::Status open(uint32_t mbufs, uint16_t room, uint16_t queues) {
    if (const int e = rte_dev_probe(device_.c_str()); e != 0) return failure("cannot be probed", e);
    rte_dev_iterator found;
    RTE_ETH_FOREACH_MATCHING_DEV(id_, device_.c_str(), &found) {
      rte_eth_iterator_cleanup(&found);
      break;
    }
    if (id_ == RTE_MAX_ETHPORTS) return failure("is no Ethernet port", ENODEV);
    pool_ =
        rte_pktmbuf_pool_create("pktgen", mbufs, 0, 0, RTE_PKTMBUF_HEADROOM + room, SOCKET_ID_ANY);
    if (pool_ == nullptr) return failure("no memory for packets", rte_errno);
    RETURN_IF_ERROR(set_up(queues));
    if (const int e = rte_eth_dev_start(id_); e != 0) return failure("cannot be started", e);
    RETURN_IF_ERROR(await_link());
    rings_ = MemifRings::of(device_);
    return absl::OkStatus();
  }

  // Returns when the other side has taken what was sent, of all queues.
  [[nodiscard]] absl::Status await_taken() const {
    if (rings_.none()) {
      ::nanosleep(&kLeave, nullptr);
      return absl::OkStatus();
    }
    auto deadline = std::chrono::steady_clock::now() + kTakePatience;
    for (size_t last = 0, waiting; (waiting = rings_.waiting()) != 0; last = waiting) {
      const auto now = std::chrono::steady_clock::now();
      if (waiting != last) deadline = now + kTakePatience;
      if (!link_up() || now > deadline)
        return absl::UnavailableError(cat("--dpdk \"", device(),
                                          "\": the other side has not taken the last ", waiting,
                                          " packets, which are in the report; is it running?"));
      ::nanosleep(&kPoll, nullptr);
    }
    return absl::OkStatus();
  }

  [[nodiscard]] bool link_up() const {
    rte_eth_link link{};
    return rte_eth_link_get_nowait(id_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
  }

  [[nodiscard]] uint16_t id() const { return id_; }
  [[nodiscard]] rte_mempool* pool() const { return pool_; }
  [[nodiscard]] std::string_view device() const { return device_; }

 private:
  absl::Status set_up(uint16_t queues) {
    rte_eth_dev_info info{};
    if (const int e = rte_eth_dev_info_get(id_, &info); e != 0) return failure("says nothing", e);
    if (queues > info.max_tx_queues)
      return absl::InvalidArgumentError(cat("--senders ", queues, ": \"", device(), "\" has ",
                                            info.max_tx_queues,
                                            " transmit queues; lower it, or ask for more of them "
                                            "in the device string"));
    const rte_eth_conf conf{};
    const auto socket = static_cast<unsigned>(std::max(0, rte_eth_dev_socket_id(id_)));
    int e = rte_eth_dev_configure(id_, 1, queues, &conf);
    if (e == 0) e = rte_eth_rx_queue_setup(id_, 0, kTxDescriptors, socket, nullptr, pool_);
    for (uint16_t q = 0; e == 0 && q < queues; ++q)
      e = rte_eth_tx_queue_setup(id_, q, kTxDescriptors, socket, nullptr);
    return e == 0 ? absl::OkStatus() : failure("cannot be set up", e);
  }

  absl::Status failure(std::string_view what, int error) const {
    return absl::UnavailableError(
        cat("--dpdk \"", device(), "\": ", what, ": ", rte_strerror(std::abs(error))));
  }

  absl::Status await_link() const {
    const auto deadline = std::chrono::steady_clock::now() + kLinkPatience;
    while (!link_up()) {
      if (std::chrono::steady_clock::now() > deadline) return failure("no link", ETIMEDOUT);
      ::nanosleep(&kPoll, nullptr);
    }
    return absl::OkStatus();
  }

  const std::string device_;
  uint16_t id_ = RTE_MAX_ETHPORTS;
  rte_mempool* pool_ = nullptr;
  MemifRings rings_;
};

class DpdkQueue : public Output {
 public:
  DpdkQueue(std::shared_ptr<DpdkPort> port, const FrameMaker& frames, uint16_t queue,
            uint32_t queues)
      : port_(std::move(port)), frames_(frames), queue_(queue), queues_(queues) {}

  ~DpdkQueue() override {
    for (const auto& [payload, mbuf] : mbufs_) rte_pktmbuf_free(mbuf);
  }

  absl::StatusOr<SendResult> send(std::span<const std::string_view> packets, uint64_t) override {
    std::array<rte_mbuf*, kBatch> burst;
    const size_t count = std::min(packets.size(), kBatch);
    for (size_t i = 0; i < count; ++i) {
      ASSIGN_OR_RETURN(burst[i], mbuf_of(packets[i]));
      rte_mbuf_refcnt_update(burst[i], 1);  // the driver gives one back
    }
    const size_t sent =
        rte_eth_tx_burst(port_->id(), queue_, burst.data(), static_cast<uint16_t>(count));
    for (size_t i = sent; i < count; ++i) rte_mbuf_refcnt_update(burst[i], -1);
    if (sent == 0 && !port_->link_up())
      return absl::UnavailableError(cat("--dpdk \"", port_->device(), "\": the link went down"));
    return SendResult{sent, sent == 0, false};
  }

  absl::Status finish() override { return port_->await_taken(); }

 private:
  // The frame of a packet of the deck, which is known by where it lies.
  absl::StatusOr<rte_mbuf*> mbuf_of(std::string_view payload) {
    const auto known = mbufs_.find(payload.data());
    if (known != mbufs_.end()) return known->second;
    rte_mbuf* const mbuf = rte_pktmbuf_alloc(port_->pool());
    if (mbuf == nullptr) return absl::ResourceExhaustedError("--dpdk: no memory for packets");
    const Headers headers = frames_.headers(payload, mbufs_.size() * queues_ + queue_);
    char* const frame =
        rte_pktmbuf_append(mbuf, static_cast<uint16_t>(headers.size() + payload.size()));
    std::memcpy(frame, headers.data(), headers.size());
    std::memcpy(frame + headers.size(), payload.data(), payload.size());
    mbufs_.emplace(payload.data(), mbuf);
    return mbuf;
  }

  const std::shared_ptr<DpdkPort> port_;
  const FrameMaker frames_;
  const uint16_t queue_;
  const uint32_t queues_;
  std::unordered_map<const char*, rte_mbuf*> mbufs_;
};

// Bytes of the largest frame.
size_t largest(const Deck& deck) {
  size_t size = 0;
  for (size_t i = 0; i < deck.size(); ++i) size = std::max(size, deck.packet(i).size());
  return size + FrameMaker::kHeadersMax;
}

}  // namespace

absl::StatusOr<std::vector<std::unique_ptr<Output>>> open_dpdk(const std::string& device,
                                                               const Wire& wire, const Deck& deck,
                                                               uint32_t queues) {
  ASSIGN_OR_RETURN(const FrameMaker frames, FrameMaker::to("dpdk-to", wire));
  const size_t room = std::max<size_t>(largest(deck), RTE_MBUF_DEFAULT_DATAROOM);
  if (room + RTE_PKTMBUF_HEADROOM > UINT16_MAX)
    return absl::InvalidArgumentError(cat("--dpdk: a frame has at most ",
                                          UINT16_MAX - RTE_PKTMBUF_HEADROOM,
                                          " bytes; lower --packet-bytes"));
  // A queue deals every packet of the deck in the end, unless the queues divide it.
  const size_t mbufs = queues * deck.size() + kTxDescriptors;
  const size_t pages = (room + kAroundFrame) / kPage + 1;
  RETURN_IF_ERROR(start_eal(device, kEalMib + mbufs * pages * kPage / (1 << 20)));
  auto port = std::make_shared<DpdkPort>(device);
  RETURN_IF_ERROR(port->open(static_cast<uint32_t>(mbufs), static_cast<uint16_t>(room),
                             static_cast<uint16_t>(queues)));
  std::vector<std::unique_ptr<Output>> outputs;
  outputs.reserve(queues);
  for (uint32_t q = 0; q < queues; ++q) {
    outputs.push_back(std::make_unique<DpdkQueue>(port, frames, static_cast<uint16_t>(q), queues));
  }
  return outputs;
}

}  // namespace penstock::pktgen

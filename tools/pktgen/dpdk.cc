// Output through a DPDK port: any vdev string or PCI address. Every packet of the deck is built
// once, as an mbuf that is sent again and again, so that sending costs the driver's part only.

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
#include "tools/pktgen/output.h"

namespace penstock::pktgen {
namespace {

constexpr uint32_t kMbufBytes = 4096;  // one a page, without hugepages
constexpr size_t kEalMib = 32;
constexpr uint16_t kTxDescriptors = 1024;
constexpr std::chrono::seconds kLinkPatience{20};
constexpr timespec kPoll{0, 1'000'000};
// After the last packet: what a virtual wire holds is the other side's to read, and goes with us.
constexpr timespec kLeave{0, 500'000'000};

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

class DpdkOutput : public Output {
 public:
  DpdkOutput(std::string device, const FrameMaker& frames, uint32_t flows)
      : device_(std::move(device)), frames_(frames), flows_(flows) {}

  ~DpdkOutput() override {
    for (const auto& [payload, mbuf] : mbufs_) rte_pktmbuf_free(mbuf);
    if (port_ != RTE_MAX_ETHPORTS) {
      rte_eth_dev_stop(port_);
      rte_eth_dev_close(port_);
    }
    rte_mempool_free(pool_);
    const std::string folder = rte_eal_get_runtime_dir();
    rte_eal_cleanup();
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  }

  // `packets`: how many distinct ones there will be.
  absl::Status open(uint32_t packets) {
    if (const int e = rte_dev_probe(device_.c_str()); e != 0) return failure("cannot be probed", e);
    rte_dev_iterator found;
    RTE_ETH_FOREACH_MATCHING_DEV(port_, device_.c_str(), &found) {
      rte_eth_iterator_cleanup(&found);
      break;
    }
    if (port_ == RTE_MAX_ETHPORTS) return failure("is no Ethernet port", ENODEV);
    pool_ =
        rte_pktmbuf_pool_create("pktgen", packets, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (pool_ == nullptr) return failure("no memory for packets", rte_errno);
    const rte_eth_conf conf{};
    const auto socket = static_cast<unsigned>(std::max(0, rte_eth_dev_socket_id(port_)));
    int e = rte_eth_dev_configure(port_, 1, 1, &conf);
    if (e == 0) e = rte_eth_rx_queue_setup(port_, 0, kTxDescriptors, socket, nullptr, pool_);
    if (e == 0) e = rte_eth_tx_queue_setup(port_, 0, kTxDescriptors, socket, nullptr);
    if (e == 0) e = rte_eth_dev_start(port_);
    if (e != 0) return failure("cannot be started", e);
    return await_link();
  }

  absl::StatusOr<SendResult> send(std::span<const std::string_view> packets, uint64_t) override {
    std::array<rte_mbuf*, kBatch> burst;
    const size_t count = std::min(packets.size(), kBatch);
    for (size_t i = 0; i < count; ++i) {
      ASSIGN_OR_RETURN(burst[i], mbuf_of(packets[i]));
      rte_mbuf_refcnt_update(burst[i], 1);  // the driver gives one back
    }
    const size_t sent = rte_eth_tx_burst(port_, 0, burst.data(), static_cast<uint16_t>(count));
    for (size_t i = sent; i < count; ++i) rte_mbuf_refcnt_update(burst[i], -1);
    if (sent == 0 && !link_up())
      return absl::UnavailableError(cat("--dpdk \"", device_, "\": the link went down"));
    return SendResult{sent, sent == 0, false};
  }

  absl::Status finish() override {
    ::nanosleep(&kLeave, nullptr);
    return absl::OkStatus();
  }

 private:
  absl::Status failure(std::string_view what, int error) const {
    return absl::UnavailableError(
        cat("--dpdk \"", device_, "\": ", what, ": ", rte_strerror(std::abs(error))));
  }

  [[nodiscard]] bool link_up() const {
    rte_eth_link link{};
    return rte_eth_link_get_nowait(port_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
  }

  absl::Status await_link() const {
    const auto deadline = std::chrono::steady_clock::now() + kLinkPatience;
    while (!link_up()) {
      if (std::chrono::steady_clock::now() > deadline) return failure("no link", ETIMEDOUT);
      ::nanosleep(&kPoll, nullptr);
    }
    return absl::OkStatus();
  }

  // The frame of a packet of the deck, which is known by where it lies.
  absl::StatusOr<rte_mbuf*> mbuf_of(std::string_view payload) {
    const auto known = mbufs_.find(payload.data());
    if (known != mbufs_.end()) return known->second;
    rte_mbuf* const mbuf = rte_pktmbuf_alloc(pool_);
    const size_t size = FrameMaker::kHeaders + payload.size();
    if (mbuf == nullptr || rte_pktmbuf_tailroom(mbuf) < size) {
      rte_pktmbuf_free(mbuf);
      return absl::ResourceExhaustedError(cat("--dpdk: a packet has at most ",
                                              RTE_MBUF_DEFAULT_DATAROOM - FrameMaker::kHeaders,
                                              " bytes; lower --packet-bytes"));
    }
    const auto headers = frames_.headers(payload, mbufs_.size(), mbufs_.size() % flows_);
    char* const frame = rte_pktmbuf_append(mbuf, static_cast<uint16_t>(size));
    std::memcpy(frame, headers.data(), headers.size());
    std::memcpy(frame + headers.size(), payload.data(), payload.size());
    mbufs_.emplace(payload.data(), mbuf);
    return mbuf;
  }

  const std::string device_;
  const FrameMaker frames_;
  const uint32_t flows_;
  uint16_t port_ = RTE_MAX_ETHPORTS;
  rte_mempool* pool_ = nullptr;
  std::unordered_map<const char*, rte_mbuf*> mbufs_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Output>> open_dpdk(const std::string& device,
                                                  std::string_view target, uint32_t flows,
                                                  size_t packets) {
  ASSIGN_OR_RETURN(const FrameMaker frames, FrameMaker::to("dpdk-to", target));
  const size_t mbufs = packets + kTxDescriptors;
  RETURN_IF_ERROR(start_eal(device, kEalMib + mbufs * kMbufBytes / (1 << 20)));
  auto output = std::make_unique<DpdkOutput>(device, frames, flows);
  RETURN_IF_ERROR(output->open(static_cast<uint32_t>(mbufs)));
  return output;
}

}  // namespace penstock::pktgen

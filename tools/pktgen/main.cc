// penstock-pktgen: deterministic DogStatsD traffic, and the sums it must lead to.

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/base/fd.h"
#include "dataplane/base/strings.h"
#include "tools/pktgen/options.h"
#include "tools/pktgen/output.h"
#include "tools/pktgen/run.h"
#include "tools/pktgen/verify.h"

namespace penstock::pktgen {
namespace {

constexpr int kExitOk = 0;
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

std::atomic<bool> stop_requested{false};

void on_signal(int) { stop_requested.store(true); }

using Outputs = std::vector<std::unique_ptr<Output>>;

absl::StatusOr<std::unique_ptr<Output>> open_output(const Options& o) {
  // The flows of the kernel's sockets are dealt out to the senders.
  const uint32_t flows = (o.wire.flows + o.senders - 1) / o.senders;
  const auto rate = o.run.rate.flat_out() ? kFileRate : static_cast<uint64_t>(o.run.rate.from);
  if (!o.udp.empty()) return open_udp(o.udp, flows);
  if (!o.uds.empty()) return open_uds(o.uds, flows);
  if (!o.uds_stream.empty()) return open_uds_stream(o.uds_stream, flows);
  if (!o.pipe.empty()) return open_pipe(o.pipe);
  if (!o.jsonl.empty()) return open_json_lines(o.jsonl, rate);
  return open_pcap(o.pcap, o.wire, rate);
}

absl::StatusOr<Outputs> open_outputs(const Options& o, const Deck& deck) {
  if (!o.dpdk.empty()) return open_dpdk(o.dpdk, o.wire, deck, o.senders);
  Outputs outputs;
  for (uint32_t i = 0; i < o.senders; ++i) {
    ASSIGN_OR_RETURN(std::unique_ptr<Output> output, open_output(o));
    outputs.push_back(std::move(output));
  }
  return outputs;
}

absl::Status send(const Options& o) {
  ASSIGN_OR_RETURN(const Deck deck, Deck::make(o.traffic));
  ASSIGN_OR_RETURN(const Outputs outputs, open_outputs(o, deck));
  std::vector<Output*> pointers;
  for (const auto& output : outputs) pointers.push_back(output.get());
  RunOptions options = o.run;
  if (o.to_file()) options.rate = 0;
  options.progress |= ::isatty(STDERR_FILENO) == 1;
  const RunResult result = run(deck, pointers, options, stop_requested);
  std::puts(report_json(deck, result).c_str());
  if (result.refused > 0)
    std::fprintf(stderr, "penstock-pktgen: %s: nobody listens; the kernel said so %llu times\n",
                 o.udp.c_str(), static_cast<unsigned long long>(result.refused));
  return result.status;
}

absl::Status verify(const Options& o) {
  Sums sums;
  for (const std::string& path : o.reports) {
    std::ifstream report(path);
    if (!report) return errno_status(errno, cat("--report ", std::string_view(path)));
    if (const absl::Status added = add_report(report, sums); !added.ok())
      return absl::InvalidArgumentError(
          cat("--report ", std::string_view(path), ": ", added.message()));
  }
  std::ifstream output(o.verify);
  if (!output) return errno_status(errno, cat("--verify ", std::string_view(o.verify)));
  ASSIGN_OR_RETURN(const std::vector<std::string> found, differences(output, sums));
  for (const std::string& difference : found) std::puts(difference.c_str());
  if (!found.empty())
    return absl::DataLossError(cat(found.size(), " of ", sums.size(), " counters differ"));
  std::printf("%zu counters equal what was sent\n", sums.size());
  return absl::OkStatus();
}

int fail(const absl::Status& status, int code) {
  std::fprintf(stderr, "penstock-pktgen: %s\n", std::string(status.message()).c_str());
  return code;
}

int main(int argc, char** argv) {
  const auto options = parse_options(argc, argv);
  if (!options.ok()) return fail(options.status(), kExitUsage);
  if (options->help) return std::fputs(kHelp, stdout), kExitOk;
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  std::signal(SIGPIPE, SIG_IGN);
  const absl::Status done = options->verify.empty() ? send(*options) : verify(*options);
  if (done.ok()) return kExitOk;
  return fail(done, absl::IsInvalidArgument(done) ? kExitUsage : kExitFailed);
}

}  // namespace
}  // namespace penstock::pktgen

int main(int argc, char** argv) { return penstock::pktgen::main(argc, argv); }

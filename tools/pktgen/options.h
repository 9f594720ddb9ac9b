#pragma once

#include <string>
#include <vector>

#include "dataplane/base/status.h"
#include "tools/pktgen/frame.h"
#include "tools/pktgen/run.h"
#include "tools/pktgen/traffic.h"

namespace penstock::pktgen {

struct Options {
  bool help = false;
  TrafficOptions traffic;
  RunOptions run;  // its rate is of a file's records, if the output is one
  Wire wire;
  uint32_t senders = 1;
  std::string udp, uds, uds_stream, pipe, dpdk, pcap, jsonl;  // one of them, or `verify`
  std::string verify;
  std::vector<std::string> reports;

  [[nodiscard]] bool to_file() const { return !pcap.empty() || !jsonl.empty(); }
};

// Text of --help.
extern const char* const kHelp;

// The command line, with the profile and the defaults applied. An error names the option, its value
// and what to do. With --help nothing else counts. Calls getopt_long: one thread.
absl::StatusOr<Options> parse_options(int argc, char** argv);

}  // namespace penstock::pktgen

#include "tools/penstockctl/segment.h"

#include <fcntl.h>
#include <getopt.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/config.h"
#include "controlplane/exporters/json_lines.h"
#include "dataplane/api/segment.h"
#include "dataplane/api/segment_format.h"
#include "dataplane/base/fd.h"
#include "dataplane/base/strings.h"
#include "tools/penstockctl/output.h"
#include "tools/penstockctl/segment_json.h"

namespace penstock {
namespace {

constexpr int kOk = 0;
constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr size_t kBlock = size_t{256} * 1024;

constexpr char kHelp[] =
    "usage: penstockctl segment cat [--points [--config FILE]] FILE\n"
    "\n"
    "Prints a Segment, the aggregates of one interval, as JSON lines: first its header, then each\n"
    "row with all its state. FILE \"-\" is standard input. penstock-replay --segments writes such\n"
    "files. Needs no running server.\n"
    "\n"
    "  --points       instead, the points that the exporter of JSON lines makes of it\n"
    "  --config FILE  the configuration of penstockd, for the series of histograms\n"
    "  --help         this text\n"
    "\n"
    "exit codes: 0 ok, 1 it cannot be read or is damaged, or output failed,\n"
    "            2 usage or configuration\n";

struct Arguments {
  std::string file, config;
  bool points = false;
};

int complain(std::string_view what, int code) {
  std::fprintf(stderr, "penstockctl: %.*s\n", static_cast<int>(what.size()), what.data());
  return code;
}

// Reads the command line; an exit code if there is nothing more to do.
std::optional<int> parse(int argc, char** argv, Arguments& arguments) {
  enum : int { kPoints = 1, kConfig, kJson, kHelpOption };
  const option table[] = {{"points", no_argument, nullptr, kPoints},
                          {"config", required_argument, nullptr, kConfig},
                          {"json", no_argument, nullptr, kJson},
                          {"help", no_argument, nullptr, kHelpOption},
                          {nullptr, 0, nullptr, 0}};
  for (int c; (c = ::getopt_long(argc, argv, "", table, nullptr)) != -1;) {
    switch (c) {
      case kPoints:
        arguments.points = true;
        break;
      case kConfig:
        arguments.config = optarg;
        break;
      case kJson:  // what else
        break;
      case kHelpOption:
        std::fputs(kHelp, stdout);
        return kOk;
      default:
        return complain("segment --help tells the options", kUsage);
    }
  }
  const std::vector<std::string_view> words(argv + std::min(optind + 1, argc),
                                            argv + argc);  // after "segment"
  if (words.size() != 2 || words[0] != "cat")
    return complain("must be: segment cat FILE; see segment --help", kUsage);
  if (!arguments.config.empty() && !arguments.points)
    return complain("--config does nothing without --points", kUsage);
  arguments.file = words[1];
  return std::nullopt;
}

// So far: no more of another file is read than shows that it is one.
bool may_be_segment(std::span<const std::byte> start) {
  return std::memcmp(start.data(), segment::kMagic.data(),
                     std::min(start.size(), segment::kMagic.size())) == 0;
}

absl::StatusOr<std::vector<std::byte>> read_all(const std::string& path) {
  Fd file;
  if (path != "-") {
    file = Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.valid()) return errno_status(errno, path);
  }
  const int fd = path == "-" ? STDIN_FILENO : file.get();
  std::vector<std::byte> bytes;
  for (size_t size = 0;;) {
    if (bytes.size() - size < kBlock) bytes.resize(bytes.size() * 2 + kBlock);
    const ssize_t n = ::read(fd, bytes.data() + size, bytes.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_status(errno, path);
    size += static_cast<size_t>(n);
    if (n > 0 && may_be_segment(std::span(bytes).first(size))) continue;
    bytes.resize(size);
    return bytes;
  }
}

// The series a configuration gives of histograms.
absl::StatusOr<HistogramConfig> read_histograms(const std::string& path) {
  Config config;
  if (!path.empty()) {
    ASSIGN_OR_RETURN(LoadedConfig loaded, load_config(path, read_environment()));
    for (const std::string& warning : loaded.warnings) complain(warning, kOk);
    config = std::move(loaded.config);
  }
  std::vector<std::string> ignored;  // told as a warning
  HistogramConfig histograms =
      HistogramConfig::parse(config.histogram_aggregates, config.histogram_percentiles, ignored);
  histograms.leave_out(config.filter, config.filter_prefix);
  return histograms;
}

// Points to standard output.
class Lines : public PointSink {
 public:
  explicit Lines(Output& output) : output_(output), encoder_(output.text()) {}

  void series(const SeriesPoint& p) override {
    encoder_.series(p);
    output_.flush_if_full();
  }
  void sketch(const SketchPoint& p) override {
    encoder_.sketch(p);
    output_.flush_if_full();
  }
  void event(const segment::Event& e) override {
    encoder_.event(e);
    output_.flush_if_full();
  }
  void service_check(const segment::ServiceCheck& c) override {
    encoder_.service_check(c);
    output_.flush_if_full();
  }
  [[nodiscard]] uint64_t not_finite() const { return encoder_.not_finite(); }

 private:
  Output& output_;
  JsonLinesEncoder encoder_;
};

void print_points(const segment::Reader& segment, const HistogramConfig& histograms,
                  Output& output) {
  Lines lines(output);
  for_each_point(segment, histograms, lines);
  if (const uint64_t n = lines.not_finite(); n != 0)
    complain(cat(n, " points left out: infinite or not a number, which JSON cannot say"), kOk);
}

void print_rows(const segment::Reader& segment, size_t bytes, Output& output) {
  append_segment_header(output.text(), segment, bytes);
  SegmentRows rows(output);
  segment.visit(rows);
}

}  // namespace

int segment_main(int argc, char** argv) {
  Arguments arguments;
  if (const std::optional<int> done = parse(argc, argv, arguments)) return *done;
  const absl::StatusOr<HistogramConfig> histograms = read_histograms(arguments.config);
  if (!histograms.ok()) return complain(to_std(histograms.status().message()), kUsage);
  const absl::StatusOr<std::vector<std::byte>> bytes = read_all(arguments.file);
  if (!bytes.ok()) return complain(to_std(bytes.status().message()), kFailed);
  const absl::StatusOr<segment::Reader> segment = segment::Reader::open(*bytes);
  if (!segment.ok())
    return complain(cat(arguments.file, ": ", to_std(segment.status().message())), kFailed);
  std::signal(SIGPIPE, SIG_IGN);
  Output output;
  if (arguments.points) {
    print_points(*segment, *histograms, output);
  } else {
    print_rows(*segment, bytes->size(), output);
  }
  output.flush();
  return output.failed() ? kFailed : kOk;
}

}  // namespace penstock

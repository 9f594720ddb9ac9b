// What comes out of a stream of packets, by sections 7 and 8 of the behavioural specification and
// the rulings on it (spec/rulings.md, docs/differences.md): one map of each type, no shards, no
// bounds, nothing fast. It says what the shards, the sealer and penstock-replay must do, and shares
// nothing with them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/reference/dogstatsd_reference.h"
#include "tests/reference/enrich.h"
#include "tests/reference/exact_sum.h"
#include "tests/reference/json_lines.h"
#include "tests/reference/sketch.h"

namespace penstock::reference {

// Keys of the Agent, with its defaults (10.1).
struct Config {
  EnrichConfig enrich;
  bool no_aggregation_pipeline = true;
  bool origin_detection_client = false;
  bool eol_udp = false;  // dogstatsd_eol_required
  bool eol_uds = false;  // both kinds of Unix sockets
  bool eol_pipe = false;
  size_t buffer_size = 8192;
  double expiry_seconds = 300;
  std::vector<std::string> histogram_aggregates = {"max", "median", "avg", "count"};
  std::vector<double> histogram_percentiles = {0.95};
  bool histogram_copy_to_distribution = false;
  std::string histogram_copy_to_distribution_prefix;
};

enum class Source : uint8_t { kUdp, kUds, kUdsStream, kPipe };

struct Input {
  double time = 0;  // Unix seconds, from 0
  std::string bytes;
  Source source = Source::kUdp;
  std::string container;  // of the sender, by its credentials; empty: unknown
};

// What was sealed at once: the bucket that begins at `start`, and what was late for an older one.
struct SealedBucket {
  int64_t start = 0;
  std::vector<std::string> lines;  // docs/json-lines.md, ordered as in docs/replay.md
};

class Aggregator {
 public:
  explicit Aggregator(Config config);

  // One packet, at its time or, where that goes back, at the latest one before it.
  void add(const Input& input);
  // Moves the clock without a packet.
  void advance(double time);
  // Seals the open bucket and takes every sealed one that has points. Nothing may be added after
  // it.
  std::vector<SealedBucket> finish();

 private:
  // 8.2, and the internal type of 5.2 (ruling 2). Sets of one type are a map of these.
  struct Context {
    std::string name;
    std::string host;
    std::vector<std::string> tags;
    auto operator<=>(const Context&) const = default;
  };
  struct Histogram {
    std::vector<std::pair<double, int64_t>> samples;  // value, weight
    ExactSum sum;
    int64_t count = 0;
  };

  void add_metric(Metric metric, const std::string& container);
  void add_timestamped(const Metric& metric, const Context& context);
  void add_sample(const Metric& metric, const Context& context);
  void copy_to_distribution(const Metric& metric, const Context& context);
  void add_histogram(Histogram& histogram, double value, double rate);
  void add_series(const Context& context, const std::string& suffix, const std::string& type,
                  double value);
  void flush_histogram(const Context& context, Histogram& histogram);
  void flush_counters();
  void flush_sketches(int64_t latest_start);
  void seal(int64_t latest_sketch_start);
  int64_t next_open() const;

  const Config config_;
  const NameFilter filter_;         // 7.6, of names
  const NameFilter series_filter_;  // 7.6, second stage
  bool started_ = false;
  double now_ = 0;
  int64_t open_ = 0;  // start of the open bucket

  std::map<Context, double> last_seen_;  // of counters
  std::map<Context, ExactSum> counters_;
  std::map<Context, double> gauges_;
  std::map<Context, std::set<std::string>> sets_;
  std::map<Context, Histogram> histograms_;
  std::map<int64_t, std::map<Context, Sketch>> sketches_;  // by bucket
  Points points_;  // timestamped ones, events and checks; at the seal all others too
  std::vector<SealedBucket> sealed_;
};

}  // namespace penstock::reference

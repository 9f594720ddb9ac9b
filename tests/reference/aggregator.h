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

struct SealedBucket {
  int64_t start = 0;
  std::vector<std::string> lines;  // docs/json-lines.md, ordered as in docs/replay.md
};

class Aggregator {
 public:
  explicit Aggregator(Config config);

  // The clock of a replay. One packet, at its time or, where that goes back, at the latest one
  // before it; then the end of the input, where nothing may be added any more.
  void add(const Input& input);
  void finish();

  // The same for who decides himself what belongs to a bucket: opens one, takes a packet into it,
  // whatever its time is, seals it, and then the copies that came for buckets before another one.
  void open(int64_t start) { open_ = start; }
  void take(const Input& input);
  void seal();
  void seal_late(int64_t before);

  // Takes what was sealed and has points, in this order.
  std::vector<SealedBucket> sealed() { return std::exchange(sealed_, {}); }

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
  void advance(double time);
  void give(int64_t start);
  void give_sketches(int64_t start);
  int64_t next_open() const;

  const Config config_;
  const NameFilter filter_;         // 7.6, of names
  const NameFilter series_filter_;  // 7.6, second stage
  bool started_ = false;
  double now_ = 0;    // of the replay's clock
  double at_ = 0;     // when the packet in hand came
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

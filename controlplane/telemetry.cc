#include <algorithm>
#include <functional>
#include <initializer_list>
#include <utility>

#include "controlplane/forward_tally.h"
#include "controlplane/ledger_names.h"
#include "controlplane/monitor.h"
#include "dataplane/base/strings.h"
#include "penstock_version.h"

namespace penstock {
namespace {

using Label = std::pair<std::string_view, std::string_view>;

// Writes Prometheus' text format, a family at a time.
class Text {
 public:
  void family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    out_ += cat("# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n");
  }
  template <class Number>
  void sample(std::initializer_list<Label> labels, Number value) {
    sample("", labels, value);
  }
  // Of a family whose samples have names of their own.
  template <class Number>
  void sample(std::string_view suffix, std::initializer_list<Label> labels, Number value) {
    out_ += cat(name_, suffix);
    char separator = '{';
    for (const auto& [key, text] : labels) {
      out_ += cat(std::string(1, separator), key, "=\"", escaped(text), "\"");
      separator = ',';
    }
    out_ += cat(separator == ',' ? "} " : " ", value, "\n");
  }
  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  static std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
      if (c == '\\' || c == '"') out += '\\';
      if (c == '\n') {
        out += "\\n";
      } else {
        out += c;
      }
    }
    return out;
  }

  std::string name_;
  std::string out_;
};

using Blocks = std::vector<StatsBlockValues>;

void sources(Text& text, const Blocks& blocks) {
  constexpr std::string_view kWaiting = "fragments_waiting";
  text.family("penstock_source_packets_total", "counter",
              "Packets of a receive queue or listener, by what became of them.");
  for (const StatsBlockValues& b : blocks) {
    if (!is_source(b)) continue;
    for (const std::string_view bucket : kReceivedParts) {
      if (bucket == kWaiting) continue;  // a level
      text.sample({{"source", b.label}, {"bucket", bucket}}, b.get(bucket));
    }
  }
  for (const StatsBlockValues& b : blocks) {
    if (b.kind != StatsBlock::kLoss) continue;
    for (const std::string_view bucket : {"missed", "no_buffer"}) {
      text.sample({{"source", b.label}, {"bucket", bucket}}, b.get(bucket));
    }
  }
  text.family("penstock_source_fragments_waiting", "gauge",
              "IP fragments that wait for the others of their datagram.");
  for (const StatsBlockValues& b : blocks) {
    if (b.kind == StatsBlock::kRxQueue) text.sample({{"source", b.label}}, b.get(kWaiting));
  }
  text.family("penstock_source_bytes_total", "counter", "Payload bytes handed to shards.");
  for (const StatsBlockValues& b : blocks) {
    if (is_source(b)) text.sample({{"source", b.label}}, b.get("received_bytes"));
  }
  text.family("penstock_source_replies_total", "counter",
              "Answers to ARP, NDP and ICMP echo, by result.");
  for (const StatsBlockValues& b : blocks) {
    if (b.kind != StatsBlock::kRxQueue) continue;
    text.sample({{"source", b.label}, {"result", "sent"}}, b.get("replies"));
    text.sample({{"source", b.label}, {"result", "limited"}}, b.get("replies_limited"));
  }
}

// Of the listeners that detect origins.
void origins(Text& text, const Blocks& blocks) {
  constexpr std::string_view kPrefix = "origin_";
  text.family("penstock_origin_packets_total", "counter",
              "Packets of a listener with origin detection, by whose they were.");
  for (const StatsBlockValues& b : blocks) {
    if (b.kind != StatsBlock::kOrigin) continue;
    for (const std::string_view part : kOriginParts) {
      text.sample({{"source", b.label}, {"result", part.substr(kPrefix.size())}}, b.get(part));
    }
  }
  text.family("penstock_origin_lookups_total", "counter",
              "Processes whose container was looked up, and what was remembered, waited for it or "
              "was forgotten early.");
  for (const StatsBlockValues& b : blocks) {
    if (b.kind != StatsBlock::kOrigin) continue;
    for (const std::string_view what :
         {"origin_lookups", "origin_hits", "origin_waited", "origin_evicted"}) {
      text.sample({{"source", b.label}, {"what", what.substr(kPrefix.size())}}, b.get(what));
    }
  }
}

void connections(Text& text, const Blocks& blocks) {
  const auto each = [&](const auto& sample) {
    for (const StatsBlockValues& b : blocks) {
      if (b.kind == StatsBlock::kListener && b.label == kStreamListener) sample(b);
    }
  };
  text.family("penstock_connections", "gauge", "Connections of a stream listener open now.");
  each([&](const StatsBlockValues& b) {
    text.sample({{"source", b.label}}, b.get("connections") - b.get("connections_closed"));
  });
  text.family(
      "penstock_connections_total", "counter",
      "Connections accepted and closed, times the limit was reached, and accepts that failed.");
  each([&](const StatsBlockValues& b) {
    text.sample({{"source", b.label}, {"event", "accepted"}}, b.get("connections"));
    text.sample({{"source", b.label}, {"event", "closed"}}, b.get("connections_closed"));
    text.sample({{"source", b.label}, {"event", "full"}}, b.get("connections_full"));
    text.sample({{"source", b.label}, {"event", "accept_failed"}}, b.get("accept_failed"));
  });
}

void forward(Text& text, const std::vector<ForwardTally>& targets) {
  text.family("penstock_forward_packets_total", "counter",
              "Packets offered to a forward target, by what became of them.");
  for (const ForwardTally& t : targets) {
    text.sample({{"target", t.name}, {"result", "sent"}}, t.sent);
    text.sample({{"target", t.name}, {"result", "queue_full"}}, t.queue_full);
    text.sample({{"target", t.name}, {"result", "error"}}, t.errors);
    text.sample({{"target", t.name}, {"result", "lost_in_crash"}}, t.lost_in_crash);
  }
  text.family("penstock_forward_datagrams_total", "counter", "Datagrams sent to a target.");
  for (const ForwardTally& t : targets) text.sample({{"target", t.name}}, t.datagrams);
  text.family("penstock_forward_bytes_total", "counter", "Payload bytes sent to a target.");
  for (const ForwardTally& t : targets) text.sample({{"target", t.name}}, t.bytes);
}

uint64_t shards(const Blocks& blocks, std::string_view name) {
  return sum_of(blocks, StatsBlock::kShard, name);
}

void lines(Text& text, const Blocks& blocks) {
  text.family("penstock_lines_total", "counter", "Lines, by kind or by reason of refusal.");
  for (const std::string_view kind : kLinesOkParts) {
    text.sample({{"result", "ok"}, {"kind", kind}}, shards(blocks, kind));
  }
  constexpr std::string_view kPrefix = "rejected_";
  const auto shard = std::ranges::find(blocks, StatsBlock::kShard, &StatsBlockValues::kind);
  if (shard != blocks.end()) {
    for (const auto& [name, unused] : shard->counters) {
      if (!name.starts_with(kPrefix)) continue;
      std::string reason = name.substr(kPrefix.size());
      std::ranges::replace(reason, '_', '-');
      text.sample({{"result", "rejected"}, {"reason", reason}}, shards(blocks, name));
    }
  }
  text.family("penstock_events_refused_total", "counter",
              "Events and service checks refused because carry_bytes was reached.");
  text.sample({}, shards(blocks, "carry_full_events"));
}

void samples(Text& text, const Blocks& blocks) {
  text.family("penstock_samples_total", "counter", "Samples, by what became of them.");
  for (const std::string_view result : kSampleParts) {
    text.sample({{"result", result}}, shards(blocks, result));
  }
  text.family("penstock_samples_impaired_total", "counter",
              "Samples counted in part: a limit was reached, or their rate was not usable.");
  for (const std::string_view what : {"samples_unkept", "set_members_unkept", "bad_rate"}) {
    text.sample({{"what", what}}, shards(blocks, what));
  }
  text.sample(
      {{"what", "copies_unkept"}},
      shards(blocks, "copies_unkept") + sum_of(blocks, StatsBlock::kKeeper, "copies_unkept"));
  text.family("penstock_bound_met_total", "counter",
              "How often a bound was met, by its key in penstock.limits.");
  for (const Bound& bound : kBounds) text.sample({{"bound", bound.key}}, times_met(bound, blocks));
  text.family("penstock_memo_total", "counter", "Lookups in the line memo, and evictions.");
  for (const std::string_view what : {"memo_hits", "memo_misses", "memo_evicted"}) {
    text.sample({{"what", what.substr(5)}}, shards(blocks, what));
  }
  text.family("penstock_contexts_total", "counter", "Contexts created and expired.");
  text.sample({{"event", "created"}}, shards(blocks, "contexts_created"));
  text.sample({{"event", "expired"}}, shards(blocks, "contexts_expired"));
  text.family("penstock_type_clashes_total", "counter",
              "Contexts created beside one of the same name and tags and another type.");
  text.sample({}, shards(blocks, "type_clashes"));
  text.family("penstock_contexts", "gauge", "Contexts a shard knows now.");
  for (const StatsBlockValues& b : blocks) {
    if (b.kind == StatsBlock::kShard) text.sample({{"shard", b.label}}, b.get("contexts"));
  }
}

// A bucket to each power of two: a quarter of those that the shards count.
void times(Text& text, const Blocks& blocks, const Blocks& live) {
  constexpr size_t kStep = size_t{1} << latency::kFirstBits;
  latency::Counts counts{};
  for (const StatsBlockValues& b : blocks) {
    if (b.kind != StatsBlock::kShard) continue;
    const latency::Counts of_shard = latency_of(b);
    std::ranges::transform(counts, of_shard, counts.begin(), std::plus<>());
  }
  constexpr std::string_view kName = "penstock_packet_latency_seconds";
  text.family(kName, "histogram",
              "From the receipt of a packet until its shard has aggregated it.");
  uint64_t below = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    below += counts[i];
    if (i + 1 == counts.size()) {
      text.sample("_bucket", {{"le", "+Inf"}}, below);
    } else if (i % kStep == kStep - 1) {
      text.sample("_bucket", {{"le", cat(static_cast<double>(latency::limit_ns(i)) / 1e9)}}, below);
    }
  }
  text.sample("_sum", {}, static_cast<double>(shards(blocks, "latency_sum_ns")) / 1e9);
  text.sample("_count", {}, below);
  text.family("penstock_shard_pause_max_seconds", "gauge",
              "The longest a shard was kept from its packets by a flip or a step of cleaning.");
  for (const StatsBlockValues& b : live) {
    if (b.kind != StatsBlock::kShard) continue;
    text.sample({{"shard", b.label}}, static_cast<double>(b.get("pause_ns_max")) / 1e9);
  }
}

void segments(Text& text, const Blocks& blocks, const Blocks& live, uint64_t corrupt) {
  const auto keeper = [&](std::string_view name) {
    return sum_of(blocks, StatsBlock::kKeeper, name);
  };
  text.family("penstock_segments_total", "counter", "Segments, by event.");
  text.sample({{"event", "sealed"}}, keeper("segments_sealed"));
  text.sample({{"event", "acknowledged"}}, keeper("segments_acknowledged"));
  text.sample({{"event", "given_up"}}, keeper("segments_given_up"));
  text.sample({{"event", "corrupt"}}, corrupt);
  text.family("penstock_points_sealed_total", "counter", "Rows of sealed Segments.");
  text.sample({}, keeper("points_sealed"));
  text.family("penstock_late_shards_total", "counter", "Shards that joined a later Segment.");
  text.sample({}, keeper("late_shards"));
  text.family("penstock_clock_steps_total", "counter", "Steps of the wall clock.");
  text.sample({}, keeper("clock_steps"));
  text.family("penstock_seal_seconds", "gauge", "Time to seal a Segment.");
  const auto seconds = [&](std::string_view name) {
    return static_cast<double>(sum_of(live, StatsBlock::kKeeper, name)) / 1e6;
  };
  text.sample({{"which", "last"}}, seconds("seal_us_last"));
  text.sample({{"which", "max"}}, seconds("seal_us_max"));
}

void exporters(Text& text, const LedgerInput& books, const std::vector<ExporterStatus>& statuses) {
  text.family("penstock_exporter_points_total", "counter",
              "Points an exporter is done with, by result.");
  for (const ExporterTally& e : books.exporters) {
    text.sample({{"exporter", e.name}, {"result", "delivered"}}, e.delivered);
    text.sample({{"exporter", e.name}, {"result", "given_up"}}, e.given_up);
  }
  text.family("penstock_exporter_filtered_series_total", "counter",
              "Series of histograms that the name filter left out.");
  for (const ExporterTally& e : books.exporters) text.sample({{"exporter", e.name}}, e.filtered);
  text.family("penstock_exporter_queued_points", "gauge", "Points waiting for an exporter.");
  for (const ExporterTally& e : books.exporters) text.sample({{"exporter", e.name}}, e.queued);
  text.family("penstock_exporter_retries_total", "counter", "Deliveries that failed.");
  for (const ExporterStatus& e : statuses) text.sample({{"exporter", e.name}}, e.retries);
  text.family("penstock_exporter_dropped_points_total", "counter",
              "Points of delivered Segments that the format or a limit left out.");
  for (const ExporterStatus& e : statuses) text.sample({{"exporter", e.name}}, e.dropped_points);
}

void processes(Text& text, const State& state, bool up, int64_t heartbeat_age_ms) {
  text.family("penstock_data_plane_up", "gauge", "1 while a data plane answers.");
  text.sample({}, up ? 1 : 0);
  text.family("penstock_data_plane_heartbeat_age_seconds", "gauge",
              "Since the keeper's last pass; -1 when there is none.");
  text.sample({}, heartbeat_age_ms < 0 ? -1.0 : static_cast<double>(heartbeat_age_ms) / 1e3);
  text.family("penstock_data_plane_restarts_total", "counter", "Data planes started again.");
  text.sample({}, state.restarts);
  text.family("penstock_data_plane_crashes_total", "counter", "Data planes that did not drain.");
  text.sample({}, state.departed.crashes);
  text.family("penstock_lost_in_crash_total", "counter", "What data planes that died had in hand.");
  text.sample({{"what", "packets"}}, state.departed.packets_lost);
  text.sample({{"what", "samples"}}, state.departed.samples_lost);
  text.sample({{"what", "points"}}, state.departed.points_lost);
}

}  // namespace

std::string Monitor::metrics(uint64_t dropped_control_clients) const {
  const LedgerInput books = delivery_.books();
  const Blocks live = supervisor_.stats();
  Blocks blocks = books.departed.blocks;
  add_blocks(blocks, live);
  Text text;
  text.family("penstock_build_info", "gauge", "Always 1; the labels say what runs.");
  text.sample({{"version", PENSTOCK_VERSION}, {"build", agent::build_id()}}, 1);
  processes(text, delivery_.state(), supervisor_.greeted(), heartbeat_age_ms());
  sources(text, blocks);
  origins(text, blocks);
  connections(text, blocks);
  forward(text, forward_tallies(books.departed.blocks, live));
  lines(text, blocks);
  samples(text, blocks);
  times(text, blocks, live);
  segments(text, blocks, live, delivery_.corrupt_segments());
  exporters(text, books, delivery_.statuses());
  text.family("penstock_control_clients_dropped_total", "counter",
              "Clients of the control socket that were slow, idle or sent nonsense.");
  text.sample({}, dropped_control_clients);
  return text.take();
}

}  // namespace penstock

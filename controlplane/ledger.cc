#include "controlplane/ledger.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "controlplane/forward_tally.h"
#include "controlplane/ledger_names.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

using Json = nlohmann::ordered_json;

// Checks identities and keeps those that do not hold.
class Audit {
 public:
  void equal(const std::string& identity, uint64_t left, uint64_t right) {
    if (left == right) return;
    const auto gap = static_cast<int64_t>(left - right);
    differences_.push_back(
        {{"identity", identity}, {"left", left}, {"right", right}, {"gap", gap}});
  }
  [[nodiscard]] Json take() { return std::move(differences_); }

 private:
  Json differences_ = Json::array();
};

// Everything of one run: blocks of all data planes, summed.
struct Books {
  std::vector<StatsBlockValues> blocks;

  [[nodiscard]] uint64_t shards(std::string_view name) const {
    return sum_of(blocks, StatsBlock::kShard, name);
  }
  [[nodiscard]] uint64_t keeper(std::string_view name) const {
    return sum_of(blocks, StatsBlock::kKeeper, name);
  }
  [[nodiscard]] uint64_t sources(std::string_view name) const {
    return sum_of(blocks, StatsBlock::kRxQueue, name) + sum_of(blocks, StatsBlock::kListener, name);
  }
  [[nodiscard]] const StatsBlockValues* of_source(StatsBlock kind, std::string_view label) const {
    const auto it = std::ranges::find_if(
        blocks, [&](const StatsBlockValues& b) { return b.kind == kind && b.label == label; });
    return it == blocks.end() ? nullptr : &*it;
  }
};

Json packets(const Books& books, const LedgerInput& input, Audit& audit) {
  const uint64_t missed = sum_of(books.blocks, StatsBlock::kLoss, "missed");
  const uint64_t no_buffer = sum_of(books.blocks, StatsBlock::kLoss, "no_buffer");
  const uint64_t dispatched = books.sources("dispatched");
  uint64_t malformed = 0;
  for (const std::string_view name : kMalformed) malformed += books.sources(name);
  for (const StatsBlockValues& b : books.blocks) {
    if (!is_source(b)) continue;
    audit.equal(cat("packets of ", b.label,
                    ": received = not_ours + malformed + fragments + truncated + ring_full + "
                    "dispatched"),
                b.get("received"), sum_of_names(b, kReceivedParts));
  }
  audit.equal("packets: dispatched = processed by shards + lost_in_crash", dispatched,
              books.shards("packets") + input.departed.packets_lost);
  return {{"offered", books.sources("received") + missed + no_buffer},
          {"missed", missed},
          {"no_buffer", no_buffer},
          {"not_ours", books.sources("not_ours")},
          {"malformed", malformed},
          {"fragments_joined", books.sources("fragments_joined")},
          {"fragments_full", books.sources("fragments_full")},
          {"fragments_waiting", books.sources("fragments_waiting")},
          {"truncated", books.sources("truncated")},
          {"ring_full", books.sources("ring_full")},
          {"dispatched", dispatched},
          {"lost_in_crash", input.departed.packets_lost}};
}

Json sources(const Books& books, const LedgerInput& input) {
  Json list = Json::array();
  for (const StatsBlockValues& b : books.blocks) {
    if (!is_source(b)) continue;
    Json source = {{"name", b.label},
                   {"kind", b.kind == StatsBlock::kRxQueue ? "queue" : "listener"}};
    const auto address = input.addresses.find(b.label);
    if (address != input.addresses.end()) source["address"] = address->second;
    for (const auto& [name, value] : b.counters) source[name] = value;
    const StatsBlockValues* loss = books.of_source(StatsBlock::kLoss, b.label);
    source["missed"] = loss == nullptr ? 0 : loss->get("missed");
    source["no_buffer"] = loss == nullptr ? 0 : loss->get("no_buffer");
    if (const auto* origin = books.of_source(StatsBlock::kOrigin, b.label); origin != nullptr) {
      for (const auto& [name, value] : origin->counters) source[name] = value;
    }
    list.push_back(std::move(source));
  }
  return list;
}

Json lines(const Books& books, Audit& audit) {
  Json rejected = Json::object();
  uint64_t rejected_sum = 0;
  constexpr std::string_view kPrefix = "rejected_";
  for (const StatsBlockValues& b : books.blocks) {
    if (b.kind != StatsBlock::kShard) continue;
    for (const auto& [name, value] : b.counters) {
      if (!name.starts_with(kPrefix)) continue;
      std::string reason = name.substr(kPrefix.size());
      std::ranges::replace(reason, '_', '-');
      rejected[reason] = rejected.value(reason, uint64_t{0}) + value;
      rejected_sum += value;
    }
  }
  const uint64_t total = books.shards("lines");
  const uint64_t ok = books.shards("lines_ok");
  audit.equal("lines: total = ok + rejected", total, ok + rejected_sum);
  audit.equal("lines: ok = metrics + events + service_checks", ok,
              books.shards("metrics") + books.shards("events") + books.shards("service_checks"));
  return {{"total", total},
          {"ok", ok},
          {"metrics", books.shards("metrics")},
          {"events", books.shards("events")},
          {"service_checks", books.shards("service_checks")},
          {"events_and_checks_refused", books.shards("carry_full_events")},
          {"rejected", std::move(rejected)}};
}

// Of a running data plane, what is counted and not sealed is in the open bucket.
uint64_t open_samples(const Books& books, const LedgerInput& input, uint64_t kept) {
  const bool drained = sum_of(input.live, StatsBlock::kKeeper, "drained") != 0;
  if (input.live.empty() || drained) return 0;
  const uint64_t closed = books.keeper("samples_sealed") + input.departed.samples_lost;
  return kept > closed ? kept - closed : 0;
}

Json samples(const Books& books, const LedgerInput& input, Audit& audit) {
  const uint64_t total = books.shards("samples");
  const uint64_t sealed = books.keeper("samples_sealed");
  const uint64_t lost = input.departed.samples_lost;
  const uint64_t kept =
      books.shards("aggregated") + books.shards("overflow") + books.shards("timestamped");
  const uint64_t open = open_samples(books, input, kept);
  Json out = {{"total", total}};
  uint64_t parts = 0;
  for (const std::string_view name : kSampleParts) {
    const uint64_t n = books.shards(name);
    out[std::string(name)] = n;
    parts += n;
  }
  out["sealed"] = sealed;
  out["open"] = open;
  out["lost_in_crash"] = lost;
  audit.equal(
      "samples: total = aggregated + timestamped + unsupported_timestamped + filtered + overflow + "
      "nan_inf + carry_full",
      total, parts);
  audit.equal("samples: aggregated + overflow + timestamped = sealed + open + lost_in_crash", kept,
              sealed + open + lost);
  return out;
}

Json points(const Books& books, const LedgerInput& input, Audit& audit) {
  Reception live = input.reception;
  note_missing(input.live, live);
  const uint64_t sealed = books.keeper("points_sealed");
  const uint64_t live_sealed = sum_of(input.live, StatsBlock::kKeeper, "points_sealed");
  const uint64_t live_known = live.points + live.missing_points;
  const uint64_t held = live_sealed > live_known ? live_sealed - live_known : 0;
  const uint64_t given_up = live.missing_points + input.departed.points_missing;
  const uint64_t lost = input.departed.points_lost;
  const uint64_t admitted = sum_of(input.live, StatsBlock::kKeeper, "points_given_up");
  if (live.missing_points > admitted) {
    audit.equal("points: given_up = what the data plane says it gave up", live.missing_points,
                admitted);
  }
  Json exporters = Json::array();
  for (const ExporterTally& e : input.exporters) {
    audit.equal(cat("points of ", e.name,
                    ": sealed = held + given_up + lost_in_crash + its delivered + queued + "
                    "given_up"),
                sealed, held + given_up + lost + e.delivered + e.queued + e.given_up);
    exporters.push_back({{"name", e.name},
                         {"delivered", e.delivered},
                         {"queued", e.queued},
                         {"given_up", e.given_up},
                         {"filtered", e.filtered}});
  }
  return {{"sealed", sealed},
          {"held", held},
          {"given_up", given_up},
          {"lost_in_crash", lost},
          {"exporters", std::move(exporters)}};
}

Json forward(const LedgerInput& input, Audit& audit) {
  Json targets = Json::array();
  for (const ForwardTally& t : forward_tallies(input.departed.blocks, input.live)) {
    audit.equal(cat("forward to ", t.name,
                    ": offered = sent + queue_full + errors + in_flight + lost_in_crash"),
                t.offered, t.sent + t.queue_full + t.errors + t.in_flight + t.lost_in_crash);
    targets.push_back({{"name", t.name},
                       {"offered", t.offered},
                       {"sent", t.sent},
                       {"queue_full", t.queue_full},
                       {"errors", t.errors},
                       {"in_flight", t.in_flight},
                       {"lost_in_crash", t.lost_in_crash},
                       {"datagrams", t.datagrams},
                       {"bytes", t.bytes}});
  }
  return targets;
}

// Outside the identities: which limit to raise.
Json bounds(const Books& books) {
  Json out = Json::object();
  for (const Bound& bound : kBounds) out[std::string(bound.key)] = times_met(bound, books.blocks);
  return out;
}

void print_counters(std::string& out, const Json& section) {
  for (const auto& [name, value] : section.items()) {
    if (!value.is_number()) continue;
    std::array<char, 96> line{};
    std::snprintf(line.data(), line.size(), "  %-26s %16llu\n", name.c_str(),
                  static_cast<unsigned long long>(value.get<uint64_t>()));
    out += line.data();
  }
}

}  // namespace

Json make_ledger(const LedgerInput& input) {
  Books books{input.departed.blocks};
  add_blocks(books.blocks, input.live);
  Audit audit;
  Json parts = {{"packets", packets(books, input, audit)},
                {"sources", sources(books, input)},
                {"lines", lines(books, audit)},
                {"samples", samples(books, input, audit)},
                {"points", points(books, input, audit)},
                {"forward", forward(input, audit)},
                {"bounds", bounds(books)}};
  Json differences = audit.take();
  Json ledger = {{"balanced", differences.empty()}, {"differences", std::move(differences)}};
  ledger.update(parts);
  return ledger;
}

std::string ledger_table(const Json& ledger) {
  std::string out;
  for (const char* section : {"packets", "lines", "samples", "points", "bounds"}) {
    out += cat(section, "\n");
    print_counters(out, ledger.at(section));
    if (section == std::string_view("lines")) {
      for (const auto& [reason, n] : ledger.at("lines").at("rejected").items()) {
        if (n != 0) print_counters(out, {{cat("rejected ", reason), n}});
      }
    }
  }
  for (const Json& e : ledger.at("points").at("exporters")) {
    out += cat("exporter ", e.at("name").get<std::string>(), "\n");
    print_counters(out, e);
  }
  for (const Json& target : ledger.at("forward")) {
    out += cat("forward to ", target.at("name").get<std::string>(), "\n");
    print_counters(out, target);
  }
  for (const Json& source : ledger.at("sources")) {
    const std::string address = source.value("address", std::string());
    out += cat(source.at("kind").get<std::string>(), " ", source.at("name").get<std::string>(),
               address.empty() ? "" : " ", address, "\n");
    Json shown = Json::object();
    for (const auto& [name, value] : source.items()) {
      if (value.is_number() && (value != 0 || name == "received")) shown[name] = value;
    }
    print_counters(out, shown);
  }
  if (ledger.at("balanced").get<bool>()) return out + "balanced\n";
  for (const Json& d : ledger.at("differences")) {
    out +=
        cat("difference: ", d.at("identity").get<std::string>(), ": ", d.at("left").get<uint64_t>(),
            " != ", d.at("right").get<uint64_t>(), ", gap ", d.at("gap").get<int64_t>(), "\n");
  }
  return out + "not balanced\n";
}

}  // namespace penstock

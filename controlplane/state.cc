#include "controlplane/state.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "dataplane/base/fd.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

using nlohmann::json;
constexpr int kVersion = 1;

json encode_blocks(const std::vector<StatsBlockValues>& blocks) {
  json list = json::array();
  for (const StatsBlockValues& b : blocks) {
    json counters = json::array();
    for (const auto& [name, value] : b.counters) counters.push_back({name, value});
    list.push_back({{"kind", static_cast<uint32_t>(b.kind)},
                    {"label", b.label},
                    {"counters", std::move(counters)}});
  }
  return list;
}

std::vector<StatsBlockValues> decode_blocks(const json& list) {
  std::vector<StatsBlockValues> blocks;
  for (const json& item : list) {
    StatsBlockValues b{static_cast<StatsBlock>(item.at("kind").get<uint32_t>()),
                       item.at("label").get<std::string>(),
                       {}};
    for (const json& counter : item.at("counters")) {
      b.counters.emplace_back(counter.at(0).get<std::string>(), counter.at(1).get<uint64_t>());
    }
    blocks.push_back(std::move(b));
  }
  return blocks;
}

json encode_reception(const Reception& r) {
  return {{"last_sequence", r.last_sequence},
          {"segments", r.segments},
          {"points", r.points},
          {"samples", r.samples},
          {"missing_points", r.missing_points},
          {"missing_samples", r.missing_samples}};
}

Reception decode_reception(const json& j) {
  Reception r;
  r.last_sequence = j.at("last_sequence");
  r.segments = j.at("segments");
  r.points = j.at("points");
  r.samples = j.at("samples");
  r.missing_points = j.at("missing_points");
  r.missing_samples = j.at("missing_samples");
  return r;
}

json encode_departed(const Departed& d) {
  return {{"blocks", encode_blocks(d.blocks)},
          {"instances", d.instances},
          {"crashes", d.crashes},
          {"packets_lost", d.packets_lost},
          {"samples_lost", d.samples_lost},
          {"points_lost", d.points_lost},
          {"points_received", d.points_received},
          {"points_missing", d.points_missing}};
}

Departed decode_departed(const json& j) {
  Departed d;
  d.blocks = decode_blocks(j.at("blocks"));
  d.instances = j.at("instances");
  d.crashes = j.at("crashes");
  d.packets_lost = j.at("packets_lost");
  d.samples_lost = j.at("samples_lost");
  d.points_lost = j.at("points_lost");
  d.points_received = j.at("points_received");
  d.points_missing = j.at("points_missing");
  return d;
}

json encode_exporters(const std::map<std::string, ExporterProgress>& exporters) {
  json all = json::object();
  for (const auto& [name, e] : exporters) {
    all[name] = {{"instance", e.instance},   {"sequence", e.sequence},
                 {"delivered", e.delivered}, {"instance_points", e.instance_points},
                 {"given_up", e.given_up},   {"filtered", e.filtered},
                 {"cursor", e.cursor}};
  }
  return all;
}

// Fields that came after the first release have a default: an upgrade reads what the version before
// wrote.
std::map<std::string, ExporterProgress> decode_exporters(const json& j) {
  std::map<std::string, ExporterProgress> all;
  for (const auto& [name, value] : j.items()) {
    ExporterProgress e;
    e.instance = value.at("instance");
    e.sequence = value.at("sequence");
    e.instance_points = value.at("instance_points");
    e.delivered = value.at("delivered");
    e.given_up = value.at("given_up");
    e.filtered = value.value("filtered", e.filtered);
    e.cursor = value.at("cursor");
    all.emplace(name, std::move(e));
  }
  return all;
}

}  // namespace

std::string encode_state(const State& state) {
  const json facts = {{"cpus", state.facts.cpus},
                      {"cpu_nodes", state.facts.cpu_nodes},
                      {"device_nodes", state.facts.device_nodes},
                      {"hugepage_kb", state.facts.hugepage_kb},
                      {"hugepages_free", state.facts.hugepages_free},
                      {"root", state.facts.root},
                      {"hostname", state.facts.hostname}};
  const json all = {{"version", kVersion},
                    {"instance", state.instance},
                    {"reception", encode_reception(state.reception)},
                    {"exporters", encode_exporters(state.exporters)},
                    {"departed", encode_departed(state.departed)},
                    {"restarts", state.restarts},
                    {"facts", facts}};
  // Labels and cursors come from configuration and paths, which need not be UTF-8.
  return all.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

absl::StatusOr<State> decode_state(const std::string& text) try {
  const json all = json::parse(text);
  if (all.at("version") != kVersion) {
    return absl::InvalidArgumentError("state file of another version");
  }
  State state;
  state.instance = all.at("instance");
  state.reception = decode_reception(all.at("reception"));
  state.exporters = decode_exporters(all.at("exporters"));
  state.departed = decode_departed(all.at("departed"));
  state.restarts = all.at("restarts");
  const json& facts = all.at("facts");
  state.facts.cpus = facts.at("cpus").get<std::vector<uint16_t>>();
  state.facts.cpu_nodes = facts.value("cpu_nodes", std::vector<int>{});
  state.facts.device_nodes = facts.value("device_nodes", std::map<std::string, int>{});
  state.facts.hugepage_kb = facts.at("hugepage_kb");
  state.facts.hugepages_free = facts.at("hugepages_free");
  state.facts.root = facts.at("root");
  state.facts.hostname = facts.at("hostname");
  return state;
} catch (const json::exception& e) {
  return absl::InvalidArgumentError(cat("not a state file: ", std::string_view(e.what())));
}

absl::Status write_file_atomically(const std::string& path, const std::string& text) {
  const std::string next = path + ".next";
  Fd fd(::open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd.valid()) return errno_status(errno, cat("cannot write ", next));
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t n = ::write(fd.get(), rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      ::unlink(next.c_str());  // on a full disk it would be in the way of the next attempt
      return errno_status(error, cat("cannot write ", next));
    }
    rest.remove_prefix(static_cast<size_t>(n));
  }
  if (::rename(next.c_str(), path.c_str()) != 0) {
    return errno_status(errno, cat("cannot rename ", next, " to ", path));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> read_file(const std::string& path) {
  std::ifstream stream(path);
  if (!stream) return errno_status(errno, path);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

void add_blocks(std::vector<StatsBlockValues>& into, const std::vector<StatsBlockValues>& from) {
  for (const StatsBlockValues& block : from) {
    const auto same = std::ranges::find_if(into, [&](const StatsBlockValues& b) {
      return b.kind == block.kind && b.label == block.label;
    });
    if (same == into.end()) {
      into.push_back(block);
      continue;
    }
    for (const auto& added : block.counters) {
      const auto counter = std::ranges::find_if(
          same->counters, [&](const auto& c) { return c.first == added.first; });
      if (counter == same->counters.end()) {
        same->counters.push_back(added);
      } else {
        counter->second += added.second;
      }
    }
  }
}

}  // namespace penstock

#include "tools/penstockctl/print.h"

#include <algorithm>
#include <string_view>

#include "dataplane/base/strings.h"

namespace penstock {
namespace {

using Json = nlohmann::ordered_json;

std::string padded(std::string text, size_t width) {
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text;
}

std::string text(const Json& j, const char* key) {
  if (!j.contains(key)) return {};
  const Json& value = j.at(key);
  return value.is_string() ? value.get<std::string>() : value.dump();
}

void line(std::string& out, std::string_view name, std::string_view value) {
  out += cat(padded(std::string(name), 12), " ", value, "\n");
}

void data_plane(std::string& out, const Json& status) {
  const Json& d = status.at("data_plane");
  const bool up = d.value("up", false);
  line(out, "data plane",
       up ? cat("process ", text(d, "pid"), d.value("adopted", false) ? ", adopted" : "",
                ", heartbeat ", text(d, "heartbeat_age_ms"), " ms ago")
          : std::string("not up"));
  if (d.value("restarts", 0) + d.value("crashes", 0) > 0) {
    line(out, "restarts", cat(text(d, "restarts"), ", crashes ", text(d, "crashes")));
  }
  if (const std::string exit = text(d, "last_exit"); !exit.empty()) line(out, "last exit", exit);
  const Json& lost = status.at("lost_in_crash");
  if (lost.value("packets", 0) + lost.value("samples", 0) + lost.value("points", 0) > 0) {
    line(out, "lost",
         cat(text(lost, "samples"), " samples, ", text(lost, "packets"), " packets, ",
             text(lost, "points"), " points in crashes"));
  }
}

void cores(std::string& out, const Json& status) {
  if (!status.contains("cores")) return;
  const Json& c = status.at("cores");
  line(out, "cores",
       cat(text(c, "wiring"), ": control ", text(c, "control"), ", io ", text(c, "io"), ", rx ",
           text(c, "rx"), ", shards ", text(c, "shards")));
}

}  // namespace

std::string status_table(const Json& status) {
  std::string out;
  line(out, "state", text(status, "state"));
  for (const Json& reason : status.at("reasons")) line(out, "", reason.get<std::string>());
  line(out, "penstockd",
       cat("process ", text(status, "pid"), ", version ", text(status, "version"), " (",
           text(status, "build"), "), up ", text(status, "uptime_s"), " s"));
  data_plane(out, status);
  cores(out, status);
  for (const Json& p : status.at("ports")) {
    line(out, "port",
         cat(padded(text(p, "name"), 14), p.value("up", false) ? "up    " : "down  ",
             p.value("link", false) ? "link up    " : "link down  ", text(p, "text")));
  }
  for (const Json& l : status.at("listeners")) {
    const bool open = l.value("open", false);
    line(out, "listener",
         cat(padded(text(l, "name"), 14), open ? "open  " : "failed  ",
             open ? text(l, "address") : text(l, "error")));
  }
  for (const Json& f : status.at("forward")) {
    const bool open = f.value("open", false);
    const std::string last = text(f, "last_error");
    line(
        out, "forward to",
        cat(padded(text(f, "name"), 22), " ", open ? "open  " : "off   ",
            open ? cat(text(f, "sent"), " sent, ", text(f, "queue_full"), " given up, ",
                       text(f, "errors"), " errors", last.empty() ? "" : cat(" (last: ", last, ")"))
                 : text(f, "error")));
  }
  for (const Json& e : status.at("exporters")) {
    const std::string error = text(e, "error");
    line(out, "exporter",
         cat(padded(text(e, "name"), 14), error.empty() ? "ok    " : "retrying  ",
             text(e, "delivered"), " points delivered, ", text(e, "queued"), " queued, ",
             text(e, "given_up"), " given up"));
  }
  for (const Json& h : status.at("http")) {
    line(out, "http", cat(padded(text(h, "name"), 14), text(h, "listen"), " ", text(h, "error")));
  }
  for (const Json& note : status.at("notes")) line(out, "note", note.get<std::string>());
  return out;
}

std::string stats_table(const Json& stats) {
  std::string out;
  for (const Json& block : stats.at("blocks")) {
    out += cat(text(block, "kind"), " ", text(block, "label"), "\n");
    for (const auto& [name, value] : block.at("counters").items()) {
      if (value != 0) out += cat("  ", padded(name, 26), " ", value.dump(), "\n");
    }
    if (!block.contains("latency")) continue;
    for (const char* quantile : {"p50_us", "p99_us", "p999_us"}) {
      out += cat("  ", padded(cat("latency_", quantile), 26), " ",
                 block.at("latency").at(quantile).dump(), "\n");
    }
  }
  return out;
}

}  // namespace penstock

// Points as JSON lines (docs/json-lines.md) in the order of docs/replay.md, written anew.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/reference/dogstatsd_reference.h"
#include "tests/reference/enrich.h"
#include "tests/reference/sketch.h"

namespace penstock::reference {

struct Series {
  int64_t ts = 0;
  std::string metric;
  std::string host;
  std::vector<std::string> tags;
  std::string type;  // rate or gauge
  double value = 0;
};

struct SketchPoint {
  int64_t ts = 0;
  std::string metric;
  std::string host;
  std::vector<std::string> tags;
  Sketch sketch;
};

// Events and checks as ruling 13 wants them: `message.hostname`, `.timestamp` and `.tags` are
// resolved.
struct Points {
  std::vector<Series> series;
  std::vector<SketchPoint> sketches;
  std::vector<Event> events;
  std::vector<ServiceCheck> checks;
};

// The lines without line feeds. Points that are not finite are left out.
std::vector<std::string> json_lines(const Points& points);

}  // namespace penstock::reference

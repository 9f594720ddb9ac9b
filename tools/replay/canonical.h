#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/exporters/json_lines.h"
#include "controlplane/exporters/points.h"

namespace penstock::replay {

// Gathers the points of a Segment as JSON lines in canonical order (docs/replay.md):
//   series and sketches by time, metric, host, tags, type;
//   then events by time, title; then service checks by time, name;
// and, where all that is equal, by the bytes of the line. Names and tags compare byte by byte.
class CanonicalLines : public PointSink {
 public:
  CanonicalLines() : encoder_(text_) {}

  void series(const SeriesPoint& point) override;
  void sketch(const SketchPoint& point) override;
  void event(const segment::Event& event) override;
  void service_check(const segment::ServiceCheck& check) override;

  // Appends the lines gathered so far to `out` and starts anew.
  void take(std::string& out);

  // Points without a line, their value being infinite or NaN.
  [[nodiscard]] uint64_t not_finite() const { return encoder_.not_finite(); }

 private:
  // What a line is sorted by; bytes of `keys_` and `text_`.
  struct Entry {
    size_t key, key_size;
    size_t line, line_size;
  };
  void begin(char section, int64_t time);
  void key(std::string_view text);
  void part(std::string_view text);
  void key(std::span<const std::string_view> tags);
  void end();

  std::string keys_, text_;
  std::vector<Entry> entries_;
  Entry entry_{};
  JsonLinesEncoder encoder_;
};

}  // namespace penstock::replay

#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/api/segment.h"

namespace penstock {

// DogStatsD names and tags in the text format of Prometheus, version 0.0.4.

// Sets `out` to a metric name: each byte outside [a-zA-Z0-9_:] becomes `_`, a leading digit gets a
// `_` before it, an empty name is `_`.
void prometheus_name(std::string_view name, std::string& out);

// Sets `out` to the labels of a context as they stand between braces, `a="x",b="y"`, sorted by
// name, without braces; empty if there are none. The host becomes label `host`, tag `k:v` label
// k="v", a tag without colon k="true"; empty tags and empty values give no label. Label names are
// made valid like metric names, without colons; those that Prometheus keeps for itself (`__...`,
// `quantile`, `le`) get `tag_` in front. Values of one name are joined with commas. Values are made
// valid UTF-8.
class PrometheusLabels {
 public:
  void set(const segment::Context& context, std::string& out);

 private:
  struct Label {
    std::string name, value;
  };

  void add(std::string_view name, std::string_view value);

  std::vector<Label> labels_;  // the first used_ ones count; kept for their memory
  size_t used_ = 0;
};

// Appends `s` as the inside of a quoted label value.
void append_prometheus_label(std::string& out, std::string_view s);

// Appends `s` as the text of a HELP line, where quotes stand for themselves.
void append_prometheus_help(std::string& out, std::string_view s);

// Appends a sample value, which may be NaN or infinite.
void append_prometheus_number(std::string& out, double value);

}  // namespace penstock

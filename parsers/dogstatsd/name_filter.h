#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace penstock::dogstatsd {

// A list of metric names to leave out (spec 7.6). Any thread.
class NameFilter {
 public:
  NameFilter() = default;
  // With `prefix` an entry stands for every name that begins with it, an empty one for all;
  // otherwise for exactly its own.
  NameFilter(std::vector<std::string> entries, bool prefix);

  // The entry that `name` falls under, null if there is none. Logarithmic in the entries.
  [[nodiscard]] const std::string* find(std::string_view name) const;

  [[nodiscard]] bool empty() const { return entries_.empty(); }

 private:
  std::vector<std::string> entries_;  // sorted; none with `prefix_` is a prefix of another
  bool prefix_ = false;
};

}  // namespace penstock::dogstatsd

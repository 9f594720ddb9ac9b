#include "parsers/dogstatsd/name_filter.h"

#include <algorithm>
#include <utility>

namespace penstock::dogstatsd {

NameFilter::NameFilter(std::vector<std::string> entries, bool prefix)
    : entries_(std::move(entries)), prefix_(prefix) {
  std::ranges::sort(entries_);
  // An entry's extensions follow it directly.
  const auto covers = [prefix](const std::string& a, const std::string& b) {
    return prefix ? b.starts_with(a) : a == b;
  };
  entries_.erase(std::unique(entries_.begin(), entries_.end(), covers), entries_.end());
}

const std::string* NameFilter::find(std::string_view name) const {
  // As no entry is a prefix of another, only the last one up to `name` can be a prefix of it.
  auto it = std::ranges::upper_bound(entries_, name);
  if (it == entries_.begin()) return nullptr;
  --it;
  return (prefix_ ? name.starts_with(*it) : name == *it) ? &*it : nullptr;
}

}  // namespace penstock::dogstatsd

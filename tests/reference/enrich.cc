#include "tests/reference/enrich.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <regex>

namespace penstock::reference {
namespace {

using Strings = std::vector<std::string>;

bool word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// 7.1: "." is literal, "*" is a group without dots, both ends anchored.
std::string wildcard_pattern(const std::string& match) {
  std::string pattern;
  for (char c : match) {
    if (c == '.') {
      pattern += "\\.";
    } else if (c == '*') {
      pattern += "([^.]*)";
    } else {
      pattern += c;
    }
  }
  return pattern;
}

// The group of that name; unknown and unmatched ones are empty (7.1).
std::string group(const std::smatch& match, const std::string& name) {
  const bool numeric =
      std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!numeric || name.size() > 4) return "";
  const size_t i = std::stoul(name);
  return i < match.size() ? match[i].str() : "";
}

// 7.1: $1, ${1}, the longest run of letters, digits and `_`; $$ is a dollar sign, and so is one
// that begins none of these.
std::string expand(const std::string& text, const std::smatch& match) {
  std::string result;
  for (size_t i = 0; i < text.size();) {
    if (text[i] != '$') {
      result += text[i++];
      continue;
    }
    ++i;
    if (i < text.size() && text[i] == '$') {
      result += '$';
      ++i;
      continue;
    }
    const bool braced = i < text.size() && text[i] == '{';
    size_t end = braced ? i + 1 : i;
    std::string name;
    while (end < text.size() && word(text[end])) name += text[end++];
    if (name.empty() || (braced && (end == text.size() || text[end] != '}'))) {
      result += '$';
      continue;
    }
    result += group(match, name);
    i = braced ? end + 1 : end;
  }
  return result;
}

// 7.1: the first profile whose prefix the name has decides, and in it the first mapping.
void map_name(Metric& metric, const EnrichConfig& config) {
  for (const MapperProfile& profile : config.mapper_profiles) {
    if (profile.prefix != "*" && !metric.name.starts_with(profile.prefix)) continue;
    for (const Mapping& mapping : profile.mappings) {
      const std::string pattern = mapping.regex ? mapping.match : wildcard_pattern(mapping.match);
      const std::string name = metric.name;
      std::smatch match;
      if (!std::regex_search(name, match, std::regex("^" + pattern + "$"))) continue;
      metric.name = expand(mapping.name, match);
      for (const auto& [key, value] : mapping.tags) {
        metric.tags.push_back(key + ":" + expand(value, match));
      }
      return;
    }
    return;
  }
}

// 7.5, as ruled: a container's only tag is its id, and only at cardinality "high" (ruling 8). There
// is no source of tags for pods and inodes. In unified mode the first that is known counts, in
// legacy mode both do.
void add_container_tags(Strings& tags, const Origin& origin, const std::string& entity_id,
                        std::string cardinality, const std::string& socket_container,
                        const EnrichConfig& config) {
  if (cardinality.empty()) cardinality = config.tag_cardinality;
  for (char& c : cardinality) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (cardinality != "high") return;
  const bool from_socket = config.origin_detection && !socket_container.empty();
  if (config.origin_detection_unified) {
    const std::string& container = from_socket ? socket_container : origin.container_id;
    if (!container.empty()) tags.push_back("container_id:" + container);
    return;
  }
  const bool entity_wins = !entity_id.empty() && config.entity_id_precedence;
  if (from_socket && !entity_wins) {
    tags.push_back("container_id:" + socket_container);
  }
  if (entity_id.empty() && !origin.container_id.empty()) {
    tags.push_back("container_id:" + origin.container_id);
  }
}

}  // namespace

bool NameFilter::matches(const std::string& name) const {
  return std::any_of(entries.begin(), entries.end(), [&](const std::string& entry) {
    return match_prefix ? name.starts_with(entry) : name == entry;
  });
}

NameFilter name_filter(const EnrichConfig& config) {
  if (!config.metric_filterlist.empty()) {
    return {config.metric_filterlist, config.metric_filterlist_match_prefix};
  }
  return {config.statsd_metric_blocklist, config.statsd_metric_blocklist_match_prefix};
}

Identity identify(const Strings& tags, const Origin& origin, const std::string& event_host,
                  const std::string& socket_container, const EnrichConfig& config) {
  Identity result{config.hostname, {}};
  std::string entity_id;
  std::string cardinality = origin.cardinality;
  const auto is = [](const std::string& tag, const std::string& prefix, std::string& value) {
    if (!tag.starts_with(prefix)) return false;
    value = tag.substr(prefix.size());
    return true;
  };
  for (const std::string& tag : tags) {  // 7.2
    std::string value;
    if (is(tag, "host:", value)) {
      result.host = value;
    } else if (is(tag, "dd.internal.entity_id:", value)) {
      entity_id = value;
    } else if (cardinality.empty() && is(tag, "dd.internal.card:", value)) {
      cardinality = value;
    } else if (!is(tag, "dd.internal.jmx_check_name:", value)) {
      result.tags.push_back(tag);
    }
  }
  if (!event_host.empty()) result.host = event_host;
  result.tags.insert(result.tags.end(), config.tags.begin(), config.tags.end());  // 7.3
  add_container_tags(result.tags, origin, entity_id, cardinality, socket_container, config);
  std::sort(result.tags.begin(), result.tags.end());
  result.tags.erase(std::unique(result.tags.begin(), result.tags.end()), result.tags.end());
  return result;
}

std::string namespace_prefix(const EnrichConfig& config) {
  const std::string& prefix = config.metric_namespace;
  return prefix.empty() || prefix.ends_with(".") ? prefix : prefix + ".";  // 1.1
}

void rename(Metric& metric, const EnrichConfig& config) {
  map_name(metric, config);
  const Strings& excluded = config.namespace_blacklist;
  if (std::any_of(excluded.begin(), excluded.end(),
                  [&](const std::string& prefix) { return metric.name.starts_with(prefix); })) {
    return;
  }
  metric.name = namespace_prefix(config) + metric.name;
}

}  // namespace penstock::reference

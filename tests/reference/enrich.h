// Section 7: what happens to a parsed message before it is aggregated.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/reference/dogstatsd_reference.h"

namespace penstock::reference {

struct Mapping {
  std::string match;
  bool regex = false;  // else a wildcard
  std::string name;
  std::vector<std::pair<std::string, std::string>> tags;  // key, expression
};

struct MapperProfile {
  std::string prefix;  // "*": every name
  std::vector<Mapping> mappings;
};

// The keys of the Agent that section 7 needs, with its defaults. Regular expressions are
// ECMAScript's here, and only numbered groups exist: enough where RE2 means the same.
struct EnrichConfig {
  std::string hostname;
  std::vector<std::string> tags;  // dogstatsd_tags
  std::string metric_namespace;
  std::vector<std::string> namespace_blacklist = {"datadog.agent",
                                                  "datadog.dogstatsd",
                                                  "datadog.process",
                                                  "datadog.trace_agent",
                                                  "datadog.tracer",
                                                  "activemq",
                                                  "activemq_58",
                                                  "airflow",
                                                  "cassandra",
                                                  "confluent",
                                                  "hazelcast",
                                                  "hive",
                                                  "ignite",
                                                  "jboss",
                                                  "jvm",
                                                  "kafka",
                                                  "presto",
                                                  "sidekiq",
                                                  "solr",
                                                  "tomcat",
                                                  "runtime"};
  std::vector<MapperProfile> mapper_profiles;
  std::vector<std::string> metric_filterlist;
  bool metric_filterlist_match_prefix = false;
  std::vector<std::string> statsd_metric_blocklist;
  bool statsd_metric_blocklist_match_prefix = false;
  bool origin_detection = false;      // containers of Unix senders (2.6)
  bool entity_id_precedence = false;  // 7.5
  bool origin_detection_unified = false;
  std::string tag_cardinality = "low";
};

// 7.6: the list that is in force, and whether its entries are prefixes.
struct NameFilter {
  std::vector<std::string> entries;
  bool match_prefix = false;
  bool matches(const std::string& name) const;
};
NameFilter name_filter(const EnrichConfig& config);

struct Identity {
  std::string host;
  std::vector<std::string> tags;  // sorted, unique (ruling 1), extra and container tags included
};

// 7.2, 7.3, 7.5. `event_host` is the `h:` of an event or check, empty for metrics.
// `socket_container` is the sender's container by its credentials, empty: unknown.
Identity identify(const std::vector<std::string>& tags, const Origin& origin,
                  const std::string& event_host, const std::string& socket_container,
                  const EnrichConfig& config);

// 7.1 and 7.4: gives the metric its final name, and the mapper's tags.
void rename(Metric& metric, const EnrichConfig& config);

// 7.4: the namespace with its dot, or nothing.
std::string namespace_prefix(const EnrichConfig& config);

}  // namespace penstock::reference

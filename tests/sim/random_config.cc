#include "random_config.h"

namespace penstock {

reference::Config random_config(Random& random) {
  reference::Config config;
  config.expiry_seconds = static_cast<double>(1 + random.below(60));
  reference::EnrichConfig& enrich = config.enrich;
  if (random.chance(50)) enrich.hostname = "box";
  if (random.chance(30)) enrich.tags = {"b:1", "host:extra"};
  if (random.chance(40)) enrich.metric_namespace = random.chance(50) ? "ns" : "ns.";
  if (random.chance(30)) {
    enrich.metric_filterlist = {"m1", "ns.m2", "ns.m3.max", "m3.95percentile"};
    enrich.metric_filterlist_match_prefix = random.chance(30);
  }
  if (random.chance(30)) {
    enrich.mapper_profiles = {{"map.",
                               {{"map.m1", false, "mapped", {{"k", "v"}, {"host", "mh"}}},
                                {"map.*", false, "m.$1", {{"from", "${1}"}}}}}};
  }
  config.origin_detection_client = random.chance(50);
  enrich.origin_detection_unified = random.chance(30);
  if (random.chance(30)) enrich.tag_cardinality = "high";
  config.no_aggregation_pipeline = !random.chance(20);
  config.histogram_copy_to_distribution = random.chance(30);
  if (random.chance(50)) config.histogram_copy_to_distribution_prefix = "copy.";
  config.eol_udp = random.chance(20);
  if (random.chance(50)) {
    config.histogram_aggregates = {"min", "sum", "count", "median", "avg", "max"};
    config.histogram_percentiles = {0.99, 0, 0.5, 1, 0.33};
  }
  return config;
}

}  // namespace penstock

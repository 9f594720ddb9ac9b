#include "setup.h"

#include <string>
#include <vector>

#include "dataplane/base/strings.h"
#include "tests/support/mapper_plan.h"
#include "tests/support/shard_harness.h"

namespace penstock {

std::unique_ptr<Plan> plan_of(const reference::Config& config) {
  const reference::EnrichConfig& enrich = config.enrich;
  auto plan = test_plan();
  DogstatsdPlan& p = plan->dogstatsd;
  p.default_host = plan->add_text(enrich.hostname);
  p.metric_namespace = plan->add_text(reference::namespace_prefix(enrich));
  for (const std::string& tag : enrich.tags) p.tags[p.tag_count++] = plan->add_text(tag);
  for (const std::string& prefix : enrich.namespace_blacklist)
    p.exclusions[p.exclusion_count++] = plan->add_text(prefix);
  const reference::NameFilter filter = reference::name_filter(enrich);
  for (const std::string& entry : filter.entries)
    p.filter.entries[p.filter.count++] = plan->add_text(entry);
  p.filter.prefix = filter.match_prefix ? 1 : 0;
  for (const reference::MapperProfile& profile : enrich.mapper_profiles) {
    std::vector<TestMapping> mappings;
    for (const reference::Mapping& m : profile.mappings) {
      mappings.push_back(
          {m.match, m.name, m.tags,
           m.regex ? dogstatsd::MatchType::kRegex : dogstatsd::MatchType::kWildcard});
    }
    add_profile(*plan, profile.prefix, mappings);
  }
  p.buffer_size = static_cast<uint32_t>(config.buffer_size);
  p.counter_expiry_s = static_cast<uint32_t>(config.expiry_seconds);
  p.timestamps = config.no_aggregation_pipeline ? 1 : 0;
  p.client_origin = config.origin_detection_client ? 1 : 0;
  p.origin_unified = enrich.origin_detection_unified ? 1 : 0;
  p.tag_cardinality =
      dogstatsd::parse_cardinality(enrich.tag_cardinality).value_or(dogstatsd::Cardinality::kLow);
  p.copy_histograms = config.histogram_copy_to_distribution ? 1 : 0;
  p.copy_prefix = plan->add_text(config.histogram_copy_to_distribution_prefix);
  return plan;
}

HistogramConfig histograms_of(const reference::Config& config) {
  std::vector<std::string> percentiles;
  for (double p : config.histogram_percentiles) percentiles.push_back(cat(p));
  std::vector<std::string> ignored;
  HistogramConfig histograms =
      HistogramConfig::parse(config.histogram_aggregates, percentiles, ignored);
  const reference::NameFilter filter = reference::name_filter(config.enrich);
  histograms.leave_out(filter.entries, filter.match_prefix);
  return histograms;
}

}  // namespace penstock

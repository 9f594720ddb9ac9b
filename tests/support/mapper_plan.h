#pragma once

#include <string>
#include <utility>
#include <vector>

#include "dataplane/api/plan.h"
#include "parsers/dogstatsd/mapper_pattern.h"

namespace penstock {

// Mapper profiles in a Plan, for tests and benches.
struct TestMapping {
  std::string match;
  std::string name;
  std::vector<std::pair<std::string, std::string>> tags;
  dogstatsd::MatchType type = dogstatsd::MatchType::kWildcard;
};

inline void add_profile(Plan& plan, std::string_view prefix,
                        const std::vector<TestMapping>& mappings) {
  MapperPlan& m = plan.dogstatsd.mapper;
  m.profiles[m.profile_count++] = {plan.add_text(prefix), static_cast<uint32_t>(mappings.size())};
  for (const TestMapping& mapping : mappings) {
    m.mappings[m.mapping_count++] = {plan.add_text(mapping.match), plan.add_text(mapping.name),
                                     static_cast<uint32_t>(mapping.tags.size()),
                                     mapping.type == dogstatsd::MatchType::kRegex ? 1u : 0u};
    for (const auto& [key, value] : mapping.tags)
      m.tags[m.tag_count++] = {plan.add_text(key), plan.add_text(value)};
  }
}

// Twenty mappings of the shapes that people use for Airflow.
inline void add_airflow_profile(Plan& plan) {
  constexpr auto kRegex = dogstatsd::MatchType::kRegex;
  add_profile(
      plan, "airflow.",
      {{"airflow.*_job_start", "airflow.job.start", {{"job_name", "$1"}}},
       {"airflow.*_job_end", "airflow.job.end", {{"job_name", "$1"}}},
       {"airflow.*_heartbeat_failure", "airflow.job.heartbeat.failure", {{"job_name", "$1"}}},
       {"airflow.operator_failures_*", "airflow.operator_failures", {{"operator_name", "$1"}}},
       {"airflow.operator_successes_*", "airflow.operator_successes", {{"operator_name", "$1"}}},
       {"airflow.pool.open_slots.*", "airflow.pool.open_slots", {{"pool_name", "$1"}}},
       {"airflow.pool.queued_slots.*", "airflow.pool.queued_slots", {{"pool_name", "$1"}}},
       {"airflow.pool.used_slots.*", "airflow.pool.used_slots", {{"pool_name", "$1"}}},
       {"airflow.pool.starving_tasks.*", "airflow.pool.starving_tasks", {{"pool_name", "$1"}}},
       {"airflow\\.dag\\.(.*)\\.([^.]*)\\.duration",
        "airflow.dag.task.duration",
        {{"dag_id", "$1"}, {"task_id", "$2"}},
        kRegex},
       {"airflow.dag.*.*.queue_duration",
        "airflow.dag.task.queue_duration",
        {{"dag_id", "$1"}, {"task_id", "$2"}}},
       {"airflow.dag_processing.last_duration.*",
        "airflow.dag_processing.last_duration",
        {{"dag_file", "$1"}}},
       {"airflow.dag_processing.last_run.seconds_ago.*",
        "airflow.dag_processing.last_run.seconds_ago",
        {{"dag_file", "$1"}}},
       {"airflow.dagrun.dependency-check.*", "airflow.dagrun.dependency_check", {{"dag_id", "$1"}}},
       {"airflow.dagrun.duration.success.*", "airflow.dagrun.duration.success", {{"dag_id", "$1"}}},
       {"airflow.dagrun.duration.failed.*", "airflow.dagrun.duration.failed", {{"dag_id", "$1"}}},
       {"airflow.dagrun.schedule_delay.*", "airflow.dagrun.schedule_delay", {{"dag_id", "$1"}}},
       {"airflow.dag.loading-duration.*", "airflow.dag.loading_duration", {{"dag_file", "$1"}}},
       {"airflow.task_removed_from_dag.*", "airflow.dag.task_removed", {{"dag_id", "$1"}}},
       {"airflow\\.ti\\.finish\\.(?P<dag>\\w+)\\.(?P<task>[^.]+)\\.(?P<state>\\w+)",
        "airflow.ti.finish",
        {{"dag_id", "$dag"}, {"task_id", "$task"}, {"state", "$state"}},
        kRegex}});
}

}  // namespace penstock

#include "dataplane/api/plan.h"

#include <xxhash.h>

#include <cstdlib>
#include <cstring>

#include "dataplane/base/strings.h"

namespace penstock {
namespace {

constexpr size_t kHashedFrom = offsetof(Plan, hash) + sizeof(Plan::hash);

uint64_t hash_of(const Plan& plan) {
  return XXH3_64bits(reinterpret_cast<const char*>(&plan) + kHashedFrom,
                     sizeof(Plan) - kHashedFrom);
}

bool inside(const Plan& plan, TextRef r) {
  return r.offset <= plan.text_size && r.size <= plan.text_size - r.offset;
}

bool counts_fit(const MapperPlan& m) {
  if (m.profile_count > kPlanProfilesMax || m.mapping_count > kPlanMappingsMax ||
      m.tag_count > kPlanMappingTagsMax)
    return false;
  uint64_t mappings = 0;
  uint64_t tags = 0;
  for (size_t i = 0; i < m.profile_count; ++i) mappings += m.profiles[i].mapping_count;
  for (size_t i = 0; i < m.mapping_count; ++i) tags += m.mappings[i].tag_count;
  return mappings == m.mapping_count && tags == m.tag_count;
}

bool forward_fits(const Plan& p) {
  bool ok = p.forward.target_count <= kPlanForwardTargetsMax &&
            (p.forward.target_count == 0 ||
             (p.forward.queue >= kForwardQueueMin && p.forward.queue <= kForwardQueueMax));
  for (size_t i = p.forward.target_count; i < kPlanForwardTargetsMax; ++i)
    ok = ok && p.forward_open[i] == 0;
  return ok;
}

bool counts_fit(const Plan& p) {
  return p.port_count <= kPlanPortsMax && p.rx_count <= kPlanRxMax && p.shard_count >= 1 &&
         p.shard_count <= kPlanShardsMax && p.limits.sketch_bins >= 1 &&
         p.limits.sketch_bins <= sketch::kBinsMax && p.listener_count <= kPlanListenersMax &&
         forward_fits(p) && p.eal_arg_count <= kPlanEalArgsMax &&
         p.dogstatsd.tag_count <= kPlanTagsMax &&
         p.dogstatsd.exclusion_count <= kPlanExclusionsMax && counts_fit(p.dogstatsd.mapper) &&
         p.dogstatsd.filter.count <= kPlanFiltersMax &&
         p.dogstatsd.tag_cardinality <= dogstatsd::Cardinality::kNone &&
         p.text_size <= kPlanTextBytes;
}

bool references_fit(const Plan& p, const MapperPlan& m) {
  bool ok = true;
  for (size_t i = 0; i < m.profile_count; ++i) ok = ok && inside(p, m.profiles[i].prefix);
  for (size_t i = 0; i < m.mapping_count; ++i)
    ok = ok && inside(p, m.mappings[i].match) && inside(p, m.mappings[i].name);
  for (size_t i = 0; i < m.tag_count; ++i)
    ok = ok && inside(p, m.tags[i].key) && inside(p, m.tags[i].value);
  return ok;
}

bool references_fit(const Plan& p) {
  bool ok = inside(p, p.log_level) && inside(p, p.proc_root) &&
            inside(p, p.dogstatsd.default_host) && inside(p, p.dogstatsd.metric_namespace) &&
            inside(p, p.dogstatsd.copy_prefix) && references_fit(p, p.dogstatsd.mapper);
  for (size_t i = 0; i < p.eal_arg_count; ++i) ok = ok && inside(p, p.eal_args[i]);
  for (size_t i = 0; i < p.dogstatsd.tag_count; ++i) ok = ok && inside(p, p.dogstatsd.tags[i]);
  for (size_t i = 0; i < p.dogstatsd.exclusion_count; ++i)
    ok = ok && inside(p, p.dogstatsd.exclusions[i]);
  for (size_t i = 0; i < p.dogstatsd.filter.count; ++i)
    ok = ok && inside(p, p.dogstatsd.filter.entries[i]);
  for (size_t i = 0; i < p.port_count; ++i) {
    const PortPlan& port = p.ports[i];
    ok = ok && inside(p, port.name) && inside(p, port.device) && inside(p, port.interface) &&
         port.udp_port_count <= kPlanUdpPortsMax && port.address_count <= kPlanAddressesMax;
  }
  for (size_t i = 0; i < p.listener_count; ++i) {
    const ListenerPlan& l = p.listeners[i];
    ok = ok && inside(p, l.name) && inside(p, l.address) &&
         static_cast<size_t>(l.kind) < kListenerKinds &&
         (l.kind != ListenerKind::kUdsStream || l.connections != 0);
  }
  for (size_t i = 0; i < p.forward.target_count; ++i) ok = ok && inside(p, p.forward.targets[i]);
  for (size_t i = 0; i < p.rx_count; ++i) ok = ok && p.rx[i].port < p.port_count;
  for (size_t i = 0; i < p.shard_count; ++i)
    ok = ok && p.shards[i].rx < static_cast<int>(p.rx_count);
  return ok;
}

}  // namespace

TextRef Plan::add_text(std::string_view s) {
  if (s.size() > text_room()) std::abort();
  const TextRef r{text_size, static_cast<uint32_t>(s.size())};
  std::memcpy(text.data() + text_size, s.data(), s.size());
  text_size += r.size;
  return r;
}

std::unique_ptr<Plan> make_plan() {
  // Zeroed as bytes, padding included, so that equal Plans hash equally.
  auto* memory = static_cast<Plan*>(::operator new(sizeof(Plan)));
  std::memset(static_cast<void*>(memory), 0, sizeof(Plan));
  std::unique_ptr<Plan> plan(memory);
  plan->magic = kPlanMagic;
  plan->version = kPlanVersion;
  plan->limits.sketch_bins = sketch::kBinsMax;
  return plan;
}

void finish_plan(Plan& plan) { plan.hash = hash_of(plan); }

absl::StatusOr<Fd> plan_to_memfd(const Plan& plan) {
  ASSIGN_OR_RETURN(Fd fd, make_memfd("penstock-plan", sizeof(Plan)));
  {
    ASSIGN_OR_RETURN(Mapping m, Mapping::map(fd.get(), /*writable=*/true));
    std::memcpy(m.bytes().data(), &plan, sizeof(Plan));
  }
  RETURN_IF_ERROR(seal_memfd(fd.get()));
  return fd;
}

absl::StatusOr<std::unique_ptr<Plan>> open_plan(int fd) {
  ASSIGN_OR_RETURN(Mapping m, Mapping::map(fd, /*writable=*/false));
  if (m.bytes().size() != sizeof(Plan)) {
    return absl::InvalidArgumentError(cat("plan: ", m.bytes().size(),
                                          " bytes where this build has ", sizeof(Plan),
                                          "; use binaries of one build"));
  }
  std::unique_ptr<Plan> plan = make_plan();
  std::memcpy(static_cast<void*>(plan.get()), m.bytes().data(), sizeof(Plan));
  if (plan->magic != kPlanMagic || plan->version != kPlanVersion) {
    return absl::InvalidArgumentError("plan: wrong magic or version; use binaries of one build");
  }
  if (plan->hash != hash_of(*plan))
    return absl::DataLossError("plan: hash does not match its contents");
  if (!counts_fit(*plan) || !references_fit(*plan)) {
    return absl::InvalidArgumentError("plan: a count or reference is out of range");
  }
  return plan;
}

}  // namespace penstock

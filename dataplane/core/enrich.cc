#include "dataplane/core/enrich.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "dataplane/core/context_key.h"
#include "dataplane/core/senders.h"

namespace penstock {
namespace {

using dogstatsd::Cardinality;

constexpr size_t kLineMax = UINT16_MAX;  // Packet::len is 16 bits wide
constexpr std::string_view kHost = "host:";
constexpr std::string_view kEntityId = "dd.internal.entity_id:";
constexpr std::string_view kCardinality = "dd.internal.card:";
constexpr std::string_view kJmxCheck = "dd.internal.jmx_check_name:";
constexpr std::string_view kContainerTag = "container_id:";

dogstatsd::NameFilter filter_of(const Plan& plan) {
  const NameFilterPlan& filter = plan.dogstatsd.filter;
  std::vector<std::string> entries;
  for (uint32_t i = 0; i < filter.count; ++i) entries.emplace_back(plan.str(filter.entries[i]));
  return {std::move(entries), filter.prefix != 0};
}

}  // namespace

Enricher::Enricher(const Plan& plan)
    : config_(plan.dogstatsd),
      default_host_(plan.str(config_.default_host)),
      namespace_(plan.str(config_.metric_namespace)),
      mapper_(plan),
      filter_(filter_of(plan)),
      tags_(kLineMax + mapper_.tags_max() + config_.tag_count + 2),
      name_bytes_(std::max(kLineMax, mapper_.bytes_max()) + namespace_.size()),
      container_tag_(kLineMax + kContainerTag.size()),
      // A name, a host and tags are parts of one line, save what configuration adds.
      key_bytes_(kLineMax * 2 + mapper_.bytes_max() + namespace_.size() + default_host_.size() +
                 plan.text_size + 2 * kContainerTag.size() + Senders::kContainerMax +
                 (tags_.size() + 3) * kVarintMax) {
  for (uint32_t i = 0; i < config_.tag_count; ++i) extra_tags_.push_back(plan.str(config_.tags[i]));
  for (uint32_t i = 0; i < config_.exclusion_count; ++i)
    exclusions_.push_back(plan.str(config_.exclusions[i]));
}

const Enriched& Enricher::metric(std::string_view name, std::string_view tags, bool has_tags,
                                 const dogstatsd::Origin& origin) {
  out_ = {};
  const Mapper::Mapped* mapped = mapper_.map(name);
  out_.mapped = mapped == nullptr ? name : mapped->name;
  out_.name = prefixed(out_.mapped);
  out_.filtered = filter_.find(out_.name);
  take_tags(tags, has_tags, mapped == nullptr ? std::span<const std::string_view>() : mapped->tags,
            origin);
  return out_;
}

bool Enricher::filters(std::string_view name) {
  if (filter_.empty()) return false;
  const Mapper::Mapped* mapped = mapper_.map(name);
  return filter_.find(prefixed(mapped == nullptr ? name : mapped->name)) != nullptr;
}

const Enriched& Enricher::event(std::string_view host, std::string_view tags, bool has_tags,
                                const dogstatsd::Origin& origin) {
  out_ = {};
  take_tags(tags, has_tags, {}, origin);
  if (!host.empty()) out_.host = host;
  return out_;
}

std::string_view Enricher::key() {
  return {key_bytes_.data(), encode_key(out_.name, out_.host, out_.tags, key_bytes_.data())};
}

// Spec 7.4.
std::string_view Enricher::prefixed(std::string_view name) {
  if (namespace_.empty() || excluded(name)) return name;
  std::memcpy(name_bytes_.data(), namespace_.data(), namespace_.size());
  std::memcpy(name_bytes_.data() + namespace_.size(), name.data(), name.size());
  return {name_bytes_.data(), namespace_.size() + name.size()};
}

void Enricher::take_tags(std::string_view tags, bool has_tags,
                         std::span<const std::string_view> mapped_tags,
                         const dogstatsd::Origin& origin) {
  out_.host = default_host_;
  out_.cardinality = origin.cardinality;
  const dogstatsd::LocalData local = dogstatsd::parse_local_data(origin.local_data);
  out_.container_id = local.container_id;
  out_.inode = local.inode;
  has_entity_ = false;
  tag_count_ = 0;
  if (has_tags) {
    dogstatsd::for_each_tag(tags, [this](std::string_view tag) { take_tag(tag); });
  }
  for (const std::string_view tag : mapped_tags) take_tag(tag);
  for (const std::string_view tag : extra_tags_) tags_[tag_count_++] = tag;
  add_container_tag();

  std::string_view* const begin = tags_.data();
  std::sort(begin, begin + tag_count_);
  out_.tags = {begin, std::unique(begin, begin + tag_count_)};
}

void Enricher::take_tag(std::string_view tag) {
  if (!take_special(tag)) tags_[tag_count_++] = tag;
}

// The table of spec 7.2; true if the tag is used up.
bool Enricher::take_special(std::string_view tag) {
  if (tag.starts_with(kHost)) {
    out_.host = tag.substr(kHost.size());
    return true;
  }
  if (!tag.starts_with("dd.internal.")) return false;
  if (tag.starts_with(kEntityId)) {
    has_entity_ = tag.size() > kEntityId.size();  // the last one counts
    return true;
  }
  if (tag.starts_with(kCardinality)) {
    if (!out_.cardinality.empty()) return false;
    out_.cardinality = tag.substr(kCardinality.size());
    return true;
  }
  return tag.starts_with(kJmxCheck);
}

// Spec 7.5. Unknown text counts as low.
Cardinality Enricher::wanted_cardinality() const {
  if (out_.cardinality.empty()) return config_.tag_cardinality;
  return dogstatsd::parse_cardinality(out_.cardinality).value_or(Cardinality::kLow);
}

// Ruling 8: what is known of a container without a source of tags is its id. Both that of the
// socket and that of the message count, unless an entity id stands in their place; in unified
// detection the first that is known does (7.5).
void Enricher::add_container_tag() {
  if (wanted_cardinality() != Cardinality::kHigh) return;
  const bool unified = config_.origin_unified != 0;
  const bool replaced = has_entity_ && !unified;
  if (!sender_.empty() && !(replaced && config_.entity_precedence != 0)) {
    tags_[tag_count_++] = sender_;
    if (unified) return;
  }
  if (out_.container_id.empty() || replaced) return;
  char* p = container_tag_.data();
  std::memcpy(p, kContainerTag.data(), kContainerTag.size());
  std::memcpy(p + kContainerTag.size(), out_.container_id.data(), out_.container_id.size());
  tags_[tag_count_++] = {p, kContainerTag.size() + out_.container_id.size()};
}

bool Enricher::excluded(std::string_view name) const {
  return std::any_of(exclusions_.begin(), exclusions_.end(),
                     [name](std::string_view prefix) { return name.starts_with(prefix); });
}

}  // namespace penstock

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/api/plan.h"
#include "dataplane/core/lazy_array.h"
#include "dataplane/core/mapper.h"
#include "parsers/dogstatsd/message.h"
#include "parsers/dogstatsd/name_filter.h"

namespace penstock {

// A message's identity after enrichment (spec section 7). Views into the message, the Plan and the
// enricher; valid until its next call.
struct Enriched {
  std::string_view name;
  std::string_view mapped;  // the name after the mapper, before the namespace
  std::string_view host;
  std::string_view container_id;
  uint64_t inode = 0;  // of the client's cgroup; 0: none
  std::string_view cardinality;
  std::span<const std::string_view> tags;  // sorted, unique
  // Of a metric: the entry of the name filter that leaves it out (7.6); null: none does.
  const std::string* filtered = nullptr;
};

// Turns what a client sent into what identifies it: mapper (7.1), special tags (7.2),
// dogstatsd_tags (7.3), namespace (7.4), container identity as far as it needs no source of
// container tags (ruling 8), name filter (7.6), default host. Sized at construction for the longest
// packet; no allocation later. One thread.
class Enricher {
 public:
  // `plan` outlives the enricher.
  explicit Enricher(const Plan& plan);

  // The container that what follows came from, as its tag ("container_id:abc"; Senders); empty: not
  // known, as at first. The view is used until it is replaced.
  void from(std::string_view sender) { sender_ = sender; }

  const Enriched& metric(std::string_view name, std::string_view tags, bool has_tags,
                         const dogstatsd::Origin& origin);
  // Whether a metric of this name is filtered, for callers that need nothing else of it.
  bool filters(std::string_view name);
  // Events and checks: no namespace; a non-empty `host` (their `h:`) beats a `host:` tag.
  const Enriched& event(std::string_view host, std::string_view tags, bool has_tags,
                        const dogstatsd::Origin& origin);

  // The canonical key of the last `metric`, in the enricher's memory.
  std::string_view key();
  // The longest key there can be.
  [[nodiscard]] size_t key_size_max() const { return key_bytes_.size(); }

 private:
  void take_tags(std::string_view tags, bool has_tags,
                 std::span<const std::string_view> mapped_tags, const dogstatsd::Origin& origin);
  void take_tag(std::string_view tag);
  bool take_special(std::string_view tag);
  std::string_view prefixed(std::string_view name);
  [[nodiscard]] dogstatsd::Cardinality wanted_cardinality() const;
  void add_container_tag();
  [[nodiscard]] bool excluded(std::string_view name) const;

  const DogstatsdPlan& config_;
  const std::string_view default_host_;
  const std::string_view namespace_;
  Mapper mapper_;
  const dogstatsd::NameFilter filter_;
  std::vector<std::string_view> extra_tags_;
  std::vector<std::string_view> exclusions_;

  std::string_view sender_;
  Enriched out_;
  bool has_entity_ = false;
  size_t tag_count_ = 0;
  LazyArray<std::string_view> tags_;
  LazyArray<char> name_bytes_;
  LazyArray<char> container_tag_;
  LazyArray<char> key_bytes_;
};

}  // namespace penstock

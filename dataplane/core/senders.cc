#include "dataplane/core/senders.h"

#include <cstring>

#include "dataplane/api/shard_memory.h"

namespace penstock {
namespace {

constexpr std::string_view kEntity = "container_id://";
constexpr std::string_view kTag = "container_id:";

}  // namespace

Senders::Senders(uint32_t count) : entries_(count) { static_assert(sizeof(Entry) < kSenderBytes); }

uint32_t Senders::id_of(std::string_view container) {
  if (container.starts_with(kEntity)) container.remove_prefix(kEntity.size());
  if (container.empty() || container.size() > kContainerMax) return 0;
  const auto known = ids_.find(std::string(container));
  if (known != ids_.end()) return known->second;
  if (ids_.size() == entries_.size()) return 0;
  Entry& entry = entries_[ids_.size()];
  std::memcpy(entry.tag, kTag.data(), kTag.size());
  std::memcpy(entry.tag + kTag.size(), container.data(), container.size());
  entry.size = static_cast<uint16_t>(kTag.size() + container.size());
  const auto id = static_cast<uint32_t>(ids_.size() + 1);
  ids_.emplace(container, id);
  return id;
}

std::string_view Senders::tag(uint32_t id) const {
  if (id == 0) return {};
  return {entries_[id - 1].tag, entries_[id - 1].size};
}

}  // namespace penstock

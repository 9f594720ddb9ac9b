#include <charconv>
#include <limits>

#include "parsers/dogstatsd/fields.h"

namespace penstock::dogstatsd {
namespace {

// A bad inode is 0 and one beyond 64 bits the largest; the message is kept either way (spec 5.7).
uint64_t parse_inode(std::string_view text) {
  uint64_t inode = 0;
  const char* end = text.data() + text.size();
  const auto [ptr, error] = std::from_chars(text.data(), end, inode);
  if (ptr != end || error == std::errc::invalid_argument) return 0;
  if (error != std::errc()) return std::numeric_limits<uint64_t>::max();
  return inode;
}

bool parse_bool(std::string_view text) {
  return text == "true" || text == "1" || text == "t" || text == "T" || text == "TRUE" ||
         text == "True";
}

}  // namespace

bool take_origin_field(std::string_view field, Origin& out) {
  return strip_prefix(field, "c:", out.local_data) ||
         strip_prefix(field, "e:", out.external_data) ||
         strip_prefix(field, "card:", out.cardinality);
}

LocalData parse_local_data(std::string_view text) {
  LocalData out;
  if (text.empty()) return out;
  std::string_view content;
  const bool list = text.find(',') != std::string_view::npos;
  for_each_tag(text, [&](std::string_view item) {
    if (strip_prefix(item, "ci-", content)) {
      out.container_id = content;
    } else if (strip_prefix(item, "in-", content)) {
      out.inode = parse_inode(content);
    } else if (!list) {  // a lone id; in a list every other item is ignored
      out.container_id = strip_prefix(item, "cid-", content) ? content : item;
    }
  });
  return out;
}

ExternalData parse_external_data(std::string_view text) {
  ExternalData out;
  if (text.empty()) return out;
  std::string_view content;
  for_each_tag(text, [&](std::string_view item) {
    if (strip_prefix(item, "it-", content)) {
      out.init = parse_bool(content);
    } else if (strip_prefix(item, "cn-", content)) {
      out.container_name = content;
    } else if (strip_prefix(item, "pu-", content)) {
      out.pod_uid = content;
    }
  });
  return out;
}

}  // namespace penstock::dogstatsd

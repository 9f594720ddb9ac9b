#include "dataplane/core/mapper.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "dataplane/base/strings.h"

namespace penstock {
namespace {

constexpr size_t kNameMax = UINT16_MAX;
constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

// Bytes of the UTF-8 character that `s` begins with; 0: none (RFC 3629, section 4).
size_t character_size(std::string_view s) {
  const auto byte = [s](size_t i) { return static_cast<uint8_t>(s[i]); };
  const auto tail = [&](size_t i, uint8_t low = 0x80, uint8_t high = 0xbf) {
    return i < s.size() && byte(i) >= low && byte(i) <= high;
  };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return tail(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const uint8_t low = first == 0xe0 ? 0xa0 : 0x80;   // no longer than needed
    const uint8_t high = first == 0xed ? 0x9f : 0xbf;  // no surrogates
    return tail(1, low, high) && tail(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const uint8_t low = first == 0xf0 ? 0x90 : 0x80;
    const uint8_t high = first == 0xf4 ? 0x8f : 0xbf;  // up to U+10FFFF
    return tail(1, low, high) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

bool is_utf8(std::string_view s) {
  while (!s.empty()) {
    const size_t size = character_size(s);
    if (size == 0) return false;
    s.remove_prefix(size);
  }
  return true;
}

// The most bytes an expression comes to.
size_t bytes_of(std::span<const mapping::Piece> expression) {
  size_t bytes = 0;
  for (const mapping::Piece& piece : expression)
    bytes += piece.group < 0 ? piece.text.size() : kNameMax;
  return bytes;
}

int groups_of(std::span<const mapping::Piece> expression) {
  int groups = 1;
  for (const mapping::Piece& piece : expression) groups = std::max(groups, piece.group + 1);
  return groups;
}

}  // namespace

Mapper::Mapper(const Plan& plan)
    : text_(kNameMax * kReplacement.size()), origin_(text_.size() + 1) {
  const MapperPlan& m = plan.dogstatsd.mapper;
  std::span<const MappingPlan> mappings(m.mappings);
  std::span<const MappingTagPlan> tags(m.tags);
  for (size_t i = 0; i < m.profile_count; ++i) {
    Profile& profile = profiles_.emplace_back();
    profile.prefix = plan.str(m.profiles[i].prefix);
    for (const MappingPlan& mapping : mappings.first(m.profiles[i].mapping_count)) {
      profile.mappings.push_back(compile(plan, mapping, tags.first(mapping.tag_count)));
      reserve(profile.mappings.back());
      tags = tags.subspan(mapping.tag_count);
    }
    mappings = mappings.subspan(m.profiles[i].mapping_count);
  }
}

Mapper::Mapping Mapper::compile(const Plan& plan, const MappingPlan& mapping,
                                std::span<const MappingTagPlan> tags) {
  const std::string_view match = plan.str(mapping.match);
  auto pattern = mapping::compile(
      match, mapping.regex != 0 ? dogstatsd::MatchType::kRegex : dogstatsd::MatchType::kWildcard);
  if (!pattern.ok()) {
    std::fprintf(stderr, "penstock: a mapping of the Plan does not compile: %s\n",
                 cat(match, ": ", pattern.status().message()).c_str());
    std::abort();
  }
  Mapping out;
  out.pattern = *std::move(pattern);
  out.name = mapping::parse_expression(plan.str(mapping.name), *out.pattern);
  out.groups = groups_of(out.name);
  for (const MappingTagPlan& tag : tags) {
    out.tags.push_back(
        {plan.str(tag.key), mapping::parse_expression(plan.str(tag.value), *out.pattern)});
    out.groups = std::max(out.groups, groups_of(out.tags.back().value));
  }
  return out;
}

// Room for what this mapping may give.
void Mapper::reserve(const Mapping& mapping) {
  size_t bytes = bytes_of(mapping.name);
  for (const Tag& tag : mapping.tags) bytes += tag.key.size() + 1 + bytes_of(tag.value);
  bytes_.resize(std::max(bytes_.size(), bytes));
  tags_.resize(std::max(tags_.size(), mapping.tags.size()));
  groups_.resize(std::max(groups_.size(), static_cast<size_t>(mapping.groups)));
}

const Mapper::Mapped* Mapper::map(std::string_view name) {
  const auto profile = std::ranges::find_if(profiles_, [name](const Profile& p) {
    return p.prefix == "*" || name.starts_with(p.prefix);
  });
  if (profile == profiles_.end()) return nullptr;
  valid_ = is_utf8(name);
  if (!valid_) make_valid(name);
  for (const Mapping& mapping : profile->mappings) {
    if (!matches(mapping, name)) continue;
    expand(mapping, name);
    return &out_;
  }
  return nullptr;
}

void Mapper::make_valid(std::string_view name) {
  text_size_ = 0;
  for (size_t at = 0; at < name.size();) {
    const size_t size = character_size(name.substr(at));
    const std::string_view character = size == 0 ? kReplacement : name.substr(at, size);
    std::memcpy(text_.data() + text_size_, character.data(), character.size());
    std::fill_n(origin_.data() + text_size_, character.size(), static_cast<uint32_t>(at));
    text_size_ += character.size();
    at += std::max<size_t>(size, 1);
  }
  origin_[text_size_] = static_cast<uint32_t>(name.size());
}

// Anchors are in the pattern.
bool Mapper::matches(const Mapping& mapping, std::string_view name) {
  const re2::StringPiece text = valid_ ? re2::StringPiece(name.data(), name.size())
                                       : re2::StringPiece(text_.data(), text_size_);
  return mapping.pattern->Match(text, 0, text.size(), RE2::UNANCHORED, groups_.data(),
                                mapping.groups);
}

void Mapper::expand(const Mapping& mapping, std::string_view name) {
  used_ = 0;
  expand(mapping.name, name);
  out_.name = {bytes_.data(), used_};
  size_t count = 0;
  for (const Tag& tag : mapping.tags) {
    const size_t begin = used_;
    append(tag.key);
    append(":");
    expand(tag.value, name);
    tags_[count++] = {bytes_.data() + begin, used_ - begin};
  }
  out_.tags = {tags_.data(), count};
}

void Mapper::expand(const Expression& expression, std::string_view name) {
  for (const mapping::Piece& piece : expression)
    append(piece.group < 0 ? piece.text : group(piece.group, name));
}

void Mapper::append(std::string_view text) {
  std::memcpy(bytes_.data() + used_, text.data(), text.size());
  used_ += text.size();
}

// What a group matched, in the name as it was sent; empty if it took no part in the match.
std::string_view Mapper::group(int index, std::string_view name) const {
  const re2::StringPiece& found = groups_[static_cast<size_t>(index)];
  if (found.empty()) return name.substr(0, 0);
  if (valid_) return {found.data(), found.size()};
  const auto begin = static_cast<size_t>(found.data() - text_.data());
  const uint32_t from = origin_[begin];
  return name.substr(from, origin_[begin + found.size()] - from);
}

}  // namespace penstock

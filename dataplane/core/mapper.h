#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/api/mapping.h"
#include "dataplane/api/plan.h"
#include "dataplane/core/lazy_array.h"

namespace penstock {

// The mapper profiles (spec 7.1), compiled. They see each name once per distinct line: the line
// memo stands before them, in the place of the Agent's cache of names. What they write is bounded
// and allocated here; RE2 itself allocates within `mapping::kPatternBytes` where a name or a
// pattern is beyond its one-pass search. One thread.
class Mapper {
 public:
  // `plan` outlives the mapper. Dies on a pattern that does not compile: the Plan's compiler has
  // checked them all.
  explicit Mapper(const Plan& plan);

  struct Mapped {
    std::string_view name;
    std::span<const std::string_view> tags;  // "key:value", in the order of the configuration
  };
  // What the first profile that applies to `name` makes of it; null: nothing. `name` is at most
  // 65535 bytes; the views are valid until the next call.
  const Mapped* map(std::string_view name);

  // The most that `Mapped` holds: bytes of its name and tags together, and tags.
  [[nodiscard]] size_t bytes_max() const { return bytes_.size(); }
  [[nodiscard]] size_t tags_max() const { return tags_.size(); }

 private:
  using Expression = std::vector<mapping::Piece>;
  struct Tag {
    std::string_view key;
    Expression value;
  };
  struct Mapping {
    std::unique_ptr<RE2> pattern;
    Expression name;
    std::vector<Tag> tags;
    int groups = 1;  // as many as the expressions need, the whole match included
  };
  struct Profile {
    std::string_view prefix;
    std::vector<Mapping> mappings;
  };

  static Mapping compile(const Plan& plan, const MappingPlan& mapping,
                         std::span<const MappingTagPlan> tags);
  void reserve(const Mapping& mapping);
  bool matches(const Mapping& mapping, std::string_view name);
  void make_valid(std::string_view name);
  void expand(const Mapping& mapping, std::string_view name);
  void expand(const Expression& expression, std::string_view name);
  void append(std::string_view text);
  [[nodiscard]] std::string_view group(int index, std::string_view name) const;

  std::vector<Profile> profiles_;
  Mapped out_;
  std::vector<re2::StringPiece> groups_;
  std::vector<std::string_view> tags_;
  std::vector<char> bytes_ = std::vector<char>(1);  // memcpy takes no null, not even for nothing
  size_t used_ = 0;                                 // of bytes_

  // The name as RE2 sees it: where it is not UTF-8, with each wrong byte replaced by U+FFFD, as
  // Go's regexp does, and for each byte where it comes from.
  bool valid_ = true;
  size_t text_size_ = 0;
  LazyArray<char> text_;
  LazyArray<uint32_t> origin_;
};

}  // namespace penstock

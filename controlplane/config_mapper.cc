#include "controlplane/config_mapper.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "dataplane/api/mapping.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

// Profiles are four levels of lists and maps; what lies deeper is nothing.
YAML::Node to_yaml(const nlohmann::json& json, int levels = 8) {
  if (levels == 0 || json.is_null()) return {};
  YAML::Node node;
  if (json.is_array()) {
    node = YAML::Node(YAML::NodeType::Sequence);
    for (const nlohmann::json& item : json) node.push_back(to_yaml(item, levels - 1));
  } else if (json.is_object()) {
    node = YAML::Node(YAML::NodeType::Map);
    for (const auto& [key, item] : json.items()) node[key] = to_yaml(item, levels - 1);
  } else {
    node = json.is_string() ? json.get<std::string>() : json.dump();
  }
  return node;
}

class Reader {
 public:
  Reader(const Value& value, std::vector<std::string>& faults)
      : problems_(value.problems()),
        root_(value.where().substr(value.where().rfind(' ') + 1)),
        environment_(root_ == value.where()),
        found_{problems_.file, {}, {}},
        faults_(faults) {}

  std::vector<MapperProfile> read(YAML::Node list) {
    std::vector<MapperProfile> profiles;
    if (environment_) {
      const auto json = nlohmann::json::parse(list.Scalar(), nullptr, /*allow_exceptions=*/false);
      if (json.is_discarded()) {
        at(list, root_).fail("must be JSON: an array of profiles; correct it");
        return finish({});
      }
      list.reset(to_yaml(json));
    }
    for (const Value& entry : items(list, root_, "profiles")) {
      profiles.push_back(read_profile(entry.node(), path_of(entry)));
    }
    return finish(std::move(profiles));
  }

 private:
  [[nodiscard]] Value at(const YAML::Node& node, const std::string& path) {
    return {found_, node, environment_ ? path : cat(at_line(problems_, node), ": ", path)};
  }
  static std::string path_of(const Value& value) {
    return value.where().substr(value.where().rfind(' ') + 1);
  }

  std::vector<Value> items(const YAML::Node& node, const std::string& path, std::string_view what) {
    std::vector<Value> list;
    if (!node.IsSequence()) {
      at(node, path).fail(cat("must be a list of ", what));
      return list;
    }
    for (const YAML::Node& item : node) list.push_back(at(item, cat(path, "[", list.size(), "]")));
    return list;
  }

  // The value of `key`; nothing where it is absent or null.
  std::optional<Value> field(const YAML::Node& map, const std::string& path, const char* key) {
    const YAML::Node node = map[key];
    if (!node.IsDefined() || node.IsNull()) return std::nullopt;
    return at(node, cat(path, ".", key));
  }

  // Whether it is a map, which is a fault if not; other keys than `known` are a warning.
  bool is_map(const YAML::Node& node, const std::string& path,
              const std::vector<std::string_view>& known) {
    if (!node.IsMap()) {
      at(node, path).fail("must be a map of keys");
      return false;
    }
    for (const auto& entry : node) {
      const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : std::string();
      if (std::ranges::find(known, key) != known.end()) continue;
      problems_.warnings.push_back(cat(at(entry.first, path).where(), ".", key,
                                       ": unknown key, ignored; did you mean \"",
                                       nearest(key, known), "\"?"));
    }
    return true;
  }

  // A text that must be there and not be empty.
  std::string text(const YAML::Node& map, const std::string& path, const char* key) {
    std::string out;
    if (const auto value = field(map, path, key)) {
      value->read(out);
      if (!value->node().IsScalar()) return out;
    }
    if (out.empty()) at(map, path).fail(cat("has no ", key, "; give one"));
    return out;
  }

  MapperProfile read_profile(const YAML::Node& node, const std::string& path) {
    MapperProfile profile;
    if (!is_map(node, path, {"name", "prefix", "mappings"})) return profile;
    profile.name = text(node, path, "name");
    profile.prefix = text(node, path, "prefix");
    if (const auto mappings = field(node, path, "mappings")) {
      for (const Value& entry : items(mappings->node(), path_of(*mappings), "mappings")) {
        profile.mappings.push_back(read_mapping(entry.node(), path_of(entry)));
      }
    }
    return profile;
  }

  MapperMapping read_mapping(const YAML::Node& node, const std::string& path) {
    MapperMapping mapping;
    if (!is_map(node, path, {"match", "match_type", "name", "tags"})) return mapping;
    if (const auto type = field(node, path, "match_type"); type && !type->text().empty()) {
      type->read_enum(mapping.type, {"wildcard", "regex"});
    }
    mapping.name = text(node, path, "name");
    mapping.match = text(node, path, "match");
    if (const auto tags = field(node, path, "tags")) read_tags(*tags, mapping);
    if (!mapping.match.empty()) check(node["match"], path, mapping);
    return mapping;
  }

  void read_tags(const Value& tags, MapperMapping& mapping) {
    if (!tags.node().IsMap()) return tags.fail("must be a map of tag keys and their expressions");
    for (const auto& entry : tags.node()) {
      auto& [key, value] = mapping.tags.emplace_back();
      at(entry.first, path_of(tags)).read(key);
      if (!entry.second.IsNull()) at(entry.second, cat(path_of(tags), ".", key)).read(value);
    }
  }

  void check(const YAML::Node& match, const std::string& path, const MapperMapping& mapping) {
    const auto pattern = mapping::compile(mapping.match, mapping.type);
    if (!pattern.ok()) return at(match, path + ".match").fail(to_std(pattern.status().message()));
    size_t references = 0;
    const auto add = [&](std::string_view expression) {
      for (const auto& piece : mapping::parse_expression(expression, **pattern))
        references += piece.group >= 0 ? 1 : 0;
    };
    add(mapping.name);
    for (const auto& [key, value] : mapping.tags) add(value);
    mappings_ += 1;
    tags_ += mapping.tags.size();
    if (references > kPlanMappingReferencesMax) {
      problems_.errors.push_back(cat(at(match, path).where(), ": its name and tags refer to ",
                                     references, " groups; at most ", kPlanMappingReferencesMax,
                                     " are allowed"));
    }
  }

  void bound(size_t count, size_t most, std::string_view what) {
    if (count <= most) return;
    problems_.errors.push_back(
        cat(root_, ": ", count, " ", what, "; at most ", most, " are allowed"));
  }

  // Any fault turns the whole mapper off.
  std::vector<MapperProfile> finish(std::vector<MapperProfile> profiles) {
    bound(profiles.size(), kPlanProfilesMax, "profiles");
    bound(mappings_, kPlanMappingsMax, "mappings");
    bound(tags_, kPlanMappingTagsMax, "tags");
    if (!found_.errors.empty()) profiles.clear();
    std::ranges::move(found_.errors, std::back_inserter(faults_));
    return profiles;
  }

  Problems& problems_;
  const std::string root_;  // the key or variable
  const bool environment_;
  Problems found_;
  std::vector<std::string>& faults_;
  size_t mappings_ = 0;
  size_t tags_ = 0;
};

}  // namespace

void read_mapper(const Value& value, std::vector<MapperProfile>& out,
                 std::vector<std::string>& faults) {
  out = Reader(value, faults).read(value.node());
}

}  // namespace penstock

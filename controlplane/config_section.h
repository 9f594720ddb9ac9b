#pragma once

#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/config.h"

namespace penstock {

// What reading a configuration finds wrong; reading goes on, so that one run shows everything.
struct Problems {
  std::string file;
  std::vector<std::string> errors;
  std::vector<std::string> warnings;
};

// One value of the configuration, and where it stands, for messages:
// "penstock.yaml:12: penstock.idle", or the name of an environment variable.
class Value {
 public:
  Value(Problems& problems, const YAML::Node& node, std::string where)
      : problems_(problems), node_(node), where_(std::move(where)) {}

  // Each sets `out` if the value is of its kind, else reports what it must be.
  void read(bool& out) const;
  void read(std::string& out) const;
  void read(std::vector<std::string>& out) const;
  void read_size(uint64_t& out, uint64_t min, uint64_t max) const;
  void read_duration_s(uint32_t& out) const;  // whole seconds: a number, or Go style
  void read_listen(std::optional<ListenAddress>& out) const;  // "" is none
  template <class Int>
  void read_int(Int& out, uint64_t min, uint64_t max) const {
    if (const auto n = integer(min, max)) out = static_cast<Int>(*n);
  }
  template <class Int>
  void read_ints(std::vector<Int>& out, uint64_t min, uint64_t max, size_t count_max) const {
    const std::optional<std::vector<Value>> list = items(count_max);
    if (!list) return;
    out.clear();
    for (const Value& v : *list) {
      if (const auto n = v.integer(min, max)) out.push_back(static_cast<Int>(*n));
    }
  }
  // The value must be one of `names`; its index is what is set.
  template <class Enum>
  void read_enum(Enum& out, std::initializer_list<std::string_view> names) const {
    if (const auto i = one_of(names)) out = static_cast<Enum>(*i);
  }

  // The elements of a list, or the words of a text, as the Agent reads one where it wants a list;
  // reported if there are more than `count_max` or it is a map.
  [[nodiscard]] std::optional<std::vector<Value>> items(size_t count_max) const;

  // Reports: `<where> = "<value>": <what>`.
  void fail(std::string_view what) const;
  void warn(std::string_view what) const;

  [[nodiscard]] const YAML::Node& node() const { return node_; }
  [[nodiscard]] const std::string& where() const { return where_; }
  [[nodiscard]] std::string text() const;  // the scalar as written; empty for lists and maps
  [[nodiscard]] Problems& problems() const { return problems_; }

 private:
  [[nodiscard]] std::optional<uint64_t> integer(uint64_t min, uint64_t max) const;
  [[nodiscard]] std::optional<size_t> one_of(std::initializer_list<std::string_view> names) const;
  [[nodiscard]] std::string message(std::string_view what) const;

  Problems& problems_;
  YAML::Node node_;
  std::string where_;
};

// A map of the configuration whose keys are all known: what is not asked for is an error, with its
// line and the nearest name.
class Section {
 public:
  // `prefix` is the dotted name with its trailing dot, empty at the top. A null value is an empty
  // section; anything else that is not a map is reported.
  Section(Problems& problems, const YAML::Node& node, std::string prefix);

  // The value of `key`; nothing when it is absent or null.
  std::optional<Value> get(std::string_view key);
  // True if the key is written, also with a null value.
  [[nodiscard]] bool has(std::string_view key) const;
  // Reports keys that no `get` asked for, and keys written twice.
  void finish() const;

 private:
  Problems& problems_;
  YAML::Node node_;
  std::string prefix_;
  std::vector<std::string> known_;
};

// "file:line", lines from 1.
std::string at_line(const Problems& problems, const YAML::Node& node);

}  // namespace penstock

#include "parsers/dogstatsd/name_filter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace penstock::dogstatsd {
namespace {

using List = std::vector<std::string>;

TEST(NameFilter, ComparesWholeNamesOrBeginnings) {
  struct Case {
    List entries;
    const char* name;
    const char* exact;   // the entry found; "-": none
    const char* prefix;  // the same, by prefix
  };
  const Case cases[] = {
      {{}, "", "-", "-"},
      {{}, "a", "-", "-"},
      {{"a"}, "a", "a", "a"},
      {{"a"}, "ab", "-", "a"},  // no dot is needed between
      {{"a"}, "", "-", "-"},
      {{"ab"}, "a", "-", "-"},
      {{"b", "a", "a"}, "a.x", "-", "a"},
      {{"a.b", "a"}, "a.b", "a.b", "a"},  // the shorter one stands for the longer
      {{"a", "a!", "a.b"}, "a.b", "a.b", "a"},
      {{""}, "anything", "-", ""},  // spec 7.6: an empty entry matches everything
      {{""}, "", "", ""},
      {{"", "b"}, "b", "b", ""},
      {{"\xff", "\x7f"}, "\xff\xfe", "-", "\xff"},
      {{"\xff", "\x7f"}, "\x80", "-", "-"},
  };
  for (const Case& c : cases) {
    for (const bool prefix : {false, true}) {
      const NameFilter filter(c.entries, prefix);
      const std::string* found = filter.find(c.name);
      EXPECT_EQ(found == nullptr ? "-" : *found, prefix ? c.prefix : c.exact)
          << c.name << (prefix ? " by prefix" : "");
    }
  }
}

TEST(NameFilter, AgreesWithASearchOfTheWholeList) {
  std::mt19937 random(1);
  const auto word = [&] {
    std::string text(random() % 5, ' ');
    for (char& c : text) c = "ab.\xff"[random() % 4];
    return text;
  };
  for (int round = 0; round < 3000; ++round) {
    List entries(random() % 8);
    for (std::string& entry : entries) entry = word() + "a";
    const std::string name = word() + word();
    const NameFilter exact(entries, false);
    const NameFilter prefix(entries, true);
    EXPECT_EQ(exact.find(name) != nullptr, std::ranges::find(entries, name) != entries.end());
    EXPECT_EQ(prefix.find(name) != nullptr,
              std::ranges::any_of(entries, [&](auto& e) { return name.starts_with(e); }));
    EXPECT_EQ(exact.empty(), entries.empty());
  }
}

}  // namespace
}  // namespace penstock::dogstatsd

#include "tools/penstockctl/explain_text.h"

#include <gtest/gtest.h>

#include <set>

namespace penstock {
namespace {

using namespace std::string_view_literals;

TEST(Show, Text) {
  struct {
    std::string_view bytes, shown;
  } const cases[] = {
      {"", ""},
      {"a b\\n~", "a b\\n~"},
      {"\x1b[31m", "\\x1b[31m"},
      {"\0\x7f"sv, "\\x00\\x7f"},
      {"\xc3\xb6\xe6\x97\xa5", "\xc3\xb6\xe6\x97\xa5"},
      {"\xc2\x9b", "\\xc2\\x9b"},           // a control of Latin 1
      {"e\xcc\x81", "e\\xcc\\x81"},         // a combining accent
      {"\xe2\x80\xae", "\\xe2\\x80\\xae"},  // turns the direction of text round
      {"\xff\xc3", "\\xff\\xc3"},
  };
  for (const auto& c : cases) EXPECT_EQ(show(c.bytes, 0).text, c.shown);
}

TEST(Show, Column) {
  struct {
    std::string_view bytes;
    size_t position, column;
  } const cases[] = {
      {"abc", 0, 0},
      {"abc", 2, 2},
      {"abc", 3, 3},
      {"", 0, 0},
      {"\x01"
       "b",
       1, 4},
      {"\xc3\xb6"
       "b",
       2, 1},
      {"\xc3\xb6"
       "b",
       1, 0},  // inside the sequence: its beginning
      {"\xe6\x97\xa5"
       "b",
       3, 2},  // twice as wide
      {"\xff\xff", 1, 4},
      {"\xff\xff", 2, 8},
  };
  for (const auto& c : cases) EXPECT_EQ(show(c.bytes, c.position).column, c.column) << c.bytes;
}

TEST(Advice, IsOneSentenceForEveryReason) {
  std::set<std::string_view> seen;
  for (size_t i = 1; i < dogstatsd::kReasons; ++i) {
    Explained e;
    e.reason = static_cast<dogstatsd::Reason>(i);
    EXPECT_TRUE(advice(e).ends_with('.')) << error_name(e);
    EXPECT_TRUE(seen.insert(advice(e)).second) << error_name(e);
  }
  Explained e;
  e.too_long = true;
  EXPECT_TRUE(advice(e).ends_with('.'));
  EXPECT_EQ(error_name(e), "too-long");
}

TEST(ContextId, HasAllItsDigits) {
  EXPECT_EQ(context_id_text(0), "0000000000000000");
  EXPECT_EQ(context_id_text(0x0123456789abcdef), "0123456789abcdef");
}

}  // namespace
}  // namespace penstock

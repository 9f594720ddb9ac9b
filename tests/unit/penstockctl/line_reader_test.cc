#include "tools/penstockctl/line_reader.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace penstock {
namespace {

using Lines = std::vector<std::pair<std::string, size_t>>;

Lines read(const std::vector<std::string_view>& pieces, size_t max = 4) {
  Lines lines;
  const auto take = [&](std::string_view line, size_t bytes) { lines.emplace_back(line, bytes); };
  LineReader reader(max);
  for (const std::string_view piece : pieces) reader.feed(piece, take);
  reader.finish(take);
  return lines;
}

TEST(LineReader, CutsAtLineBreaks) {
  EXPECT_EQ(read({"a\nb\n"}), (Lines{{"a", 1}, {"b", 1}}));
  EXPECT_EQ(read({"a\nb"}), (Lines{{"a", 1}, {"b", 1}}));
  EXPECT_EQ(read({"\n\na\n\n"}), (Lines{{"a", 1}}));
  EXPECT_EQ(read({"", "\n"}), (Lines{}));
}

TEST(LineReader, JoinsPieces) {
  EXPECT_EQ(read({"a", "b", "\nc", "d\n", "e"}), (Lines{{"ab", 2}, {"cd", 2}, {"e", 1}}));
}

TEST(LineReader, CutsLongLinesAndTellsTheirLength) {
  EXPECT_EQ(read({"abcd\nabcde\nx"}), (Lines{{"abcd", 4}, {"abcd", 5}, {"x", 1}}));
  EXPECT_EQ(read({"ab", "cdef", "gh"}), (Lines{{"abcd", 8}}));
}

}  // namespace
}  // namespace penstock

#include "parsers/simd/kernel.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/padded.h"

// What splits packets; that numbers and fields are read alike by every kernel is in number_test.cc
// and message_test.cc.
namespace penstock::simd {
namespace {

using dogstatsd::Line;
using dogstatsd::Reason;

struct Case {
  std::string packet;
  std::string expected;
};

// Lines in brackets; `!` after one that was not terminated.
std::string split(const Kernel& kernel, std::string_view packet, size_t capacity) {
  const Padded padded(packet, '\n');
  std::vector<Line> lines(capacity);
  std::string out;
  size_t at = 0;
  while (const size_t found =
             kernel.split(padded.data(), padded.size(), at, lines.data(), capacity)) {
    for (size_t i = 0; i < found; ++i) {
      out.append("[").append(lines[i].text()).append(lines[i].terminated ? "]" : "]!");
    }
  }
  EXPECT_EQ(at, packet.size());
  return out;
}

TEST(Kernel, SplitsPackets) {
  const std::string wide(100, 'w');
  const Case cases[] = {
      {"", ""},
      {"a", "[a]!"},
      {"a\n", "[a]"},
      {"a\nb", "[a][b]!"},
      {"a\r\nb\r", "[a][b]!"},
      {"a\r\r\n", "[a\r]"},
      {"\r\n", ""},
      {"\n\n", ""},
      {"\n\r", "[]!"},
      {"\r", "[]!"},
      {"a\rb\n", "[a\rb]"},
      {"\n\na\n\n", "[a]"},
      {std::string(300, '\n') + "a", "[a]!"},
      {wide + "\n" + wide, "[" + wide + "][" + wide + "]!"},
      {std::string(63, 'x') + "\n" + std::string(64, 'y') + "\nz",
       "[" + std::string(63, 'x') + "][" + std::string(64, 'y') + "][z]!"},
  };
  for (const Case& c : cases) {
    for (const Kernel* kernel : runnable()) {
      for (const size_t capacity : {1, 2, 3, 64, 1000}) {
        EXPECT_EQ(split(*kernel, c.packet, capacity), c.expected) << variant_name(kernel->variant);
      }
    }
  }
}

// Name, value and what follows, wherever the separators lie about the edges of vectors.
TEST(Kernel, FindsThePartsAtEveryOffset) {
  for (const Kernel* kernel : runnable()) {
    for (size_t name = 0; name < 140; ++name) {
      for (const size_t value : {0, 1, 2, 15, 16, 17, 40, 64, 130}) {
        const std::string head = std::string(name, 'n') + ":" + std::string(value, '1');
        const Padded text(head + "|c|#t", '|');
        const Line line = kernel->line(text.view());
        const Reason expected = name == 0    ? Reason::kEmptyName
                                : value == 0 ? Reason::kEmptyValue
                                             : Reason::kOk;
        ASSERT_EQ(line.reason, expected) << name << " " << value;
        if (expected != Reason::kOk) continue;
        ASSERT_EQ(line.name().size(), name);
        ASSERT_EQ(line.value().size(), value);
        ASSERT_EQ(line.suffix(), "|c|#t");
        EXPECT_EQ(kernel->line(Padded(head, '|').view()).reason, Reason::kNoPipe);
        EXPECT_EQ(kernel->line(Padded(std::string(name, 'n') + "|c", ':').view()).reason,
                  Reason::kNoColon);
      }
    }
  }
}

TEST(Kernel, HasNames) {
  EXPECT_EQ(named("scalar"), &kScalarKernel);
  EXPECT_EQ(named("avx1024"), nullptr);
  EXPECT_EQ(named(""), nullptr);
  EXPECT_EQ(runnable().front(), &kScalarKernel);
  for (const Kernel* kernel : runnable()) EXPECT_EQ(named(variant_name(kernel->variant)), kernel);
}

}  // namespace
}  // namespace penstock::simd

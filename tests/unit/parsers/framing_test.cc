#include <gtest/gtest.h>

#include "tests/support/framing_reference.h"

namespace penstock::framing {

static void PrintTo(const Outcome& o, std::ostream* out) {
  *out << testing::PrintToString(o.packets) << " too_long " << o.too_long << " empty " << o.empty
       << " inside " << o.inside;
}

namespace {

using namespace std::string_literals;

constexpr uint32_t kMax = 8;

std::string frame(std::string_view payload) {
  const auto n = static_cast<uint32_t>(payload.size());
  std::string out;
  for (int i = 0; i < 4; ++i) out += static_cast<char>(n >> 8 * i);
  return out + std::string(payload);
}

// Cut after byte i where bit i of `cuts` is set; no input is longer than `max`, as in a pipe.
template <class Splitter>
Outcome split(std::string_view stream, uint64_t cuts, uint32_t max) {
  Feeder<Splitter> feeder(max);
  size_t from = 0;
  for (size_t i = 0; i < stream.size(); ++i) {
    const bool cut = (cuts >> i & 1) != 0 || i + 1 == stream.size() || i + 1 - from == max;
    if (!cut) continue;
    if (!feeder.feed(stream.substr(from, i + 1 - from))) break;
    from = i + 1;
  }
  return feeder.outcome();
}

struct Case {
  const char* what;
  std::string stream;
  Outcome expected;
};

// Every fragmentation there is.
template <class Splitter>
void expect(const Case& c) {
  ASSERT_LE(c.stream.size(), 20u) << c.what;
  const uint64_t ways = c.stream.empty() ? 1 : uint64_t{1} << (c.stream.size() - 1);
  for (uint64_t cuts = 0; cuts < ways; ++cuts) {
    ASSERT_EQ(split<Splitter>(c.stream, cuts, kMax), c.expected) << c.what << ", cuts " << cuts;
  }
}

TEST(FrameSplitter, EveryFragmentation) {
  const Case cases[] = {
      {"nothing", "", {}},
      {"one", frame("a:1|c"), {{"a:1|c"}, 0, false, false}},
      {"two", frame("a") + frame("bc"), {{"a", "bc"}, 0, false, false}},
      {"three", frame("a") + frame("\n") + frame("cd"), {{"a", "\n", "cd"}, 0, false, false}},
      {"the longest", frame("12345678"), {{"12345678"}, 0, false, false}},
      {"one byte too long", frame("123456789"), {{}, 1, false, true}},
      {"too long after a good one", frame("a") + frame("123456789"), {{"a"}, 1, false, true}},
      {"a length of 2^32-1", "\xff\xff\xff\xff", {{}, 1, false, true}},
      {"the third byte of a length counts", "\0\0\1\0"s, {{}, 1, false, true}},
      {"empty", frame(""), {{}, 0, true, true}},
      {"empty after a good one", frame("ab") + frame("") + frame("c"), {{"ab"}, 0, true, true}},
      {"ends in a length", frame("ab") + "\1\0"s, {{"ab"}, 0, false, true}},
      {"ends after a length", frame("ab") + "\3\0\0\0"s, {{"ab"}, 0, false, true}},
      {"ends in a frame", frame("ab") + "\3\0\0\0cd"s, {{"ab"}, 0, false, true}},
  };
  for (const Case& c : cases) {
    ASSERT_EQ(frames_of(c.stream, kMax), c.expected) << "the reference: " << c.what;
    expect<FrameSplitter>(c);
  }
}

TEST(LineSplitter, EveryFragmentation) {
  const Case cases[] = {
      {"nothing", "", {}},
      {"one", "a:1|c\n", {{"a:1|c\n"}, 0, false, false}},
      {"two", "a:1\nb:2|c\n", {{"a:1\n", "b:2|c\n"}, 0, false, false}},
      {"empty lines", "\n\na\n\n", {{"\n", "\n", "a\n", "\n"}, 0, false, false}},
      {"unfinished", "a:1|c\nb:", {{"a:1|c\n"}, 0, false, true}},
      {"nothing but unfinished", "a:1|c", {{}, 0, false, true}},
      {"the longest", "1234567\n", {{"1234567\n"}, 0, false, false}},
      {"one byte too long", "12345678\nab\n", {{"ab\n"}, 1, false, false}},
      {"much too long", "12345678901234567\nb\n", {{"b\n"}, 1, false, false}},
      {"too long twice", "123456789\n123456789\n", {{}, 2, false, false}},
      {"too long between", "a\n123456789\nb\n", {{"a\n", "b\n"}, 1, false, false}},
      {"too long and unfinished", "a\n12345678", {{"a\n"}, 1, false, false}},
      {"not yet too long", "a\n1234567", {{"a\n"}, 0, false, true}},
  };
  for (const Case& c : cases) {
    ASSERT_EQ(lines_of(c.stream, kMax), c.expected) << "the reference: " << c.what;
    expect<LineSplitter>(c);
  }
}

// What the read paths count on: no copy is made of what lies whole in an input.
TEST(FrameSplitter, WholeFramesStayWhereTheyAre) {
  const std::string stream = frame("a:1|c") + frame("b:2|c") + frame("cc").substr(0, 5);
  const std::span all(reinterpret_cast<const uint8_t*>(stream.data()), stream.size());
  std::span<const uint8_t> input = all;
  FrameSplitter splitter(kMax);
  Step step = splitter.next(input, nullptr);
  EXPECT_EQ(step.found, Found::kPayload);
  EXPECT_EQ(step.payload.data(), all.data() + 4);
  step = splitter.next(input, nullptr);
  EXPECT_EQ(step.found, Found::kPayload);
  EXPECT_EQ(step.payload.data(), all.data() + 13);
  EXPECT_EQ(splitter.next(input, nullptr).found, Found::kNeedsStorage);
  EXPECT_EQ(input.size(), 1u) << "nothing is taken that cannot be kept";
}

TEST(LineSplitter, LinesOfOneInputAreOnePacket) {
  const std::string stream = "a\nb\ncd";
  const std::span all(reinterpret_cast<const uint8_t*>(stream.data()), stream.size());
  std::span<const uint8_t> input = all;
  LineSplitter splitter(kMax);
  const Step step = splitter.next(input, nullptr);
  EXPECT_EQ(step.found, Found::kPayload);
  EXPECT_EQ(step.payload.data(), all.data());
  EXPECT_EQ(step.payload.size(), 4u);
  EXPECT_EQ(splitter.next(input, nullptr).found, Found::kNeedsStorage);
}

TEST(LineSplitter, SkipsTheRestOfALine) {
  for (uint64_t cuts = 0; cuts < 1 << 9; ++cuts) {
    LineSplitter splitter(kMax);
    splitter.skip_line();
    const std::string_view stream = "st:1|c\nb\n";
    std::string got;
    size_t cut_off = 0;
    std::array<uint8_t, kMax> storage;
    for (size_t from = 0, i = 0; i < stream.size(); ++i) {
      if ((cuts >> i & 1) == 0 && i + 1 < stream.size() && i + 1 - from < kMax) continue;
      const std::string_view piece = stream.substr(from, i + 1 - from);
      std::span input(reinterpret_cast<const uint8_t*>(piece.data()), piece.size());
      for (Step s; (s = splitter.next(input, storage.data())).found != Found::kMore;) {
        got.append(s.payload.begin(), s.payload.end());
        cut_off += s.found == Found::kCutOff ? 1 : 0;
      }
      from = i + 1;
    }
    ASSERT_EQ(got, "b\n") << "cuts " << cuts;
    ASSERT_EQ(cut_off, 1u);
    ASSERT_FALSE(splitter.inside());
  }
}

}  // namespace
}  // namespace penstock::framing

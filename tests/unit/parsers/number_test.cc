#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "parsers/simd/kernel.h"
#include "tests/support/padded.h"

namespace penstock::dogstatsd {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

std::string fill(std::string_view before, char c, size_t times, std::string_view after) {
  std::string out(before);
  out.append(times, c);
  return out.append(after);
}

// parse_float, and every kernel must agree with it.
bool read_float(std::string_view text, double& out) {
  const bool ok = parse_float(text, out);
  if (text.empty() || text.find(':') != std::string_view::npos) return ok;
  const Padded padded(text);
  for (const simd::Kernel* kernel : simd::runnable()) {
    std::vector<double> value((text.size() + 1) / 2);
    size_t count = 0;
    const bool agrees = ok == (kernel->parse_values(padded.view(), value, count) == Reason::kOk) &&
                        (!ok || std::bit_cast<uint64_t>(value[0]) == std::bit_cast<uint64_t>(out));
    EXPECT_TRUE(agrees) << simd::variant_name(kernel->variant) << ": " << text;
  }
  return ok;
}

struct Good {
  std::string text;
  double value;
};

TEST(ParseFloat, Accepts) {
  const Good cases[] = {
      {"0", 0},
      {"-0", -0.0},
      {"+0", 0},
      {"007", 7},
      {"5.", 5},
      {".5", .5},
      {"-.5", -.5},
      {"+5.25", 5.25},
      {"0.1", .1},
      {"123456789012345", 123456789012345},
      {"9007199254740993", 9007199254740992},
      {"9007199254740995", 9007199254740996},
      {"9007199254740993.0000000001", 9007199254740994},
      {"999999999999999.", 999999999999999},
      {".000000000000001", 1e-15},
      {"12345678901234567890", 1.2345678901234567e19},
      {"1e3", 1000},
      {"1E-2", .01},
      {"1e+3", 1000},
      {"1e0003", 1000},
      {"0e99999999999999999999", 0},
      {"1e-99999999999999999999", 0},
      {"-1e-400", -0.0},
      {"2.2250738585072011e-308", 2.2250738585072011e-308},
      {"2.2250738585072014e-308", 2.2250738585072014e-308},
      {"4.9406564584124654e-324", 5e-324},
      {"2.4703282292062328e-324", 5e-324},
      {"2.4703282292062327e-324", 0},
      {"1.7976931348623157e308", 1.7976931348623157e308},
      {"1.7976931348623158e308", 1.7976931348623157e308},
      {fill("", '0', 5000, "1"), 1},
      {fill("0.", '0', 5000, "1e5001"), 1},
      {fill("1", '0', 5000, "e-5000"), 1},
      {fill("1", '0', 5000, "e-5_000"), 1},
      {fill("0.", '0', 400, "1"), 0},
      {fill("", '1', 309, ""), 1.1111111111111112e308},
      {"1_000", 1000},
      {"1_2_3.4_5e1_0", 123.45e10},
      {"0_1", 1},
      {"1_0e-4_00", 0},
      {"0x1p4", 16},
      {"0X1P4", 16},
      {"-0x1p+4", -16},
      {"0x1.8p1", 3},
      {"0x.8p1", 1},
      {"0x8.p-3", 1},
      {"0x_1p4", 16},
      {"0x1_f.f_fp0", 0x1f.ffp0},
      {"0xAbCdEfp0", 0xabcdef},
      {"0x0p99999999999", 0},
      {"0x1p-1074", 5e-324},
      {"0x1p-1075", 0},
      {"0x1.8p-1075", 5e-324},
      {"0x1.00000000000001p-1075", 5e-324},
      {"0x1p-99999999999", 0},
      {"0x1.fffffffffffffp1023", 1.7976931348623157e308},
      {"0x1.fffffffffffff7p1023", 1.7976931348623157e308},
      {"0x1.00000000000008p0", 1},
      {"0x1.00000000000018p0", 0x1.0000000000002p0},
      {"0x1.ffffffffffffd8p-1023", 0x0.fffffffffffffp-1022},  // glibc 2.36 is wrong here
      {fill("0x1.00000000000008", '0', 3000, "1p0"), 0x1.0000000000001p0},
      {fill("0x", '0', 3000, "1p0"), 1},
      {fill("0x.", '0', 3000, "1p12004"), 1},
      {"inf", kInf},
      {"-INF", -kInf},
      {"+Inf", kInf},
      {"infinity", kInf},
      {"-InFiNiTy", -kInf},
  };
  for (const Good& c : cases) {
    double value = 99;
    ASSERT_TRUE(read_float(c.text, value)) << c.text;
    EXPECT_EQ(std::bit_cast<uint64_t>(value), std::bit_cast<uint64_t>(c.value))
        << c.text << " gave " << value;
  }
  for (const char* text : {"nan", "NaN", "NAN"}) {
    double value = 0;
    ASSERT_TRUE(read_float(text, value)) << text;
    EXPECT_TRUE(std::isnan(value)) << text;
  }
}

TEST(ParseFloat, Refuses) {
  const std::string cases[] = {
      "",
      " ",
      "1 ",
      " 1",
      "+",
      "-",
      ".",
      "+.",
      "..1",
      "1..",
      "1.2.3",
      "--1",
      "+-1",
      "-+1",
      "e5",
      ".e5",
      "1e",
      "1e+",
      "1e-",
      "1e5.",
      "1e5 ",
      "1ee5",
      "1,5",
      "abc",
      "$5",
      "5%",
      "true",
      "0x",
      "0x1",
      "0x10",
      "0x.p1",
      "0xp1",
      "0x1p",
      "0x1p+",
      "0x1e4",
      "0x1.p1.",
      "0x1pa",
      "0b1",
      "0o7",
      "0b1p1",
      "x1p1",
      "1p4",
      "_1",
      "1_",
      "1__0",
      "1_.5",
      "1._5",
      "1_e5",
      "1e_5",
      "1e5_",
      "0_x1p4",
      "0x1_p4",
      "0x1p_4",
      "0x__1p4",
      "_0x1p4",
      "+nan",
      "-nan",
      "nan(1)",
      "nanx",
      "infi",
      "infinit",
      "infx",
      "+-inf",
      "i",
      "n",
      "na",
      "1e400",
      "-1e400",
      "1.7976931348623159e308",
      "0x1p1024",
      "-0x1p1024",
      "0x1.fffffffffffff8p1023",
      "1e99999999999999999999",
      "0x1p99999999999",
      "1_0e400",
      fill("", '1', 310, ""),
      "1\n",
      "1x",
      "1f",
      "1L",
      "1e5f",
      std::string("1\0", 2),
      std::string("\0001", 2),
      "\xd9\xa1",
  };
  for (const std::string& text : cases) {
    double value = 0;
    EXPECT_FALSE(read_float(text, value)) << '"' << text << "\" gave " << value;
  }
}

// The C library rounds correctly as well, in decimal and in hexadecimal.
void expect_as_strtod(const std::string& text) {
  const double expected = std::strtod(text.c_str(), nullptr);
  double value = 0;
  const bool ok = read_float(text, value);
  ASSERT_EQ(ok, std::isfinite(expected)) << text;
  if (!ok) return;
  ASSERT_EQ(std::bit_cast<uint64_t>(value), std::bit_cast<uint64_t>(expected)) << text;
}

// An underscore changes nothing but takes the other path.
std::string with_underscore(std::string text) {
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    if (std::isdigit(static_cast<uint8_t>(text[i])) != 0 &&
        std::isdigit(static_cast<uint8_t>(text[i + 1])) != 0) {
      return text.insert(i + 1, 1, '_');
    }
  }
  return text;
}

TEST(ParseFloat, RoundsAsTheCLibraryDoes) {
  std::mt19937_64 random(20240607);
  for (int i = 0; i < 20000; ++i) {
    const auto value = std::bit_cast<double>(random());
    if (!std::isfinite(value)) continue;
    char text[1100];
    for (const char* format : {"%.17g", "%.16e", "%.20e", "%a", "%.12a", "%.3a", "%.3f"}) {
      std::snprintf(text, sizeof text, format, value);
      expect_as_strtod(text);
      double plain = 0;
      double underscored = 0;
      ASSERT_TRUE(read_float(text, plain) == read_float(with_underscore(text), underscored));
      ASSERT_EQ(std::bit_cast<uint64_t>(plain), std::bit_cast<uint64_t>(underscored)) << text;
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

// The exact midpoint between two neighbouring doubles, its neighbours by one digit far behind, and
// all of that as the thorough path reads it.
TEST(ParseFloat, BreaksTiesToEven) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 2000; ++i) {
    const auto bits = random() & 0x7fffffffffffffff;
    const auto low = std::bit_cast<double>(i % 4 == 0 ? bits & 0xfffffffffffff : bits);
    if (!std::isfinite(low) || !std::isfinite(std::nextafter(low, kInf))) continue;
    const long double middle =
        (static_cast<long double>(low) + static_cast<long double>(std::nextafter(low, kInf))) / 2;
    char text[2200];
    std::snprintf(text, sizeof text, "%.1100Lf", middle);
    std::string number = text;
    expect_as_strtod(number);
    expect_as_strtod(number + "1");
    double plain = 0;
    double underscored = 0;
    read_float(number + "1", plain);
    read_float(with_underscore(number) + "1", underscored);
    ASSERT_EQ(plain, underscored) << number;
    if (::testing::Test::HasFatalFailure()) return;
  }
}

TEST(ParseFloat, ShortDecimalsAreExact) {
  std::mt19937_64 random(11);
  for (int i = 0; i < 200000; ++i) {
    std::string text = std::to_string(random() % 1000000000000000);
    text.resize(1 + random() % text.size());
    if (random() % 2 == 0) text.insert(random() % (text.size() + 1), 1, '.');
    if (random() % 4 == 0) text.insert(0, 1, '-');
    expect_as_strtod(text);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

TEST(ParseValues, PackedNumbers) {
  struct Case {
    std::string_view value;
    Reason reason;
    std::vector<double> numbers;
  };
  const Case cases[] = {
      {"1", Reason::kOk, {1}},
      {"1:2:3", Reason::kOk, {1, 2, 3}},
      {"21::22", Reason::kOk, {21, 22}},
      {":21", Reason::kOk, {21}},
      {"21:", Reason::kOk, {21}},
      {":::7:::", Reason::kOk, {7}},
      {"1:1:1:1:1", Reason::kOk, {1, 1, 1, 1, 1}},
      {":", Reason::kNoValues, {}},
      {":::", Reason::kNoValues, {}},
      {"x", Reason::kBadValue, {}},
      {"1:x", Reason::kBadValue, {}},
      {"x:1", Reason::kBadValue, {}},
      {"1: 2", Reason::kBadValue, {}},
      {"1:1e400", Reason::kBadValue, {}},
  };
  for (const Case& c : cases) {
    const Padded text(c.value);
    for (const simd::Kernel* kernel : simd::runnable()) {
      std::vector<double> out((c.value.size() + 1) / 2);
      size_t count = 0;
      ASSERT_EQ(kernel->parse_values(text.view(), out, count), c.reason) << c.value;
      if (c.reason != Reason::kOk) continue;
      out.resize(count);
      EXPECT_EQ(out, c.numbers) << c.value;
    }
  }
}

}  // namespace
}  // namespace penstock::dogstatsd

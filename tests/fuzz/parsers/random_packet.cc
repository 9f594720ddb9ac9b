#include "tests/fuzz/parsers/random_packet.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstdio>

namespace penstock::differential {
namespace {

std::string printed(const char* format, int digits, long double value) {
  std::array<char, 1200> buffer;
  const int size = std::snprintf(buffer.data(), buffer.size(), format, digits, value);
  return {buffer.data(), static_cast<size_t>(size)};
}

std::string digits(Random& random, size_t size, std::string_view alphabet = "0123456789") {
  std::string text;
  for (size_t i = 0; i < size; ++i) text += alphabet[random.below(alphabet.size())];
  return text;
}

std::string random_sign(Random& random) {
  static constexpr std::string_view kSigns[] = {"", "", "", "", "", "-", "-", "+"};
  return std::string(random.pick(kSigns));
}

// Most values of real clients: a few digits, perhaps a point.
std::string plain_number(Random& random) {
  std::string text = digits(random, 1 + random.below(random.one_in(4) ? 24 : 9));
  if (random.one_in(2)) text.insert(random.below(text.size() + 1), 1, '.');
  return random_sign(random) + text;
}

std::string decimal_number(Random& random) {
  std::string text = plain_number(random);
  if (random.one_in(2)) {
    text += random.one_in(2) ? "e" : "E";
    text += random_sign(random) + digits(random, 1 + random.below(3));
  }
  return text;
}

std::string hex_number(Random& random) {
  std::string text = digits(random, 1 + random.below(20), "0123456789abcdefABCDEF");
  if (random.one_in(2)) text.insert(random.below(text.size() + 1), 1, '.');
  if (!random.one_in(8)) {
    text += random.one_in(2) ? "p" : "P";
    text += random_sign(random) + digits(random, 1 + random.below(4));
  }
  return random_sign(random) + (random.one_in(2) ? "0x" : "0X") + text;
}

// The digits of a double of any magnitude, or of the exact middle between it and the next one, with
// as many digits as it takes or some fewer; a last digit may tip it over.
std::string exact_number(Random& random) {
  double value = std::bit_cast<double>(random.next());
  if (random.one_in(4)) value = std::ldexp(static_cast<double>(random.next() >> 11), -1074);
  if (!std::isfinite(value)) value = 1;
  auto exact = static_cast<long double>(value);
  if (random.one_in(2)) exact = (exact + std::nextafter(value, INFINITY)) / 2;
  static constexpr int kDigits[] = {15, 16, 17, 18, 19, 20, 25, 60, 770, 1080};
  std::string text = printed("%.*Le", random.pick(kDigits), exact);
  const size_t exponent = text.find('e');
  if (exponent == std::string::npos) return text;
  if (random.one_in(3)) text.insert(exponent, digits(random, 1));
  if (random.one_in(3)) text[exponent - 1] = digits(random, 1)[0];
  return text;
}

std::string special_number(Random& random) {
  static constexpr std::string_view kSpecial[] = {"nan",
                                                  "inf",
                                                  "infinity",
                                                  "1e308",
                                                  "1.7976931348623157e308",
                                                  "1.7976931348623159e308",
                                                  "0",
                                                  "5e-324",
                                                  "1e400",
                                                  "1e-400",
                                                  "2.2250738585072011e-308",
                                                  "9007199254740993",
                                                  "18446744073709551616",
                                                  "0x",
                                                  "0x1",
                                                  ".",
                                                  "e5",
                                                  "1e",
                                                  "in",
                                                  "infinit",
                                                  "infinityy",
                                                  "nan0"};
  std::string text = random_sign(random) + std::string(random.pick(kSpecial));
  for (char& c : text) {
    if (c >= 'a' && c <= 'z' && random.one_in(4)) c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

void insert_somewhere(Random& random, std::string& text, std::string_view what) {
  text.insert(random.below(text.size() + 1), what);
}

std::string random_integer(Random& random) {
  static constexpr std::string_view kEdges[] = {"0",
                                                "1",
                                                "1700000000",
                                                "9223372036854775807",
                                                "9223372036854775808",
                                                "18446744073709551615",
                                                "18446744073709551616",
                                                "",
                                                "00000000000000000000000000005"};
  std::string text(random.pick(kEdges));
  if (random.one_in(2)) text = digits(random, random.below(24));
  if (random.one_in(8)) insert_somewhere(random, text, random_text(random, 1));
  return random_sign(random) + text;
}

std::string random_tags(Random& random) {
  std::string text;
  const size_t count = random.below(random.one_in(8) ? 40 : 6);
  for (size_t i = 0; i < count; ++i) {
    if (i != 0) text += ',';
    text += random_text(random, random.one_in(4) ? random_length(random) : random.below(12));
  }
  return text;
}

std::string random_list(Random& random, std::span<const std::string_view> prefixes) {
  std::string text;
  const size_t count = random.below(4);
  for (size_t i = 0; i <= count; ++i) {
    if (i != 0) text += ',';
    text += prefixes[random.below(prefixes.size())];
    text += random.one_in(2) ? random_integer(random) : random_text(random, random.below(12));
  }
  return text;
}

std::string random_metric(Random& random) {
  static constexpr std::string_view kTypes[] = {"c", "g", "h", "d", "ms", "s"};
  std::string line = random_text(random, random.one_in(8) ? 0 : 1 + random_length(random));
  line += ':';
  const size_t values = random.one_in(4) ? 1 + random.below(12) : 1;
  for (size_t i = 0; i < values; ++i) {
    if (i != 0) line += ':';
    if (!random.one_in(12)) line += random_number(random);
  }
  if (random.one_in(6)) line += random_text(random, random_length(random));
  line += '|';
  line += random.one_in(20) ? random_text(random, random.below(3)) : random.pick(kTypes);
  return line;
}

std::string random_event(Random& random) {
  std::string line =
      event_of(random_text(random, random.below(20)), random_text(random, random_length(random)));
  if (random.one_in(4)) line[3] = static_cast<char>('0' + random.below(10));
  if (random.one_in(8)) line.insert(3 + random.below(4), random_text(random, 1));
  return line;
}

std::string random_check(Random& random) {
  std::string line = "_sc";
  line += random.one_in(8) ? random_text(random, 1) : "|";
  line += random_text(random, random.one_in(10) ? 0 : random_length(random));
  line += '|';
  line += random.one_in(8) ? random_text(random, random.below(3)) : digits(random, 1, "01234");
  return line;
}

}  // namespace

uint64_t Random::next() {
  state_ += 0x9e3779b97f4a7c15;
  uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

size_t random_length(Random& random) {
  static constexpr size_t kWidths[] = {8, 16, 32, 48, 64, 128, 256};
  if (random.one_in(2)) return random.below(12);
  return random.pick(kWidths) - 3 + random.below(7);
}

std::string random_text(Random& random, size_t size) {
  static constexpr std::string_view kCommon = "abcdefghijklmnopqrstuvwxyz0123456789._-";
  using std::string_view_literals::operator""sv;
  static constexpr std::string_view kOdd = ":,|#@T\\n{}+-.eExXpP_/;\r\0 \x7f\x80\xba\xfc\xff"sv;
  const size_t odd_one_in = random.one_in(3) ? 3 : 40;
  std::string text;
  for (size_t i = 0; i < size; ++i) {
    const std::string_view from = random.one_in(odd_one_in) ? kOdd : kCommon;
    text += from[random.below(from.size())];
  }
  return text;
}

std::string random_number(Random& random) {
  std::string text;
  switch (random.below(8)) {
    case 0:
      text = exact_number(random);
      break;
    case 1:
      text = hex_number(random);
      break;
    case 2:
      text = special_number(random);
      break;
    case 3:
    case 4:
      text = decimal_number(random);
      break;
    default:
      text = plain_number(random);
  }
  if (random.one_in(8)) insert_somewhere(random, text, "_");
  if (random.one_in(16)) insert_somewhere(random, text, "_");
  if (random.one_in(16)) insert_somewhere(random, text, random_text(random, 1));
  if (random.one_in(32)) text = std::string(random_length(random), '0') + text;
  return text;
}

std::string random_field(Random& random) {
  static constexpr std::string_view kLocal[] = {"ci-", "in-", "cid-", "", "c"};
  static constexpr std::string_view kExternal[] = {"it-true", "it-", "cn-", "pu-", "", "it-F"};
  static constexpr std::string_view kWords[] = {
      "p:low", "p:normal", "t:error", "t:success", "t:info", "t:warning", "p:", "t:", "", " "};
  static constexpr std::string_view kTexts[] = {"h:", "k:", "s:", "m:", "card:", "c:", ""};
  static constexpr std::string_view kPrefixes[] = {"#", "#", "@", "T", "d:", "c:", "e:"};
  const size_t kind = random.below(std::size(kPrefixes) + 2);
  std::string field = "|";
  if (kind < std::size(kPrefixes)) field += kPrefixes[kind];
  switch (kind) {
    case 0:
    case 1:
      return field += random_tags(random);
    case 2:
      return field += random_number(random);
    case 3:
    case 4:
      return field += random_integer(random);
    case 5:
      return field += random_list(random, kLocal);
    case 6:
      return field += random_list(random, kExternal);
    case 7:
      return field += random.pick(kWords);
    default:
      field += random.pick(kTexts);
      return field += random_text(random, random_length(random));
  }
}

std::string random_line(Random& random) {
  std::string line;
  switch (random.below(10)) {
    case 0:
      line = random_event(random);
      break;
    case 1:
      line = random_check(random);
      break;
    case 2:
      if (random.one_in(4)) return random_text(random, random_length(random));
      [[fallthrough]];
    default:
      line = random_metric(random);
  }
  const size_t fields = random.below(5);
  for (size_t i = 0; i < fields; ++i) line += random_field(random);
  return line;
}

std::string random_packet(Random& random) {
  static constexpr std::string_view kEnds[] = {"\n",   "\n",   "\n",     "\n",
                                               "\r\n", "\n\n", "\r\r\n", ""};
  std::string packet;
  const size_t lines = random.below(random.one_in(16) ? 100 : 6);
  for (size_t i = 0; i < lines; ++i) {
    packet += random_line(random);
    packet += random.pick(kEnds);
  }
  if (random.one_in(3)) packet += random_line(random);
  return packet;
}

std::string event_of(std::string_view title, std::string_view text) {
  std::string line = "_e{";
  line += std::to_string(title.size());
  line += ',';
  line += std::to_string(text.size());
  line += "}:";
  line += title;
  line += '|';
  line += text;
  return line;
}

}  // namespace penstock::differential

// Section 4 (splitting) and the options, which the vectors cannot show.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/reference/dogstatsd_reference.h"

namespace penstock::reference {
namespace {

using Texts = std::vector<std::string>;

Texts texts(std::string_view packet, bool eol_required) {
  Texts result;
  for (const Message& message : parse_packet(packet, eol_required, {})) {
    result.push_back(message.text);
  }
  return result;
}

struct Split {
  std::string_view packet;
  Texts texts;
  Texts texts_eol_required;
};

TEST(ReferencePacket, Split) {
  const Split cases[] = {
      {"", {}, {}},
      {"\n", {}, {}},
      {"\r", {}, {}},
      {"\r\n", {}, {}},
      {"a", {"a"}, {}},
      {"a\n", {"a"}, {"a"}},
      {"a\nb", {"a", "b"}, {"a"}},
      {"a\nb\n", {"a", "b"}, {"a", "b"}},
      {"\n\na\n\n\nb\n\n", {"a", "b"}, {"a", "b"}},
      {"a\r\nb\r\n", {"a", "b"}, {"a", "b"}},
      {"a\r\r\n", {"a\r"}, {"a\r"}},
      {"\ra\rb\n", {"\ra\rb"}, {"\ra\rb"}},
      {"a\r", {"a"}, {}},
      {"\r\r", {"\r"}, {}},
      {"\n\r", {}, {}},
      {std::string_view("\0\n\0", 3),
       {std::string(1, '\0'), std::string(1, '\0')},
       {std::string(1, '\0')}},
  };
  for (const Split& c : cases) {
    EXPECT_EQ(texts(c.packet, false), c.texts) << c.packet;
    EXPECT_EQ(texts(c.packet, true), c.texts_eol_required) << c.packet;
  }
}

TEST(ReferencePacket, ClassIsOfTheFirstBytes) {
  EXPECT_EQ(parse_line("_e{", {}).line_class, Class::kEvent);
  EXPECT_EQ(parse_line("_e", {}).line_class, Class::kMetric);
  EXPECT_EQ(parse_line("_sc", {}).line_class, Class::kServiceCheck);
  EXPECT_EQ(parse_line("_scan:1|c", {}).line_class, Class::kServiceCheck);
  EXPECT_EQ(parse_line(" _sc|a|0", {}).line_class, Class::kMetric);
}

TEST(ReferencePacket, TimestampsOffAreNotValidated) {
  const Options off{.timestamps = false};
  for (const char* line : {"a:1|c|T5", "a:1|c|T", "a:1|c|T0", "a:1|c|Tfoo"}) {
    const Message message = parse_line(line, off);
    ASSERT_TRUE(std::holds_alternative<Metric>(message.body)) << line;
    EXPECT_EQ(std::get<Metric>(message.body).timestamp, 0) << line;
  }
}

TEST(ReferencePacket, ClientOriginOff) {
  const Options off{.client_origin = false};
  const char* fields = "|c:ci-a,in-7|e:it-true,cn-b,pu-c|card:high|#t";
  const auto metric = std::get<Metric>(parse_line(std::string("a:1|c") + fields, off).body);
  const auto event = std::get<Event>(parse_line(std::string("_e{1,1}:a|b") + fields, off).body);
  const auto check = std::get<ServiceCheck>(parse_line(std::string("_sc|a|0") + fields, off).body);
  EXPECT_EQ(metric.origin, Origin{});
  EXPECT_EQ(event.origin, Origin{});
  EXPECT_EQ(check.origin, Origin{});
  EXPECT_EQ(metric.tags, Texts{"t"});
  EXPECT_EQ(event.tags, Texts{"t"});
  EXPECT_EQ(check.tags, Texts{"t"});
}

}  // namespace
}  // namespace penstock::reference

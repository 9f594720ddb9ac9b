// The reference parser against the specification's vectors (section 12) and ours of the same form.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/reference/dogstatsd_reference.h"

namespace penstock::reference {
namespace {

using Json = nlohmann::json;

// What the strings of a vector file stand for: UTF-8 text, or one byte to a code point below 256,
// for messages that are no UTF-8.
enum class Strings { kUtf8, kBytes };

std::string utf8_of_bytes(const std::string& bytes) {
  std::string text;
  for (char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      text += c;
    } else {
      text += static_cast<char>(0xc0 | byte >> 6);
      text += static_cast<char>(0x80 | (byte & 0x3f));
    }
  }
  return text;
}

std::string bytes_of_utf8(const std::string& text) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x80) {
      bytes += text[i];
    } else {
      bytes += static_cast<char>((byte & 3) << 6 | (text.at(++i) & 0x3f));
    }
  }
  return bytes;
}

Json number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return value;
}

// The `expect` object of section 12.
class Renderer {
 public:
  explicit Renderer(Strings strings) : strings_(strings) {}

  Json operator()(const Error& error) const { return {{"error", true}, {"reason", error.reason}}; }

  Json operator()(const Metric& metric) const {
    Json json = {{"kind", "metric"},
                 {"name", text(metric.name)},
                 {"type", metric.type},
                 {"rate", number(metric.rate)}};
    Json values = Json::array();
    for (double value : metric.values) values.push_back(number(value));
    if (metric.type == "s") values.push_back(text(metric.set_value));
    json["values"] = values;
    common(json, metric);
    return json;
  }

  Json operator()(const Event& event) const {
    Json json = {{"kind", "event"},
                 {"title", text(event.title)},
                 {"text", text(event.text)},
                 {"priority", event.priority},
                 {"alert_type", event.alert_type}};
    optional(json, "hostname", event.hostname);
    optional(json, "aggregation_key", event.aggregation_key);
    optional(json, "source_type", event.source_type);
    common(json, event);
    return json;
  }

  Json operator()(const ServiceCheck& check) const {
    Json json = {{"kind", "service_check"}, {"name", text(check.name)}, {"status", check.status}};
    optional(json, "hostname", check.hostname);
    optional(json, "message", check.message);
    common(json, check);
    return json;
  }

 private:
  std::string text(const std::string& bytes) const {
    return strings_ == Strings::kUtf8 ? bytes : utf8_of_bytes(bytes);
  }

  void optional(Json& json, const char* key, const std::string& value) const {
    if (!value.empty()) json[key] = text(value);
  }

  template <typename M>
  void common(Json& json, const M& message) const {
    for (const std::string& tag : message.tags) json["tags"].push_back(text(tag));
    if (message.timestamp != 0) json["timestamp"] = message.timestamp;
    const Origin& origin = message.origin;
    optional(json, "container_id", origin.container_id);
    if (origin.inode != 0) json["inode"] = origin.inode;
    if (origin.external != ExternalData{}) {
      json["external_data"] = {{"init", origin.external.init},
                               {"container_name", text(origin.external.container_name)},
                               {"pod_uid", text(origin.external.pod_uid)}};
    }
    optional(json, "cardinality", origin.cardinality);
  }

  Strings strings_;
};

// Numbers compare as doubles, bit by bit: every one is made a double, and its shortest digits tell
// -0 from 0.
std::string comparable(Json expect) {
  if (expect.contains("error")) return expect.dump();
  if (expect.contains("rate") && expect["rate"].is_number()) {
    expect["rate"] = expect["rate"].get<double>();
  }
  for (Json& value : expect["values"]) {
    if (value.is_number()) value = value.get<double>();
  }
  return expect.dump();
}

struct File {
  const char* name;
  Strings strings;
  size_t at_least;  // vectors in it
};

class Vectors : public testing::TestWithParam<File> {};

TEST_P(Vectors, AreWhatTheReferenceSays) {
  std::ifstream file(std::string(FIXTURES) + "/" + GetParam().name);
  ASSERT_TRUE(file) << GetParam().name;
  size_t count = 0;
  for (std::string line; std::getline(file, line); ++count) {
    const Json vector = Json::parse(line);
    std::string in = vector["in"];
    if (GetParam().strings == Strings::kBytes) in = bytes_of_utf8(in);
    const Message message = parse_line(in, {});
    const Json actual = std::visit(Renderer(GetParam().strings), message.body);
    EXPECT_EQ(comparable(actual), comparable(vector["expect"])) << vector["id"] << " " << line;
  }
  EXPECT_GE(count, GetParam().at_least);
}

INSTANTIATE_TEST_SUITE_P(Files, Vectors,
                         testing::Values(File{"vectors.jsonl", Strings::kUtf8, 182},
                                         File{"vectors_more.jsonl", Strings::kUtf8, 300},
                                         File{"vectors_bytes.jsonl", Strings::kBytes, 20}),
                         [](const auto& file) {
                           std::string name = file.param.name;
                           return name.substr(0, name.find('.'));
                         });

}  // namespace
}  // namespace penstock::reference

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "parsers/simd/kernel.h"
#include "tests/support/padded.h"

// Every vector of tests/fixtures, by every kernel, everything of spec section 12 compared.
namespace penstock::dogstatsd {
namespace {

using nlohmann::json;

constexpr Options kOptions = {.timestamps = true, .client_origin = true};

json number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return value;
}

json error(Reason reason) {
  return {{"error", true}, {"reason", std::string(reason_name(reason))}};
}

// Optional keys are left out when empty.
void put(json& out, const char* key, std::string_view text) {
  if (!text.empty()) out[key] = std::string(text);
}

template <class Message>
void put_common(json& out, const Message& message) {
  if (message.has_tags) {
    for_each_tag(message.tags, [&](std::string_view tag) { out["tags"].push_back(tag); });
  }
  if (message.timestamp != 0) out["timestamp"] = message.timestamp;
  const LocalData local = parse_local_data(message.origin.local_data);
  put(out, "container_id", local.container_id);
  if (local.inode != 0) out["inode"] = local.inode;
  const ExternalData external = parse_external_data(message.origin.external_data);
  if (external.init || !external.container_name.empty() || !external.pod_uid.empty()) {
    out["external_data"] = {{"init", external.init},
                            {"container_name", std::string(external.container_name)},
                            {"pod_uid", std::string(external.pod_uid)}};
  }
  put(out, "cardinality", message.origin.cardinality);
}

json metric(const simd::Kernel& kernel, const Line& line) {
  if (line.reason != Reason::kOk) return error(line.reason);
  std::vector<double> scratch((line.value().size() + 1) / 2);
  Metric message;
  const Reason reason = kernel.parse_metric(line, kOptions, scratch, message);
  if (reason != Reason::kOk) return error(reason);
  json out = {{"kind", "metric"},
              {"name", std::string(line.name())},
              {"type", std::string(type_symbol(message.type))},
              {"rate", number(message.rate)},
              {"values", json::array()}};
  if (message.type == Type::kSet) {
    out["values"].push_back(std::string(line.value()));
  } else {
    for (size_t i = 0; i < message.values; ++i) out["values"].push_back(number(scratch[i]));
  }
  put_common(out, message);
  return out;
}

std::string unescaped(std::string_view text) {
  std::string out(text.size(), '\0');
  out.resize(unescape_newlines(text, out.data()));
  return out;
}

json event(std::string_view line) {
  Event message;
  if (const Reason reason = parse_event(line, kOptions, message); reason != Reason::kOk) {
    return error(reason);
  }
  json out = {{"kind", "event"},
              {"title", unescaped(message.title)},
              {"text", unescaped(message.text)},
              {"priority", std::string(message.priority)},
              {"alert_type", std::string(message.alert_type)}};
  put(out, "hostname", message.hostname);
  put(out, "aggregation_key", message.aggregation_key);
  put(out, "source_type", message.source_type);
  put_common(out, message);
  return out;
}

json service_check(std::string_view line) {
  ServiceCheck message;
  if (const Reason reason = parse_service_check(line, kOptions, message); reason != Reason::kOk) {
    return error(reason);
  }
  json out = {
      {"kind", "service_check"}, {"name", std::string(message.name)}, {"status", message.status}};
  put(out, "hostname", message.hostname);
  put(out, "message", message.message);
  put_common(out, message);
  return out;
}

json parse(const simd::Kernel& kernel, std::string_view text) {
  const Padded padded(text);
  const Line line = kernel.line(padded.view());
  switch (line.what) {
    case Class::kEvent:
      return event(line.text());
    case Class::kServiceCheck:
      return service_check(line.text());
    case Class::kMetric:
      break;
  }
  return metric(kernel, line);
}

class Conformance : public testing::TestWithParam<const simd::Kernel*> {};

void run_vectors(const simd::Kernel& kernel, const std::string& name, size_t at_least) {
  std::ifstream file(PENSTOCK_FIXTURES "/" + name);
  ASSERT_TRUE(file) << name << " cannot be opened";
  size_t vectors = 0;
  for (std::string line; std::getline(file, line); ++vectors) {
    const json vector = json::parse(line);
    const auto in = vector["in"].get<std::string>();
    EXPECT_EQ(parse(kernel, in), vector["expect"]) << vector["id"] << ": " << in;
  }
  EXPECT_GE(vectors, at_least);
}

TEST_P(Conformance, EveryVectorOfTheSpecification) {
  run_vectors(*GetParam(), "vectors.jsonl", 182);
}
TEST_P(Conformance, EveryFurtherVector) { run_vectors(*GetParam(), "vectors_more.jsonl", 1800); }

INSTANTIATE_TEST_SUITE_P(EveryVariant, Conformance, testing::ValuesIn(simd::runnable()),
                         [](const auto& test) {
                           return std::string(simd::variant_name(test.param->variant));
                         });

}  // namespace
}  // namespace penstock::dogstatsd

// What holds for any packet, on every kernel, with random packets from a seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/parsers/differential.h"
#include "tests/fuzz/parsers/random_packet.h"

namespace penstock::differential {
namespace {

using dogstatsd::Line;

// A line as the server sees it: everything about it that may not depend on what stands around it.
struct Seen {
  std::string text;
  std::string result;  // the parts, or the reason
  bool terminated;
  bool operator==(const Seen&) const = default;
};

std::string result_of(const simd::Kernel& kernel, const Line& line) {
  const auto bytes = [](double value) {  // of -0 and NaN, too, the same
    return std::string(reinterpret_cast<const char*>(&value), sizeof value);
  };
  if (line.what != dogstatsd::Class::kMetric) return "";
  if (line.reason != dogstatsd::Reason::kOk) return std::string(reason_name(line.reason));
  std::vector<double> scratch((line.value().size() + 1) / 2);
  dogstatsd::Metric metric;
  const auto reason = kernel.parse_metric(line, {.client_origin = true}, scratch, metric);
  if (reason != dogstatsd::Reason::kOk) return std::string(reason_name(reason));
  std::string result(type_symbol(metric.type));
  for (const std::string_view part :
       {line.name(), line.value(), metric.tags, metric.origin.local_data,
        metric.origin.external_data, metric.origin.cardinality}) {
    result += '/';
    result += part;
  }
  if (metric.type != dogstatsd::Type::kSet) {
    for (size_t i = 0; i < metric.values; ++i) result += bytes(scratch[i]);
  }
  return result + bytes(metric.rate) + std::to_string(metric.timestamp);
}

// `padding` is put behind the packet again and again, `capacity` lines are asked for at a time.
std::vector<Seen> see(const simd::Kernel& kernel, std::string_view packet,
                      std::string_view padding = "\n", size_t capacity = 64) {
  const auto data = std::make_unique<char[]>(packet.size() + simd::kPadding);
  packet.copy(data.get(), packet.size());
  for (size_t i = 0; i < simd::kPadding; ++i) data[packet.size() + i] = padding[i % padding.size()];
  const auto lines = std::make_unique<Line[]>(capacity);
  std::vector<Seen> seen;
  size_t at = 0;
  while (const size_t count = kernel.split(data.get(), packet.size(), at, lines.get(), capacity)) {
    for (size_t i = 0; i < count; ++i) {
      if (lines[i].size == 0) continue;
      seen.push_back(
          {std::string(lines[i].text()), result_of(kernel, lines[i]), lines[i].terminated});
    }
  }
  return seen;
}

class Property : public testing::TestWithParam<const simd::Kernel*> {};

TEST_P(Property, CutAnywhereOnlyTheCutLineDiffers) {
  Random random(1);
  for (int i = 0; i < 300; ++i) {
    const std::string packet = random_packet(random).substr(0, 1500);
    const std::vector<Seen> whole = see(*GetParam(), packet);
    for (size_t cut = 0; cut <= packet.size(); ++cut) {
      const std::string_view rest = std::string_view(packet).substr(0, cut);
      const std::vector<Seen> seen = see(*GetParam(), rest);
      // Those that ended before the cut, then perhaps the beginning of the next one.
      const auto ended =
          std::count_if(seen.begin(), seen.end(), [](auto& s) { return s.terminated; });
      ASSERT_GE(ended + 1, static_cast<ptrdiff_t>(seen.size())) << quoted(rest);
      ASSERT_GE(whole.size(), static_cast<size_t>(ended)) << quoted(rest);
      ASSERT_TRUE(std::equal(seen.begin(), seen.begin() + ended, whole.begin())) << quoted(rest);
      if (seen.size() == static_cast<size_t>(ended)) continue;
      ASSERT_TRUE(rest.ends_with(seen.back().text) || rest.ends_with(seen.back().text + "\r"));
      ASSERT_EQ(seen.back(), (see(*GetParam(), seen.back().text + "\r").back()));
    }
  }
}

TEST_P(Property, PaddingDoesNotMatter) {
  Random random(2);
  for (int i = 0; i < 5'000; ++i) {
    const std::string packet = random_packet(random);
    const std::vector<Seen> seen = see(*GetParam(), packet);
    for (const std::string_view padding :
         {"1", "|", ":", "a:1|c\n", "_1e5", "#,", "\r\n", "\xff\x7f"}) {
      ASSERT_EQ(see(*GetParam(), packet, padding) == seen, true)
          << quoted(packet) << " before " << quoted(padding);
    }
  }
}

TEST_P(Property, CapacityDoesNotMatter) {
  Random random(3);
  for (int i = 0; i < 5'000; ++i) {
    const std::string packet = random_packet(random) + random_packet(random);
    const std::vector<Seen> seen = see(*GetParam(), packet);
    for (const size_t capacity : {1, 2, 3, 63, 65, 1000}) {
      ASSERT_EQ(see(*GetParam(), packet, "\n", capacity) == seen, true)
          << quoted(packet) << " by " << capacity;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, Property,
                         testing::ValuesIn(simd::runnable().begin(), simd::runnable().end()),
                         [](const auto& kernel) {
                           return std::string(variant_name(kernel.param->variant));
                         });

TEST(PropertyOfAll, KernelsAgreeWithEachOther) {
  Random random(4);
  const simd::Kernel& scalar = *simd::runnable().front();
  for (int i = 0; i < 100'000; ++i) {
    const std::string packet = random_packet(random);
    const std::vector<Seen> seen = see(scalar, packet);
    for (const simd::Kernel* kernel : simd::runnable().subspan(1)) {
      ASSERT_EQ(see(*kernel, packet) == seen, true)
          << variant_name(kernel->variant) << " " << quoted(packet);
    }
  }
}

// And with the reference: the generator makes what the vectors did not think of.
TEST(PropertyOfAll, KernelsAgreeWithTheReference) {
  Random random(5);
  for (int i = 0; i < 10'000; ++i) {
    const std::string bytes = static_cast<char>(random.next()) + random_packet(random);
    for (const simd::Kernel* kernel : simd::runnable()) {
      ASSERT_EQ(compare(*kernel, bytes), "") << quoted(bytes);
    }
  }
}

}  // namespace
}  // namespace penstock::differential

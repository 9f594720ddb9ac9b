// The differential fuzzer without libFuzzer: its corpus on every kernel, and proof that its mutator
// and its comparison find a fault.
#include "tests/fuzz/parsers/differential.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/parsers/mutate.h"
#include "tests/fuzz/parsers/random_packet.h"

namespace penstock::differential {
namespace {

using dogstatsd::Line;
using dogstatsd::Metric;
using dogstatsd::Options;
using dogstatsd::Reason;

std::vector<std::string> corpus() {
  std::vector<std::string> inputs;
  for (const auto& entry : std::filesystem::directory_iterator(CORPUS)) {
    std::ifstream file(entry.path(), std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  std::sort(inputs.begin(), inputs.end());  // no order of a file system
  return inputs;
}

TEST(Differential, CorpusOnEveryKernelWithAllPaddingsAndCapacities) {
  const std::vector<std::string> inputs = corpus();
  ASSERT_GE(inputs.size(), 200u);
  for (const simd::Kernel* kernel : simd::runnable()) {
    for (const std::string& as_is : inputs) {
      // A step of 15 meets every value of every option.
      for (unsigned options = 0; options < 256; options += 15) {
        std::string input = as_is;
        input[0] = static_cast<char>(input[0] ^ options);
        ASSERT_EQ(compare(*kernel, input), "") << quoted(input);
      }
    }
  }
}

// Faulty kernels: the scalar one, but for one rare shape. Each is wrong in a way that code for
// vectors is wrong.
const simd::Kernel& sound() { return *simd::runnable().front(); }

Reason metric(const Line& line, const Options& options, std::span<double> scratch, Metric& out) {
  return sound().parse_metric(line, options, scratch, out);
}

// The last of more than two packed values of more than eight bytes with an underscore.
Reason loses_underscore(const Line& line, const Options& options, std::span<double> scratch,
                        Metric& out) {
  const Reason reason = metric(line, options, scratch, out);
  const std::string_view value = line.value();
  const std::string_view last = value.substr(value.rfind(':') + 1);
  const bool rare = last.size() > 8 && last.find('_') != std::string_view::npos;
  if (reason == Reason::kOk && out.values > 2 && rare) scratch[out.values - 1] += 1;
  return reason;
}

// One unit in the last place of a long number with a point and an exponent.
Reason rounds_down(const Line& line, const Options& options, std::span<double> scratch,
                   Metric& out) {
  const Reason reason = metric(line, options, scratch, out);
  const std::string_view value = line.value();
  const bool rare = value.size() > 24 && value.find_first_of("eE") != std::string_view::npos;
  if (reason == Reason::kOk && out.values == 1 && rare && scratch[0] > 1) {
    scratch[0] = std::nextafter(scratch[0], 0);
  }
  return reason;
}

// A second tag field that is empty does not clear the first.
Reason keeps_tags(const Line& line, const Options& options, std::span<double> scratch,
                  Metric& out) {
  const Reason reason = metric(line, options, scratch, out);
  const size_t first = line.suffix().find("|#");
  if (reason == Reason::kOk && first != std::string_view::npos && !out.has_tags) {
    const std::string_view rest = line.suffix().substr(first + 2);
    out.tags = rest.substr(0, rest.find('|'));
    out.has_tags = !out.tags.empty();
  }
  return reason;
}

// A `|` that is the 65th byte of the line is not seen: the value seems to go on.
size_t misses_pipe(const char* data, size_t size, size_t& at, Line* out, size_t capacity) {
  const size_t count = sound().split(data, size, at, out, capacity);
  for (size_t i = 0; i < count; ++i) {
    if (out[i].what == dogstatsd::Class::kMetric && out[i].reason == Reason::kOk &&
        out[i].value_end == 64) {
      out[i].reason = Reason::kNoPipe;
    }
  }
  return count;
}

// The last line is taken to end where a line feed stands in the padding.
size_t reads_padding(const char* data, size_t size, size_t& at, Line* out, size_t capacity) {
  const size_t count = sound().split(data, size, at, out, capacity);
  if (count != 0 && !out[count - 1].terminated && data[size] == '\n') {
    out[count - 1].terminated = true;
  }
  return count;
}

// A whole block of newlines makes it forget a line.
size_t forgets_line(const char* data, size_t size, size_t& at, Line* out, size_t capacity) {
  const size_t count = sound().split(data, size, at, out, capacity);
  return count > 8 && out[2].size == 17 ? count - 1 : count;
}

struct Fault {
  const char* name;
  decltype(simd::Kernel::parse_metric) parse_metric;
  decltype(simd::Kernel::split) split;
};

class Canary : public testing::TestWithParam<Fault> {};

// As the fuzzer does it, less the coverage: some changes to an input of the corpus, then the
// comparison. Without the fault no input gives a difference, so what is found is the fault.
TEST_P(Canary, IsFound) {
  constexpr size_t kExecutions = 100'000;
  simd::Kernel faulty = sound();
  if (GetParam().parse_metric != nullptr) faulty.parse_metric = GetParam().parse_metric;
  if (GetParam().split != nullptr) faulty.split = GetParam().split;
  std::vector<std::string> inputs;
  for (const std::string& input : corpus()) {
    if (compare(faulty, input).empty()) inputs.push_back(input);  // not those that show it as is
  }
  ASSERT_FALSE(inputs.empty());
  Random random(20240607);
  for (size_t i = 0; i < kExecutions; ++i) {
    std::string input = inputs[random.below(inputs.size())];
    for (size_t changes = 1 + random.below(4); changes != 0; --changes) {
      input = mutate(std::move(input), 4096, random.next());
    }
    if (compare(faulty, input).empty()) continue;
    EXPECT_EQ(compare(sound(), input), "") << quoted(input);
    RecordProperty("executions", std::to_string(i + 1));
    return;
  }
  FAIL() << "not found in " << kExecutions << " executions";
}

INSTANTIATE_TEST_SUITE_P(Faults, Canary,
                         testing::Values(Fault{"LosesUnderscore", loses_underscore, nullptr},
                                         Fault{"RoundsDown", rounds_down, nullptr},
                                         Fault{"KeepsTags", keeps_tags, nullptr},
                                         Fault{"MissesPipe", nullptr, misses_pipe},
                                         Fault{"ReadsPadding", nullptr, reads_padding},
                                         Fault{"ForgetsLine", nullptr, forgets_line}),
                         [](const auto& fault) { return std::string(fault.param.name); });

}  // namespace
}  // namespace penstock::differential

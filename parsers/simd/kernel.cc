#include "parsers/simd/kernel.h"

#include <algorithm>
#include <array>
#include <cstdlib>

namespace penstock::simd {
namespace {

constexpr std::array<std::string_view, 4> kNames = {"scalar", "sse42", "avx2", "avx512"};

struct Runnable {
  std::array<const Kernel*, kNames.size()> kernels{};
  size_t count = 0;

  Runnable() {
    add(kScalarKernel, true);
    const bool bits = __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
                      __builtin_cpu_supports("popcnt");
    add(kSse42Kernel, __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt"));
    add(kAvx2Kernel, __builtin_cpu_supports("avx2") && bits);
    add(kAvx512Kernel, __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                           __builtin_cpu_supports("avx2") && bits);
  }
  void add(const Kernel& kernel, bool can_run) {
    if (can_run) kernels[count++] = &kernel;
  }
};

const char* environment() {
  const char* value = std::getenv("PENSTOCK_SIMD");  // NOLINT(concurrency-mt-unsafe): never set
  return value != nullptr && *value != '\0' ? value : nullptr;
}

}  // namespace

std::string_view variant_name(Variant variant) { return kNames[static_cast<size_t>(variant)]; }

std::span<const Kernel* const> runnable() {
  static const Runnable all;
  return {all.kernels.data(), all.count};
}

const Kernel* named(std::string_view name) {
  const auto all = runnable();
  const auto it = std::find_if(all.begin(), all.end(), [name](const Kernel* kernel) {
    return variant_name(kernel->variant) == name;
  });
  return it != all.end() ? *it : nullptr;
}

const Kernel& active() {
  static const Kernel& chosen = []() -> const Kernel& {
    const char* name = environment();
    const Kernel* kernel = name != nullptr ? named(name) : nullptr;
    return kernel != nullptr ? *kernel : *runnable().back();
  }();
  return chosen;
}

std::string environment_error() {
  const char* name = environment();
  if (name == nullptr || named(name) != nullptr) return {};
  std::string why = "PENSTOCK_SIMD = \"" + std::string(name) + "\": this machine runs";
  for (const Kernel* kernel : runnable()) why.append(" ").append(variant_name(kernel->variant));
  return why + "; name one of them, or unset it for the best";
}

}  // namespace penstock::simd

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/parsers/differential.h"
#include "tests/fuzz/parsers/mutate.h"

// Every kernel this CPU can run against the reference, or the one that PENSTOCK_SIMD names.
namespace penstock::differential {
namespace {

std::vector<const simd::Kernel*> chosen_kernels() {
  const auto all = simd::runnable();
  const char* name = std::getenv("PENSTOCK_SIMD");
  if (name == nullptr) return {all.begin(), all.end()};
  const simd::Kernel* kernel = simd::named(name);
  if (kernel == nullptr) {
    std::fprintf(stderr, "PENSTOCK_SIMD=%s is no kernel that this CPU can run\n", name);
    std::exit(2);
  }
  return {kernel};
}

void run(std::string_view bytes) {
  static const std::vector<const simd::Kernel*> kernels = chosen_kernels();
  const Input input = read_input(bytes);
  const std::vector<reference::Message> wanted = expected(input);
  for (const simd::Kernel* kernel : kernels) {
    const std::string difference = compare(*kernel, input, wanted);
    if (difference.empty()) continue;
    std::fprintf(stderr, "%s\ninput %s\n", difference.c_str(), quoted(bytes).c_str());
    std::abort();
  }
}

}  // namespace
}  // namespace penstock::differential

extern "C" {

size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  penstock::differential::run({reinterpret_cast<const char*>(data), size});
  return 0;
}

// Half of the changes know the structure; the others are libFuzzer's own, with its dictionary.
size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  if (seed % 2 == 0) return LLVMFuzzerMutate(data, size, max_size);
  const std::string result = penstock::differential::mutate(
      std::string(reinterpret_cast<const char*>(data), size), max_size, seed);
  std::copy(result.begin(), result.end(), data);
  return result.size();
}
}

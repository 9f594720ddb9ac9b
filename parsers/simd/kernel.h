#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "parsers/dogstatsd/message.h"

namespace penstock::simd {

// The hot half of the parser, built once for each instruction set from the same body
// (parsers/simd/body.h) and chosen when the process starts. All kernels give the same results on
// any bytes. No allocation, no exception; every view points into the input. Any thread.

enum class Variant : uint8_t { kScalar, kSse42, kAvx2, kAvx512 };
// "scalar", "sse42", "avx2", "avx512".
std::string_view variant_name(Variant variant);

// Bytes that must be readable past the end of what `split` gets, and past the end of the lines it
// gave when they are parsed. Their content does not matter.
inline constexpr size_t kPadding = 64;

struct Kernel {
  Variant variant;

  // The next lines of a packet of `size` bytes, from offset `at` on, which moves past them (spec
  // section 4 and steps 1 and 2 of 5.1). Empty lines are left out, save an
  // unterminated `\\r`, which is a line of size 0 (for who insists on line ends). Returns how many
  // of the `capacity` (at least 1) were written; 0 means that the packet is used up.
  size_t (*split)(const char* data, size_t size, size_t& at, dogstatsd::Line* out, size_t capacity);

  // One message that is split off already (and not empty).
  dogstatsd::Line (*line)(std::string_view message);

  // Steps 3 to 5 of spec 5.1, in that order of errors, for a metric line whose reason is kOk.
  // Numbers go to `scratch`, which must hold (value().size() + 1) / 2 of them.
  dogstatsd::Reason (*parse_metric)(const dogstatsd::Line& line, const dogstatsd::Options& options,
                                    std::span<double> scratch, dogstatsd::Metric& out);

  // Spec 5.3: the number or packed numbers of `value` (not for sets). kOk, kNoValues or kBadValue.
  // `out` must hold (value.size() + 1) / 2 numbers.
  dogstatsd::Reason (*parse_values)(std::string_view value, std::span<double> out, size_t& count);
};

// Those that this CPU can run, `scalar` first, the best last.
std::span<const Kernel* const> runnable();

// The runnable kernel of that name, or null.
const Kernel* named(std::string_view name);

// What the environment variable PENSTOCK_SIMD names, else the best. Decided at the first call.
const Kernel& active();

// Empty, or why PENSTOCK_SIMD cannot be followed and what to do. For the start of a process.
std::string environment_error();

// The builds. `scalar` runs anywhere; who calls another one has looked at `runnable`.
extern const Kernel kScalarKernel;
extern const Kernel kSse42Kernel;
extern const Kernel kAvx2Kernel;
extern const Kernel kAvx512Kernel;

}  // namespace penstock::simd

#include "dataplane/api/sketch.h"

#include <algorithm>
#include <cmath>
#include <compare>
#include <limits>

namespace penstock::sketch {
namespace {

constexpr double kGamma = 1.015625;                  // 1 + 2/128
constexpr double kLnGamma = 0.015504186535965254;    // log1p(1/64)
constexpr double kNormalMin = 9.94185408912145e-10;  // gamma^(1 - kBias)

}  // namespace

int16_t key_of(double value) {
  if (value < 0) return static_cast<int16_t>(-key_of(-value));
  if (!(value >= kNormalMin)) return 0;
  if (std::isinf(value)) return kKeyInfinity;
  const double key = std::nearbyint(std::log(value) / kLnGamma) + kBias;  // half to even
  if (key > kKeyMax) return kKeyInfinity;
  return key < 1 ? int16_t{1} : static_cast<int16_t>(key);
}

double value_of(int key) {
  if (key < 0) return -value_of(-key);
  if (key == 0) return 0;
  if (key >= kKeyInfinity) return std::numeric_limits<double>::infinity();
  return std::pow(kGamma, key - kBias);
}

size_t normalize(std::span<segment::Bin> bins) {
  uint64_t folded = 0;
  return normalize(bins, kBinsMax, folded);
}

size_t normalize(std::span<segment::Bin> bins, size_t max, uint64_t& folded) {
  if (bins.empty()) return 0;
  std::sort(bins.begin(), bins.end(),
            [](const segment::Bin& a, const segment::Bin& b) { return a.key < b.key; });
  size_t last = 0;
  for (size_t i = 1; i < bins.size(); ++i) {
    if (bins[i].key == bins[last].key) {
      bins[last].count += bins[i].count;
    } else {
      bins[++last] = bins[i];
    }
  }
  const size_t count = last + 1;
  if (count <= max) return count;
  const size_t surplus = count - max;
  folded += surplus;
  for (size_t i = 0; i < surplus; ++i) bins[surplus].count += bins[i].count;
  std::move(bins.begin() + static_cast<ptrdiff_t>(surplus),
            bins.begin() + static_cast<ptrdiff_t>(count), bins.begin());
  return max;
}

void normalize(std::vector<segment::WeightedValue>& values) {
  std::ranges::sort(values, [](const auto& a, const auto& b) {
    return std::is_lt(std::strong_order(a.value, b.value));
  });
  size_t n = 0;
  for (const segment::WeightedValue v : values) {
    if (n > 0 && std::is_eq(std::strong_order(values[n - 1].value, v.value))) {
      values[n - 1].weight += v.weight;
    } else {
      values[n++] = v;
    }
  }
  values.resize(n);
}

double least(double a, double b) { return b < a || (b == a && std::signbit(b)) ? b : a; }
double greatest(double a, double b) { return b > a || (b == a && std::signbit(a)) ? b : a; }

void merge(segment::Summary& into, const segment::Summary& from) {
  if (from.count == 0) return;
  if (into.count == 0) {
    into = from;
    return;
  }
  ExactSum sum = into.exact_sum();
  sum.add(from.exact_sum());
  ExactSum weighted = into.weighted_sum();
  weighted.add(from.weighted_sum());
  if (into.weighted || from.weighted) into.weighted = weighted;
  into.count += from.count;
  into.sum = sum.high;
  into.sum_low = sum.low;
  into.min = least(into.min, from.min);
  into.max = greatest(into.max, from.max);
  into.avg = weighted.over(into.count);
  into.samples += from.samples;
}

}  // namespace penstock::sketch

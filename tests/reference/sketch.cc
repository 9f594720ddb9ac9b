#include "tests/reference/sketch.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace penstock::reference {
namespace {

constexpr uint64_t kMaxCount = 4294967295;  // of one bin
constexpr size_t kBinLimit = 4096;
constexpr int kBias = 1338;
constexpr int kMaxKey = 32766;
constexpr int kInfinityKey = 32767;

using Bins = std::vector<std::pair<int, uint64_t>>;

// "A bin count above the maximum is split into several bins with equal key: remainder first, then
// full ones."
void append_split(Bins& bins, int key, uint64_t count) {
  if (count <= kMaxCount) {
    bins.emplace_back(key, count);
    return;
  }
  if (count % kMaxCount != 0) bins.emplace_back(key, count % kMaxCount);
  for (uint64_t i = 0; i < count / kMaxCount; ++i) bins.emplace_back(key, kMaxCount);
}

}  // namespace

int sketch_key(double value) {
  if (value < 0) return -sketch_key(-value);
  const double smallest_normal = std::pow(1.015625, 1 - kBias);
  if (value < smallest_normal) return 0;
  const double ln_gamma = std::log1p(1.0 / 64);
  // nearbyint rounds half to even in the default rounding mode.
  const double key = std::nearbyint(std::log(value) / ln_gamma) + kBias;
  if (key > kMaxKey) return kInfinityKey;
  return std::max(static_cast<int>(key), 1);
}

double rate_factor(double rate) {
  return rate > 0 && rate <= 1 && std::isfinite(1 / rate) ? 1 / rate : 1;
}

double weight_factor(double rate) {
  const bool usable = rate > 0 && rate <= 1;
  return usable ? std::min(1 / rate, static_cast<double>(kMaxCount)) : 1;
}

bool less(double a, double b) { return a < b || (a == b && std::signbit(a) && !std::signbit(b)); }

void Sketch::insert(double value, double rate) {
  const double n = weight_factor(rate);
  const auto weight = static_cast<uint64_t>(n);
  if (count_ == 0 || less(value, min_)) min_ = value;
  if (count_ == 0 || less(max_, value)) max_ = value;
  count_ += weight;
  sum_.add(n * value);
  weighted_.add_product(value, weight);
  bins_[sketch_key(value)] += weight;
}

double Sketch::avg() const { return weighted_.divided_by(count_); }

Bins Sketch::bins() const {
  Bins bins;
  for (const auto& [key, count] : bins_) append_split(bins, key, count);
  if (bins.size() <= kBinLimit) return bins;
  // "The lowest-key surplus bins are removed and their counts added to the lowest kept bin (with
  // the same overflow rule)."
  const size_t surplus = bins.size() - kBinLimit;
  const int lowest_kept = bins[surplus].first;
  uint64_t moved = 0;
  for (size_t i = 0; i < surplus; ++i) moved += bins[i].second;
  // The lowest kept bin, with those of the same key that a split made.
  size_t next = surplus;
  for (; next < bins.size() && bins[next].first == lowest_kept; ++next) moved += bins[next].second;
  Bins kept;
  append_split(kept, lowest_kept, moved);
  for (; next < bins.size(); ++next) kept.push_back(bins[next]);
  return kept;
}

}  // namespace penstock::reference

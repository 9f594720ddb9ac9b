// The distribution sketch of 8.6, and what a sample rate does to weights (8.7), as the
// specification writes them.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "tests/reference/exact_sum.h"

namespace penstock::reference {

// 8.6: the bin of a finite value.
int sketch_key(double value);

// 1/rate. A rate that is NaN, outside (0, 1] or without an inverse counts as 1 (architecture 12,
// and the differences from the Agent).
double rate_factor(double rate);

// The same for histograms and distributions, where a sample counts for at most 2^32-1 (differences
// from the Agent). Its weight is this without the fraction.
double weight_factor(double rate);

// -0 before 0, so that the order of arrival does not show.
bool less(double a, double b);

class Sketch {
 public:
  void insert(double value, double rate);

  uint64_t count() const { return count_; }
  double min() const { return min_; }
  double max() const { return max_; }
  double sum() const { return sum_.rounded(); }
  double avg() const;
  // (key, count), ascending by key: split and trimmed as 8.6 says.
  std::vector<std::pair<int, uint64_t>> bins() const;

 private:
  std::map<int, uint64_t> bins_;
  uint64_t count_ = 0;
  double min_ = 0;
  double max_ = 0;
  ExactSum sum_;       // of n * value, n = 1/rate with its fraction
  ExactSum weighted_;  // of int(n) * value: what the running mean of 8.6 comes to
};

}  // namespace penstock::reference

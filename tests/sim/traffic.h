#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>

namespace penstock {

// One generator for a whole simulation, so that a seed says all.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  uint64_t below(uint64_t n) { return engine_() % n; }
  bool chance(uint64_t percent) { return below(100) < percent; }
  template <class T, size_t N>
  const T& pick(const T (&of)[N]) {
    return of[below(N)];
  }

 private:
  std::mt19937_64 engine_;
};

// What clients send: every type, field and oddity of sections 5 and 6, in few contexts, so that
// they meet.
class Traffic {
 public:
  struct Options {
    uint64_t names = 8;
    bool gauge_of_each_shard = false;  // a gauge's name says which shard it goes to
    // Contexts of counters, gauges and histograms whose names begin with "e"; in `flood` most
    // others are new.
    bool flood = false;
  };
  Traffic(Random& random, const Options& options) : random_(random), options_(options) {}

  // One packet; `now_s` is what timestamps are around.
  std::string packet(size_t shard, int64_t now_s);
  // One line for each of the contexts that `flood` never pushes out.
  static std::string established();

 private:
  std::string line(size_t shard, int64_t now_s);
  std::string metric(size_t shard, int64_t now_s);
  std::string flooding(size_t shard);
  std::string name(std::string_view type, size_t shard);
  std::string values();
  std::string fields(int64_t now_s);
  std::string tags();
  std::string event(int64_t now_s);
  std::string check();

  Random& random_;
  const Options options_;
  uint64_t made_ = 0;
};

}  // namespace penstock

#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "dataplane/api/segment.h"

namespace penstock {

// One metric message, before it is text.
struct Message {
  segment::Kind kind = segment::Kind::kCounter;
  std::string name;
  std::string host;               // empty: none given
  std::vector<std::string> tags;  // as sent: any order, repeated
  std::vector<double> values;
  std::string member;  // of a set
  double rate = 1;
  int64_t timestamp = 0;

  [[nodiscard]] std::string text() const;
};

// What shards with bounds do, and which of them takes part when some are late: contexts that find
// no room, set members that find none, the zeros of each shard, expiry poll by poll. What samples
// come to is the reference aggregator's (tests/reference); here they are easy ones.
class BoundedShard {
 public:
  struct Limits {
    size_t contexts;
    size_t set_members;
    int64_t expiry_ms;
    int64_t counter_expiry_ms;
  };
  struct Context {
    segment::Kind kind;
    std::string name, host;
    std::set<std::string> tags;
    auto operator<=>(const Context&) const = default;
  };
  struct Cell {
    std::vector<std::pair<double, double>> values;  // finite, with 1/rate
    std::set<std::string> members;
    int64_t seen_ms = 0;
    int64_t value_ms = 0;  // of the last finite value
    uint32_t shard = 0;
  };
  struct Generation {
    std::map<Context, Cell> cells;
    std::vector<std::string> timestamped;
    size_t members = 0;
    uint64_t samples = 0;
  };

  BoundedShard(uint32_t index, const Limits& limits) : index_(index), limits_(limits) {}

  void add(const Message& m, int64_t now_ms);
  void poll(int64_t now_ms);

  // Keeper.
  void ask();
  [[nodiscard]] bool holds() const { return sealed_ != drained_; }
  [[nodiscard]] const Generation& held() const { return generations_[sealed_ % 2]; }
  [[nodiscard]] std::vector<Context> zeros(int64_t bucket_start_ms) const;
  void drain(int64_t bucket_end_ms) {
    if (holds()) bucket_end_ms_ = bucket_end_ms;
    drained_ = sealed_;
  }

 private:
  struct Known {
    int64_t last_seen_ms = 0;
    uint32_t born = 0;
  };
  [[nodiscard]] Generation& open() { return generations_[(sealed_ + 1) % 2]; }
  Context resolve(const Message& m);
  void clean_step(int64_t now_ms);
  void expire();

  const uint32_t index_;
  const Limits limits_;
  std::map<Context, Known> known_;     // bounded
  std::map<Context, Known> overflow_;  // one a kind
  Generation generations_[2];
  uint32_t want_ = 0, sealed_ = 0, drained_ = 0, cleaned_ = 0;
  int clean_steps_ = 0;
  int64_t clean_ms_ = 0;
  int64_t bucket_end_ms_ = 0;
};

// The rows of the Segment of these shards' sealed generations, as rows_of() writes them.
std::vector<std::string> bounded_rows(const std::vector<BoundedShard*>& shards,
                                      int64_t bucket_start);

}  // namespace penstock

#include "dataplane/core/bucket_clock.h"

#include <algorithm>

namespace penstock {

BucketClock::BucketClock(uint32_t interval_s, int64_t unix_ms, KeeperStats& stats)
    : interval_s_(interval_s), stats_(stats), last_ms_(unix_ms) {
  open(bucket_of(unix_ms));
}

std::optional<int64_t> BucketClock::poll(int64_t unix_ms) {
  const int64_t ahead = (bucket_of(unix_ms) - open_s_) / interval_s_;
  const bool jumped = bucket_of(unix_ms) - bucket_of(last_ms_) > interval_s_;
  if (unix_ms < last_ms_ || jumped) stats_.clock_steps.add(1);
  last_ms_ = unix_ms;

  if (ahead <= 0 && ahead > -kStepBackMax) return std::nullopt;
  const int64_t closed = open_s_;
  const bool follow = ahead > kCatchUpMax || ahead < 0;
  open(follow ? bucket_of(unix_ms) : open_s_ + interval_s_);
  return closed;
}

int64_t BucketClock::until_close_ms(int64_t unix_ms) const {
  return std::max<int64_t>(0, (open_s_ + interval_s_) * 1000 - unix_ms);
}

int64_t BucketClock::bucket_of(int64_t unix_ms) const {
  const int64_t interval_ms = interval_s_ * 1000;
  const int64_t floor = unix_ms / interval_ms - (unix_ms % interval_ms < 0 ? 1 : 0);
  return floor * interval_s_;
}

void BucketClock::open(int64_t start_s) {
  open_s_ = start_s;
  stats_.open_bucket.set(static_cast<uint64_t>(start_s));
}

}  // namespace penstock

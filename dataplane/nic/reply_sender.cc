#include "dataplane/nic/reply_sender.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>

#include "parsers/packet/reply.h"

namespace penstock {

ReplySender::ReplySender(const RxQueue& queue)
    : queue_(queue),
      reply_(std::max<size_t>(rte_pktmbuf_data_room_size(queue.pool) - RTE_PKTMBUF_HEADROOM,
                              packet::kReplyBytesMax)) {}

void ReplySender::answer(std::span<const uint8_t> frame, int64_t unix_ms, Tally& tally) {
  const size_t bytes = packet::make_reply(frame, queue_.us, reply_);
  if (bytes == 0) return;
  if (take_token(unix_ms) && send(bytes)) {
    ++tally.replies;
  } else {
    ++tally.replies_limited;
  }
}

void ReplySender::announce(int64_t unix_ms, Tally& tally) {
  const uint32_t link_ups = queue_.link_ups->load(std::memory_order_relaxed);
  if (link_ups != link_ups_seen_) announcements_left_ = kAnnouncements;
  link_ups_seen_ = link_ups;
  --announcements_left_;
  announced_ms_ = unix_ms;
  for (size_t i = 0; i < queue_.us.ipv4.size() + queue_.us.ipv6.size(); ++i) {
    const size_t bytes = packet::make_announcement(queue_.us, i, reply_);
    ++(send(bytes) ? tally.replies : tally.replies_limited);
  }
}

// A clock that steps back or far ahead costs or gives one full bucket at most.
bool ReplySender::take_token(int64_t unix_ms) {
  const int64_t passed = std::clamp<int64_t>(unix_ms - refilled_ms_, 0, 1000);
  refilled_ms_ = unix_ms;
  tokens_ = std::min(tokens_ + passed * kRepliesPerSecond, kRepliesBurst * 1000);
  if (tokens_ < 1000) return false;
  tokens_ -= 1000;
  return true;
}

bool ReplySender::send(size_t bytes) {
  rte_mbuf* mbuf = rte_pktmbuf_alloc(queue_.pool);
  if (mbuf == nullptr) return false;
  std::memcpy(rte_pktmbuf_append(mbuf, static_cast<uint16_t>(bytes)), reply_.data(), bytes);
  if (rte_eth_tx_burst(queue_.port_id, queue_.queue, &mbuf, 1) == 1) return true;
  rte_pktmbuf_free(mbuf);
  return false;
}

}  // namespace penstock

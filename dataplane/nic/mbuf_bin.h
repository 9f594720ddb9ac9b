#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstdint>

namespace penstock {

// The mbuf of a packet of ours. Packet::owner is an opaque word to everyone else.
inline rte_mbuf* mbuf_of(uint64_t owner) {
  return reinterpret_cast<rte_mbuf*>(owner);  // NOLINT(performance-no-int-to-ptr)
}

// Frees the mbufs of packets by the bulk: one visit to the pool's cache instead of one each.
class MbufBin {
 public:
  MbufBin() = default;
  ~MbufBin() { flush(); }
  MbufBin(const MbufBin&) = delete;
  MbufBin& operator=(const MbufBin&) = delete;
  void add(uint64_t owner) {
    mbufs_[count_++] = mbuf_of(owner);
    if (count_ == mbufs_.size()) flush();
  }

 private:
  void flush() {
    rte_pktmbuf_free_bulk(mbufs_.data(), count_);
    count_ = 0;
  }
  std::array<rte_mbuf*, 64> mbufs_;
  unsigned count_ = 0;
};

}  // namespace penstock

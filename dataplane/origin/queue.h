#pragma once

#include <atomic>
#include <bit>
#include <cassert>
#include <cstdint>
#include <vector>

namespace penstock::origin {

// A queue from one thread to another that is never full: whoever uses it knows why. For what is
// rare: it does not keep the two apart in the caches.
template <class T>
class Queue {
 public:
  // `slots` is a power of two. Allocates here and never again.
  explicit Queue(uint32_t slots) : items_(slots) { assert(std::has_single_bit(slots)); }

  // The producing thread.
  void push(const T& item) {
    const uint32_t head = head_.load(std::memory_order_relaxed);
    assert(head - tail_.load(std::memory_order_acquire) < items_.size());
    items_[head & (items_.size() - 1)] = item;
    head_.store(head + 1, std::memory_order_release);
  }

  // The consuming thread. False if there is nothing.
  bool pop(T& item) {
    if (empty()) return false;
    const uint32_t tail = tail_.load(std::memory_order_relaxed);
    item = items_[tail & (items_.size() - 1)];
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }

  // The consuming thread.
  [[nodiscard]] bool empty() const {
    return head_.load(std::memory_order_acquire) == tail_.load(std::memory_order_relaxed);
  }

 private:
  std::vector<T> items_;
  std::atomic<uint32_t> head_{0};  // producer writes
  std::atomic<uint32_t> tail_{0};  // consumer writes
};

}  // namespace penstock::origin

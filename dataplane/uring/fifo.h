#pragma once

#include <bit>
#include <cassert>
#include <cstddef>
#include <vector>

namespace penstock::uring {

// A queue of at most `most` elements, allocated at once.
template <class T>
class Fifo {
 public:
  explicit Fifo(size_t most) : slots_(std::bit_ceil(most + 1)) {}

  void push(const T& value) {
    assert(size() < slots_.size());
    slots_[back_++ & (slots_.size() - 1)] = value;
  }
  [[nodiscard]] T& front() { return slots_[front_ & (slots_.size() - 1)]; }
  void pop() { ++front_; }
  [[nodiscard]] bool empty() const { return front_ == back_; }
  [[nodiscard]] size_t size() const { return back_ - front_; }

 private:
  std::vector<T> slots_;
  size_t front_ = 0;  // free-running
  size_t back_ = 0;
};

}  // namespace penstock::uring

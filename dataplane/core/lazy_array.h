#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <type_traits>
#include <utility>

namespace penstock {

// A fixed array of zeroed PODs whose pages become resident when they are first touched, so that a
// generous limit costs nothing until it is used. Large pages where the kernel has them: what a
// shard looks up lies anywhere in its tables, in more small pages than a TLB holds. Dies when the
// address space is refused: that is start-up, and the message says how much was asked for.
template <class T>
class LazyArray {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  explicit LazyArray(size_t size) : size_(size) {
    if (size == 0) return;
    void* p = mmap(nullptr, size * sizeof(T), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
      std::fprintf(stderr, "penstock: cannot map %zu bytes for a shard; lower penstock.limits\n",
                   size * sizeof(T));
      std::abort();
    }
    madvise(p, size * sizeof(T), MADV_HUGEPAGE);  // refused: small pages do as well
    data_ = static_cast<T*>(p);
  }
  LazyArray(LazyArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  LazyArray& operator=(LazyArray&&) = delete;
  ~LazyArray() {
    if (data_ != nullptr) munmap(data_, size_ * sizeof(T));
  }

  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  [[nodiscard]] T* data() { return data_; }
  [[nodiscard]] const T* data() const { return data_; }
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] std::span<T> span() { return {data_, size_}; }

 private:
  T* data_ = nullptr;
  size_t size_;
};

}  // namespace penstock

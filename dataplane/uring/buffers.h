#pragma once

#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/base/status.h"

namespace penstock::uring {

// The provided buffers of the io thread: one block of memory, cut into equal buffers, and the ring
// in which the kernel finds the free ones. A buffer is the kernel's until a completion names it,
// then ours until `provide`.
class Buffers {
 public:
  static constexpr uint16_t kGroup = 0;  // the ring has one buffer group
  static constexpr uint32_t kCountMax = 32768;

  // `count`: a power of two up to kCountMax. The kernel writes at most `bytes` into each; another
  // kPacketPadding bytes after them are readable. All start out as the kernel's. `ring` outlives
  // the kernel's use of them: destroy it first.
  static absl::StatusOr<std::unique_ptr<Buffers>> create(io_uring* ring, uint32_t count,
                                                         size_t bytes);
  ~Buffers();
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;

  [[nodiscard]] const uint8_t* data(uint16_t id) const { return first_ + id * stride_; }
  [[nodiscard]] uint32_t count() const { return count_; }

  // The io thread. A completion named a buffer: it is ours until it comes home.
  void lend() { ++lent_; }
  // The io thread. Nobody uses it any more; the kernel has it after the next `provide_home`.
  void come_home(uint16_t id) { home_.push_back(id); }
  // The io thread. Gives those that came home back to the kernel, all at once.
  void provide_home();

  // The io thread. Buffers that are not the kernel's.
  [[nodiscard]] uint32_t lent() const { return lent_; }
  // The io thread. Those that are.
  [[nodiscard]] uint32_t left() const { return count_ - lent_; }

 private:
  Buffers() = default;
  void provide(std::span<const uint16_t> ids);

  void* memory_ = nullptr;  // the ring's entries, then the buffers
  size_t memory_bytes_ = 0;
  io_uring_buf_ring* entries_ = nullptr;
  uint8_t* first_ = nullptr;
  size_t stride_ = 0;
  uint32_t bytes_ = 0;  // what the kernel may write
  uint32_t count_ = 0;
  uint32_t lent_ = 0;
  std::vector<uint16_t> home_;
};

}  // namespace penstock::uring

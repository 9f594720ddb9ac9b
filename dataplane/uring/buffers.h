#pragma once

#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

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

  // The io thread. Gives these back to the kernel, all at once.
  void provide(std::span<const uint16_t> ids);

 private:
  Buffers() = default;

  void* memory_ = nullptr;  // the ring's entries, then the buffers
  size_t memory_bytes_ = 0;
  io_uring_buf_ring* entries_ = nullptr;
  uint8_t* first_ = nullptr;
  size_t stride_ = 0;
  uint32_t bytes_ = 0;  // what the kernel may write
  uint32_t count_ = 0;
};

}  // namespace penstock::uring

#pragma once

#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/base/status.h"

namespace penstock::uring {

// The provided buffers of the io thread: one block of memory, cut into equal buffers, and the ring
// in which the kernel finds the free ones. A buffer is the kernel's until a completion names it;
// then it is ours while somebody holds it (its shard, each forward target), and until the next
// `provide`. The io thread's, after `create`.
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

  // One more holds this buffer; the first takes it from the kernel.
  void hold(uint16_t id) {
    if (holders_[id]++ == 0) ++ours_;
  }
  // One holds it no more; after the last it is free.
  void release(uint16_t id) {
    if (--holders_[id] == 0) free_.push_back(id);
  }
  // Gives the free ones back to the kernel, all at once.
  void provide();

  // Buffers that are not the kernel's: held or free.
  [[nodiscard]] uint32_t ours() const { return ours_; }

 private:
  Buffers() = default;

  void* memory_ = nullptr;  // the ring's entries, then the buffers
  size_t memory_bytes_ = 0;
  io_uring_buf_ring* entries_ = nullptr;
  uint8_t* first_ = nullptr;
  size_t stride_ = 0;
  uint32_t bytes_ = 0;  // what the kernel may write
  uint32_t count_ = 0;
  uint32_t ours_ = 0;
  std::vector<uint32_t> holders_;  // by buffer
  std::vector<uint16_t> free_;
};

}  // namespace penstock::uring

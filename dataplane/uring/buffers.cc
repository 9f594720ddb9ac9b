#include "dataplane/uring/buffers.h"

#include <sys/mman.h>

#include <cerrno>
#include <numeric>

#include "dataplane/base/fd.h"
#include "dataplane/base/strings.h"
#include "dataplane/core/packet.h"

namespace penstock::uring {
namespace {

constexpr size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

constexpr size_t kLine = 64;
constexpr size_t kPage = 4096;

}  // namespace

absl::StatusOr<std::unique_ptr<Buffers>> Buffers::create(io_uring* ring, uint32_t count,
                                                         size_t bytes) {
  std::unique_ptr<Buffers> b(new Buffers);
  const size_t entries_bytes = round_up(count * sizeof(io_uring_buf), kPage);
  b->count_ = count;
  b->bytes_ = static_cast<uint32_t>(bytes);
  b->stride_ = round_up(bytes + kPacketPadding, kLine);
  b->memory_bytes_ = entries_bytes + count * b->stride_;
  // Populated now: the receive path takes no page faults.
  void* memory = ::mmap(nullptr, b->memory_bytes_, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) {
    return errno_status(errno, cat(count, " io buffers, ", b->memory_bytes_,
                                   " bytes together; lower penstock.limits.io_buffers or "
                                   "dogstatsd_buffer_size"));
  }
  b->memory_ = memory;
  b->entries_ = static_cast<io_uring_buf_ring*>(memory);
  b->first_ = static_cast<uint8_t*>(memory) + entries_bytes;

  io_uring_buf_reg reg{};
  reg.ring_addr = reinterpret_cast<uintptr_t>(memory);
  reg.ring_entries = count;
  reg.bgid = kGroup;
  if (const int rc = io_uring_register_buf_ring(ring, &reg, 0); rc < 0) {
    return errno_status(
        -rc, cat("registering ", count, " io buffers; raise the limit of locked ",
                 "memory (ulimit -l, LimitMEMLOCK=) or lower ", "penstock.limits.io_buffers"));
  }
  io_uring_buf_ring_init(b->entries_);
  std::vector<uint16_t> all(count);
  std::iota(all.begin(), all.end(), uint16_t{0});
  b->provide(all);
  b->home_.reserve(count);
  return b;
}

Buffers::~Buffers() {
  if (memory_ != nullptr) ::munmap(memory_, memory_bytes_);
}

void Buffers::provide_home() {
  if (home_.empty()) return;
  provide(home_);
  lent_ -= static_cast<uint32_t>(home_.size());
  home_.clear();
}

void Buffers::provide(std::span<const uint16_t> ids) {
  const int mask = io_uring_buf_ring_mask(count_);
  int offset = 0;
  for (const uint16_t id : ids) {
    io_uring_buf_ring_add(entries_, first_ + id * stride_, bytes_, id, mask, offset++);
  }
  io_uring_buf_ring_advance(entries_, offset);
}

}  // namespace penstock::uring

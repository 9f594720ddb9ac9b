#include "dataplane/uring/assemblies.h"

#include <sys/mman.h>

#include <cerrno>

#include "dataplane/base/fd.h"
#include "dataplane/base/strings.h"
#include "dataplane/core/packet.h"

namespace penstock::uring {

absl::StatusOr<std::unique_ptr<Assemblies>> Assemblies::create(uint32_t count, size_t bytes) {
  constexpr size_t kLine = 64;
  std::unique_ptr<Assemblies> a(new Assemblies);
  a->count_ = count;
  a->stride_ = (bytes + kPacketPadding + kLine - 1) / kLine * kLine;
  a->free_.reserve(count);
  for (uint32_t i = count; i-- != 0;) a->free_.push_back(i);
  if (count == 0) return a;
  void* memory = ::mmap(nullptr, count * a->stride_, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return errno_status(
        errno, cat(count, " buffers for frames and lines that are cut, ", count * a->stride_,
                   " bytes together; lower ", "penstock.listeners.uds_stream.connections, ",
                   "penstock.limits.io_buffers or dogstatsd_buffer_size"));
  }
  a->memory_ = static_cast<uint8_t*>(memory);
  return a;
}

Assemblies::~Assemblies() {
  if (memory_ != nullptr) ::munmap(memory_, count_ * stride_);
}

uint32_t Assemblies::take() {
  if (free_.empty()) return kNone;
  const uint32_t id = free_.back();
  free_.pop_back();
  return id;
}

}  // namespace penstock::uring

#include "tools/pktgen/memif_rings.h"

#include <fcntl.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <utility>

namespace penstock::pktgen {
namespace {

// A ring begins with these; descriptors follow, and then the next ring, all of one size, from the
// start of the memory.
constexpr uint32_t kCookie = 0x3E31F20;
constexpr size_t kHeadAt = 6;   // uint16_t, of who sends
constexpr size_t kTailAt = 64;  // uint16_t, of who receives
constexpr size_t kHeaderBytes = 128;
constexpr size_t kStep = 64;  // of the places where a ring can begin

// The memory that the driver made, by the name it gave it.
Fd region() {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", error)) {
    const std::string target = std::filesystem::read_symlink(entry.path(), error).string();
    if (target.starts_with("/memfd:memif_region_0"))
      return Fd(::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC));
  }
  return {};
}

bool begins_ring(std::span<const std::byte> memory, size_t at) {
  uint32_t cookie = 0;
  if (at + kHeaderBytes > memory.size()) return false;
  std::memcpy(&cookie, memory.data() + at, sizeof cookie);
  return cookie == kCookie;
}

uint16_t counter(const std::byte* at) {
  return reinterpret_cast<const std::atomic<uint16_t>*>(at)->load(std::memory_order_acquire);
}

}  // namespace

MemifRings MemifRings::of(std::string_view device) {
  MemifRings found;
  const bool client =
      device.find("role=server") == device.npos && device.find("role=master") == device.npos;
  if (!device.starts_with("net_memif") || !client) return found;
  const Fd fd = region();
  if (!fd.valid()) return found;
  absl::StatusOr<Mapping> memory = Mapping::map(fd.get(), false);
  if (!memory.ok()) return found;
  found.memory_ = *std::move(memory);
  const std::span<const std::byte> bytes = found.memory_.bytes();
  if (!begins_ring(bytes, 0)) return found;
  // There is one each way at least.
  size_t size = kStep;
  while (size < bytes.size() && !begins_ring(bytes, size)) size += kStep;
  for (size_t at = 0; begins_ring(bytes, at); at += size) {
    found.rings_.push_back(bytes.data() + at);
  }
  return found;
}

// Rings towards us stand still at 0, as nobody gives them buffers.
size_t MemifRings::waiting() const {
  size_t sum = 0;
  for (const std::byte* ring : rings_) {
    sum += static_cast<uint16_t>(counter(ring + kHeadAt) - counter(ring + kTailAt));
  }
  return sum;
}

}  // namespace penstock::pktgen

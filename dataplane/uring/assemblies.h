#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/base/status.h"

namespace penstock::uring {

// The memory in which packets of streams come together that were cut. The io thread's; a packet in
// one goes to a shard, and comes home from there like a receive buffer. The last one that came home
// is the next to be taken, so that only as many become resident as were in use at once.
class Assemblies {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  // `count` of `bytes` each, and kPacketPadding readable bytes after them.
  static absl::StatusOr<std::unique_ptr<Assemblies>> create(uint32_t count, size_t bytes);
  ~Assemblies();
  Assemblies(const Assemblies&) = delete;
  Assemblies& operator=(const Assemblies&) = delete;

  // kNone if all are taken.
  uint32_t take();
  void come_home(uint32_t id) { free_.push_back(id); }

  [[nodiscard]] uint8_t* data(uint32_t id) const { return memory_ + id * stride_; }
  [[nodiscard]] bool all_home() const { return free_.size() == count_; }

 private:
  Assemblies() = default;

  uint8_t* memory_ = nullptr;
  size_t stride_ = 0;
  size_t count_ = 0;
  std::vector<uint32_t> free_;
};

}  // namespace penstock::uring

#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/uring/assemblies.h"
#include "dataplane/uring/buffers.h"

namespace penstock::uring {

// What Packet::owner says on the way back: which memory is free again.
constexpr uint64_t kAssemblyOwner = uint64_t{1} << 32;
constexpr uint64_t owner_of_buffer(uint16_t id) { return uint64_t{id} + 1; }
constexpr uint64_t owner_of_assembly(uint32_t id) { return kAssemblyOwner | id; }

// The memory that packets lie in, receive buffers and assemblies. It comes home when its shard has
// returned it and no forward target waits with one of its packets, whichever is last. The io
// thread's.
class Loans {
 public:
  Loans(Buffers& buffers, Assemblies& assemblies, uint32_t assembly_count)
      : buffers_(buffers), assemblies_(assemblies), loans_(buffers.count() + assembly_count) {}

  // Names the memory of an owner, which is not 0.
  [[nodiscard]] uint32_t index_of(uint64_t owner) const {
    const auto id = static_cast<uint32_t>(owner);
    return (owner & kAssemblyOwner) != 0 ? buffers_.count() + id : id - 1;
  }

  // One target more waits with one packet of it, or one less.
  void hold(uint32_t index) { ++loans_[index].holds; }
  void release(uint32_t index) {
    Loan& loan = loans_[index];
    if (--loan.holds == 0 && loan.returned) come_home(index);
  }
  // Its shard is done with it.
  void returned(uint32_t index) {
    Loan& loan = loans_[index];
    loan.returned = true;
    if (loan.holds == 0) come_home(index);
  }

 private:
  struct Loan {
    uint32_t holds : 31;
    uint32_t returned : 1;
  };

  void come_home(uint32_t index) {
    loans_[index].returned = false;
    if (index < buffers_.count()) {
      buffers_.come_home(static_cast<uint16_t>(index));
    } else {
      assemblies_.come_home(index - buffers_.count());
    }
  }

  Buffers& buffers_;
  Assemblies& assemblies_;
  std::vector<Loan> loans_;
};

}  // namespace penstock::uring

#pragma once

#include <liburing.h>

#include <memory>
#include <string_view>

#include "dataplane/base/status.h"

namespace penstock::uring {

// Owns one io_uring, created disabled, so that whatever is wrong shows at start-up and on the
// starting thread; the io thread enables it and is its single issuer from then on.
class Ring {
 public:
  // `completions` bounds the completions that can be outstanding; `submissions` those of one pass.
  static absl::StatusOr<std::unique_ptr<Ring>> create(unsigned submissions, unsigned completions);
  ~Ring();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  // The io thread, once, before anything else.
  absl::Status enable();

  io_uring* get() { return &ring_; }

  // The io thread. The next free submission; when all are in use, those go to the kernel first.
  io_uring_sqe* sqe();

 private:
  Ring() = default;
  io_uring ring_{};
};

// OK if the kernel of this release ("6.1.0-28-amd64") has what the ring needs: 6.1 brought
// DEFER_TASKRUN. Otherwise FAILED_PRECONDITION, naming release and remedy.
absl::Status check_kernel(std::string_view release);

}  // namespace penstock::uring

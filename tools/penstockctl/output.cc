#include "tools/penstockctl/output.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace penstock {
namespace {

constexpr size_t kBlock = size_t{64} * 1024;

}  // namespace

bool Output::flush() {
  for (size_t at = 0; open_ && at < text_.size();) {
    const ssize_t n = ::write(STDOUT_FILENO, text_.data() + at, text_.size() - at);
    if (n >= 0) {
      at += static_cast<size_t>(n);
      continue;
    }
    if (errno == EINTR) continue;
    open_ = false;
    if (errno == EPIPE) break;
    std::fprintf(stderr, "penstockctl: cannot write: %s\n", std::strerror(errno));
    failed_ = true;
  }
  text_.clear();
  return open_;
}

bool Output::flush_if_full() { return text_.size() < kBlock ? open_ : flush(); }

}  // namespace penstock

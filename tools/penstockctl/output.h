#pragma once

#include <string>

namespace penstock {

// Standard output, in blocks. Who has read enough may close it: what comes then is dropped. The
// process ignores SIGPIPE.
class Output {
 public:
  // What is written next; append to it.
  std::string& text() { return text_; }

  // Both return false when nobody reads any more, or when it cannot be written, which is told on
  // standard error (then `failed`).
  bool flush();
  bool flush_if_full();

  [[nodiscard]] bool failed() const { return failed_; }

 private:
  std::string text_;
  bool open_ = true;
  bool failed_ = false;
};

}  // namespace penstock

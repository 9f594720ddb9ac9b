#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "controlplane/event_loop.h"
#include "controlplane/exporters/exporter.h"
#include "dataplane/api/agent.h"
#include "dataplane/api/segment.h"
#include "dataplane/base/strings.h"

namespace penstock {

// A directory of its own for a test, removed afterwards.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = "/tmp/penstock-test-XXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Runs the loop until `done`, for at most ten seconds; says whether it came.
inline bool run_until(EventLoop& loop, const std::function<bool()>& done) {
  const int64_t until_ms = monotonic_ms() + 10000;
  bool came = false;
  std::function<void()> look = [&] {
    came = done();
    if (came || monotonic_ms() > until_ms) return loop.stop();
    loop.after(2, look);
  };
  loop.after(0, look);
  loop.run();
  return came;
}

// A sealed memfd with a Segment of `rows` counters, each with value 1.
inline Fd make_segment(uint64_t instance, uint64_t sequence, uint64_t rows) {
  segment::Writer writer({instance, sequence, 1000, 10, rows});
  for (uint64_t i = 0; i < rows; ++i) {
    const std::string name = cat("m", i);
    writer.counter({name, "", {}}, 1);
  }
  const std::vector<std::byte> bytes = writer.finish(rows);
  absl::StatusOr<Fd> fd = make_memfd("test-segment", bytes.size());
  EXPECT_TRUE(fd.ok());
  EXPECT_EQ(::write(fd->get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  return *std::move(fd);
}

}  // namespace penstock

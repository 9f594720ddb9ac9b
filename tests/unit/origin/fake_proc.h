#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace penstock::origin {

// A folder with files where the proc file system has them; removed at the end.
class FakeProc {
 public:
  FakeProc() {
    std::string path = "/tmp/penstock-proc-XXXXXX";
    EXPECT_NE(::mkdtemp(path.data()), nullptr);
    root_ = path;
  }
  ~FakeProc() { std::filesystem::remove_all(root_); }
  FakeProc(const FakeProc&) = delete;
  FakeProc& operator=(const FakeProc&) = delete;

  void write(uint32_t pid, const std::string& name, const std::string& text) const {
    const std::filesystem::path folder = root_ / std::to_string(pid);
    std::filesystem::create_directories(folder);
    std::ofstream(folder / name) << text;
  }
  // A process of a container, or of none.
  void put(uint32_t pid, const std::string& container) const {
    write(pid, "cgroup", container.empty() ? "0::/init.scope\n" : "0::/docker/" + container + "\n");
  }
  void end(uint32_t pid) const { std::filesystem::remove_all(root_ / std::to_string(pid)); }

  [[nodiscard]] std::string root() const { return root_; }

 private:
  std::filesystem::path root_;
};

// Ids of containers that differ in `digit`.
inline std::string container(char digit) { return std::string(64, digit); }

}  // namespace penstock::origin

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "controlplane/exporters/json_lines_file.h"
#include "dataplane/base/strings.h"
#include "exporters_support.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream s;
  s << in.rdbuf();
  return s.str();
}

void append(const std::string& path, std::string_view text) {
  std::ofstream(path, std::ios::binary | std::ios::app) << text;
}

TestSegment segment_of(double value, int rows = 1) {
  return TestSegment([&](segment::Writer& w) {
    for (int i = 0; i < rows; ++i) w.gauge({"m", "", {}}, value, 0, 0);
  });
}

std::string line_of(double value) {
  return cat(R"({"ts":1700000000,"type":"gauge","metric":"m","host":"","tags":[],"interval":10,)",
             "\"value\":", value, "}\n");
}

class JsonLinesFileTest : public testing::Test {
 protected:
  JsonLinesFileTest() {
    std::string name = testing::TempDir() + "/penstock-jsonl-XXXXXX";
    dir_ = mkdtemp(name.data());
    path_ = dir_ + "/points.jsonl";
  }
  ~JsonLinesFileTest() override { fs::remove_all(dir_); }

  static absl::Status send(JsonLinesFile& e, double value) {
    RETURN_IF_ERROR(e.prepare());
    return e.deliver(segment_of(value).reader());
  }
  static std::string message(const absl::Status& s) { return std::string(to_std(s.message())); }

  std::string dir_, path_;
};

TEST_F(JsonLinesFileTest, AppendsSegments) {
  append(path_, "before\n");
  JsonLinesFile e(path_, {});
  EXPECT_EQ(e.cursor(), "");
  ASSERT_EQ(send(e, 1), absl::OkStatus());
  ASSERT_EQ(send(e, 2), absl::OkStatus());
  EXPECT_EQ(read(path_), "before\n" + line_of(1) + line_of(2));
  struct stat info;
  stat(path_.c_str(), &info);
  EXPECT_EQ(e.cursor(), cat(info.st_ino, ":", info.st_size));
}

// What was written after the last saved cursor was not acknowledged, so its Segment comes again.
TEST_F(JsonLinesFileTest, CutsBackToTheCursorAfterAKill) {
  std::string saved;
  for (const std::string_view tail : {"{\"ts\":17", "whole line\n", ""}) {
    fs::remove(path_);
    {
      JsonLinesFile e(path_, {});
      ASSERT_EQ(send(e, 1), absl::OkStatus());
      saved = e.cursor();
    }
    append(path_, tail);
    JsonLinesFile e(path_, {});
    ASSERT_EQ(e.restore(saved), absl::OkStatus());
    EXPECT_EQ(e.cursor(), saved);
    ASSERT_EQ(e.prepare(), absl::OkStatus());
    EXPECT_EQ(e.cursor(), saved);
    ASSERT_EQ(send(e, 2), absl::OkStatus());
    EXPECT_EQ(read(path_), line_of(1) + line_of(2)) << tail;
  }
}

TEST_F(JsonLinesFileTest, KeepsAnotherFileAtThePath) {
  JsonLinesFile first(path_, {});
  ASSERT_EQ(send(first, 1), absl::OkStatus());
  const std::string saved = first.cursor();
  fs::rename(path_, path_ + ".1");
  append(path_, "somebody's, and longer than one line of ours" + line_of(1) + line_of(1));
  const std::string before = read(path_);
  JsonLinesFile e(path_, {});
  ASSERT_EQ(e.restore(saved), absl::OkStatus());
  ASSERT_EQ(send(e, 2), absl::OkStatus());
  EXPECT_EQ(read(path_), before + line_of(2));
}

TEST_F(JsonLinesFileTest, AppendsWhenTheFileIsShorterThanTheCursor) {
  std::string saved;
  {
    JsonLinesFile e(path_, {});
    ASSERT_EQ(send(e, 1), absl::OkStatus());
    saved = e.cursor();
  }
  fs::resize_file(path_, 0);
  JsonLinesFile e(path_, {});
  ASSERT_EQ(e.restore(saved), absl::OkStatus());
  ASSERT_EQ(send(e, 2), absl::OkStatus());
  EXPECT_EQ(read(path_), line_of(2));
}

TEST_F(JsonLinesFileTest, EndsALineSomebodyLeftOpen) {
  append(path_, "{\"half");
  JsonLinesFile e(path_, {});
  ASSERT_EQ(send(e, 1), absl::OkStatus());
  ASSERT_EQ(send(e, 2), absl::OkStatus());
  EXPECT_EQ(read(path_), "{\"half\n" + line_of(1) + line_of(2));
}

TEST_F(JsonLinesFileTest, FollowsARotation) {
  JsonLinesFile e(path_, {});
  ASSERT_EQ(send(e, 1), absl::OkStatus());
  const std::string old = e.cursor();
  fs::rename(path_, path_ + ".1");
  ASSERT_EQ(e.prepare(), absl::OkStatus());
  EXPECT_NE(e.cursor(), old);  // to be saved before the next Segment
  EXPECT_THAT(e.cursor(), testing::EndsWith(":0"));
  ASSERT_EQ(send(e, 2), absl::OkStatus());
  EXPECT_EQ(read(path_ + ".1"), line_of(1));
  EXPECT_EQ(read(path_), line_of(2));
}

TEST_F(JsonLinesFileTest, GoesOnAfterCopyTruncate) {
  JsonLinesFile e(path_, {});
  ASSERT_EQ(send(e, 1), absl::OkStatus());
  fs::resize_file(path_, 0);
  ASSERT_EQ(send(e, 2), absl::OkStatus());
  EXPECT_EQ(read(path_), line_of(2));
}

TEST_F(JsonLinesFileTest, WritesALongSegmentInPieces) {
  const TestSegment segment = segment_of(3, 30000);
  JsonLinesFile e(path_, {});
  ASSERT_EQ(e.prepare(), absl::OkStatus());
  ASSERT_EQ(e.deliver(segment.reader()), absl::OkStatus());
  EXPECT_EQ(fs::file_size(path_), line_of(3).size() * 30000);
}

TEST_F(JsonLinesFileTest, CountsWhatJsonCannotSay) {
  JsonLinesFile e(path_, {});
  ASSERT_EQ(send(e, std::numeric_limits<double>::infinity()), absl::OkStatus());
  EXPECT_EQ(read(path_), "");
  EXPECT_EQ(e.dropped_points(), 1u);
}

TEST_F(JsonLinesFileTest, NamesAMissingDirectoryAndTheRemedy) {
  JsonLinesFile e(dir_ + "/no/such/points.jsonl", {});
  const auto status = send(e, 1);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(message(status), HasSubstr(cat("mkdir -p ", dir_, "/no/such")));
  EXPECT_THAT(message(status), HasSubstr("penstock.exporters.jsonl.path"));
  // And it recovers by itself.
  fs::create_directories(dir_ + "/no/such");
  EXPECT_EQ(send(e, 1), absl::OkStatus());
}

TEST_F(JsonLinesFileTest, RefusesWhatIsNoRegularFile) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  JsonLinesFile e(path_, {});
  EXPECT_THAT(message(send(e, 1)), HasSubstr("is not a regular file"));
}

TEST_F(JsonLinesFileTest, RefusesAFileAnotherWriterHas) {
  JsonLinesFile first(path_, {});
  ASSERT_EQ(first.prepare(), absl::OkStatus());
  JsonLinesFile second(path_, {});
  EXPECT_THAT(message(send(second, 1)), HasSubstr("another process writes to it"));
}

TEST_F(JsonLinesFileTest, RefusesABrokenCursor) {
  for (const std::string_view cursor :
       {"x", "1", "1:", ":1", "1:2:3", "-1:2", "1:99999999999999999999"}) {
    JsonLinesFile e(path_, {});
    EXPECT_FALSE(e.restore(cursor).ok()) << cursor;
    EXPECT_EQ(send(e, 1), absl::OkStatus());
  }
}

// A small file system over a directory, for as long as the object lives.
class SmallDisk {
 public:
  explicit SmallDisk(const std::string& dir) : dir_(dir) {
    mounted_ = mount("none", dir.c_str(), "tmpfs", 0, "size=256k") == 0;
  }
  ~SmallDisk() {
    if (mounted_) umount2(dir_.c_str(), MNT_DETACH);
  }
  [[nodiscard]] bool mounted() const { return mounted_; }

 private:
  std::string dir_;
  bool mounted_;
};

TEST_F(JsonLinesFileTest, RollsBackWhenTheDiskIsFullAndGoesOnLater) {
  const SmallDisk disk(dir_);
  if (!disk.mounted()) GTEST_SKIP() << "mounting a tmpfs needs CAP_SYS_ADMIN";
  JsonLinesFile e(path_, {});
  ASSERT_EQ(send(e, 1), absl::OkStatus());
  const std::string cursor = e.cursor();
  std::ofstream(dir_ + "/ballast") << std::string(200 << 10, 'x');
  const TestSegment large = segment_of(2, 1000);
  const auto status = e.deliver(large.reader());
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(message(status), HasSubstr("no space left"));
  EXPECT_EQ(e.cursor(), cursor);
  EXPECT_EQ(read(path_), line_of(1));
  fs::remove(dir_ + "/ballast");
  ASSERT_EQ(e.prepare(), absl::OkStatus());
  ASSERT_EQ(e.deliver(large.reader()), absl::OkStatus());
  EXPECT_EQ(fs::file_size(path_), line_of(1).size() * 1001);
}

}  // namespace
}  // namespace penstock

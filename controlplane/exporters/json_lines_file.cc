#include "controlplane/exporters/json_lines_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <functional>
#include <utility>

#include "controlplane/exporters/json_lines.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

constexpr size_t kChunkBytes = 1 << 20;

// Hands over the encoder's text whenever there is a good deal of it.
class Chunked : public PointSink {
 public:
  explicit Chunked(std::function<absl::Status(std::string_view)> write)
      : write_(std::move(write)), encoder_(text_) {
    text_.reserve(kChunkBytes + (kChunkBytes >> 2));
  }

  void series(const SeriesPoint& p) override {
    encode([&] { encoder_.series(p); });
  }
  void sketch(const SketchPoint& p) override {
    encode([&] { encoder_.sketch(p); });
  }
  void event(const segment::Event& e) override {
    encode([&] { encoder_.event(e); });
  }
  void service_check(const segment::ServiceCheck& c) override {
    encode([&] { encoder_.service_check(c); });
  }

  absl::Status finish() {
    flush();
    return status_;
  }
  [[nodiscard]] uint64_t not_finite() const { return encoder_.not_finite(); }

 private:
  // After an error nothing more is encoded: the Segment failed as a whole.
  template <class F>
  void encode(const F& f) {
    if (!status_.ok()) return;
    f();
    if (text_.size() >= kChunkBytes) flush();
  }

  void flush() {
    if (status_.ok()) status_ = write_(text_);
    text_.clear();
  }

  std::function<absl::Status(std::string_view)> write_;
  std::string text_;
  JsonLinesEncoder encoder_;
  absl::Status status_;
};

std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
}

}  // namespace

JsonLinesFile::JsonLinesFile(std::string path, HistogramConfig histograms)
    : path_(std::move(path)), histograms_(std::move(histograms)) {}

absl::Status JsonLinesFile::failed(int error, std::string_view what) const {
  const std::string where = cat(path_, ": ", what);
  if (error == ENOSPC || error == EDQUOT) {
    return absl::ResourceExhaustedError(
        cat(where,
            ": no space left; free some, or set penstock.exporters.jsonl.path to another "
            "file system"));
  }
  return errno_status(error, where);
}

absl::Status JsonLinesFile::not_regular() const {
  return absl::FailedPreconditionError(
      cat(path_, ": is not a regular file; set penstock.exporters.jsonl.path to one"));
}

bool JsonLinesFile::still_at_path() const {
  struct stat open_file, at_path;
  return fd_.valid() && fstat(fd_.get(), &open_file) == 0 && stat(path_.c_str(), &at_path) == 0 &&
         open_file.st_ino == at_path.st_ino && open_file.st_dev == at_path.st_dev;
}

absl::Status JsonLinesFile::prepare() {
  if (still_at_path()) return absl::OkStatus();
  absl::Status status = open();
  if (!status.ok()) fd_.reset();
  return status;
}

absl::Status JsonLinesFile::open() {
  Fd fd(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644));
  if (!fd.valid()) {
    const int error = errno;
    const std::string parent = parent_of(path_);
    if (error == ENOENT && access(parent.c_str(), F_OK) != 0) {
      return absl::NotFoundError(cat(path_, ": the directory ", parent,
                                     " does not exist; create it (mkdir -p ", parent,
                                     ") or change penstock.exporters.jsonl.path"));
    }
    if (error == EISDIR) return not_regular();
    return failed(error, "open");
  }
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return failed(errno, "fstat");
  if (!S_ISREG(info.st_mode)) return not_regular();
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        cat(path_,
            ": another process writes to it; stop that one, or set penstock.exporters.jsonl.path "
            "to another file"));
  }
  fd_ = std::move(fd);
  cursor_ = {info.st_ino, static_cast<uint64_t>(info.st_size)};
  if (restored_ && restored_->inode == cursor_.inode && restored_->offset < cursor_.offset) {
    RETURN_IF_ERROR(cut_to(restored_->offset));
  }
  restored_.reset();
  char last = '\n';
  if (cursor_.offset > 0 &&
      pread(fd_.get(), &last, 1, static_cast<off_t>(cursor_.offset - 1)) != 1) {
    return failed(errno, "read");
  }
  mid_line_ = last != '\n';
  return absl::OkStatus();
}

absl::Status JsonLinesFile::cut_to(uint64_t offset) {
  if (ftruncate(fd_.get(), static_cast<off_t>(offset)) != 0) {
    const int error = errno;
    return failed(error, cat("cut back to ", offset, " bytes"));
  }
  cursor_.offset = offset;
  return absl::OkStatus();
}

absl::Status JsonLinesFile::write(std::string_view bytes, uint64_t offset) const {
  while (!bytes.empty()) {
    const ssize_t n = pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return failed(n < 0 ? errno : EIO, "write");
    bytes.remove_prefix(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return absl::OkStatus();
}

absl::Status JsonLinesFile::deliver(const segment::Reader& segment) {
  if (!fd_.valid()) RETURN_IF_ERROR(prepare());
  struct stat info;
  if (fstat(fd_.get(), &info) != 0) return failed(errno, "fstat");
  // Cut by somebody else (logrotate's copytruncate), or longer by a Segment that failed.
  const auto size = static_cast<uint64_t>(info.st_size);
  if (size < cursor_.offset) cursor_.offset = size;
  if (size > cursor_.offset) RETURN_IF_ERROR(cut_to(cursor_.offset));

  uint64_t end = cursor_.offset;
  const auto append = [&](std::string_view bytes) {
    RETURN_IF_ERROR(write(bytes, end));
    end += bytes.size();
    return absl::OkStatus();
  };
  Chunked chunks(append);
  uint64_t filtered = 0;
  absl::Status status = mid_line_ ? append("\n") : absl::OkStatus();
  if (status.ok()) {
    filtered = for_each_point(segment, histograms_, chunks);
    status = chunks.finish();
  }
  if (status.ok() && fdatasync(fd_.get()) != 0) status = failed(errno, "fdatasync");
  if (!status.ok()) {
    // Should this fail, the next deliver does it.
    cut_to(cursor_.offset).IgnoreError();
    return status;
  }
  cursor_.offset = end;
  mid_line_ = false;
  filtered_ += filtered;
  dropped_.fetch_add(chunks.not_finite(), std::memory_order_relaxed);
  return absl::OkStatus();
}

std::string JsonLinesFile::cursor() const {
  if (fd_.valid()) return cat(cursor_.inode, ":", cursor_.offset);
  return restored_ ? cat(restored_->inode, ":", restored_->offset) : std::string();
}

absl::Status JsonLinesFile::restore(std::string_view cursor) {
  if (cursor.empty()) return absl::OkStatus();
  Cursor c{};
  const char* end = cursor.data() + cursor.size();
  const auto inode = std::from_chars(cursor.data(), end, c.inode);
  if (inode.ec == std::errc() && inode.ptr != end && *inode.ptr == ':') {
    const auto offset = std::from_chars(inode.ptr + 1, end, c.offset);
    if (offset.ec == std::errc() && offset.ptr == end) {
      restored_ = c;
      return absl::OkStatus();
    }
  }
  return absl::InvalidArgumentError(cat("cursor \"", cursor,
                                        "\" is not inode:offset; a Segment that was being ",
                                        "delivered may be in ", path_, " twice"));
}

}  // namespace penstock

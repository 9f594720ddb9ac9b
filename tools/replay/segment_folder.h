#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "dataplane/api/segment.h"
#include "dataplane/base/status.h"

namespace penstock::replay {

// Writes Segments into a folder, as BUCKET_START-SEQUENCE.segment. Names sort by time, and by
// sequence where late Segments share a bucket.
class SegmentFolder {
 public:
  explicit SegmentFolder(std::string path) : path_(std::move(path)) {}

  // Makes the folder, or fails unless it is there and empty: Segments of two runs do not mix.
  absl::Status prepare();
  // Does nothing after an error.
  void add(const segment::Meta& meta, std::span<const std::byte> bytes);
  // The first error.
  [[nodiscard]] const absl::Status& status() const { return status_; }

 private:
  [[nodiscard]] absl::Status write(const std::string& file, std::span<const std::byte> bytes) const;

  const std::string path_;
  absl::Status status_;
};

}  // namespace penstock::replay

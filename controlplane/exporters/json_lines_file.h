#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "controlplane/exporters/exporter.h"
#include "controlplane/exporters/points.h"
#include "dataplane/base/fd.h"

namespace penstock {

// Appends points to a file as JSON lines: the exporter `jsonl`.
//
// A Segment is in the file as a whole or not at all: what a failed or killed `deliver` wrote is cut
// off again, back to the cursor ("inode:offset"), before anything else is written. Success means
// that the lines are on the disk (fdatasync). When the file at the path is another one (rotation)
// or gone, `prepare` goes on in that one or a new one. The file is locked against a second writer
// (flock); readers may follow it, and see whole Segments if they stop at the cursor.
//
// Thread: the owner's; `dropped_points` any.
class JsonLinesFile : public Exporter {
 public:
  JsonLinesFile(std::string path, HistogramConfig histograms);

  [[nodiscard]] std::string_view name() const override { return "jsonl"; }
  absl::Status prepare() override;
  absl::Status deliver(const segment::Reader& segment) override;
  [[nodiscard]] std::string cursor() const override;
  absl::Status restore(std::string_view cursor) override;

  // Points with a value that is infinite or NaN.
  [[nodiscard]] uint64_t dropped_points() const override {
    return dropped_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] uint64_t filtered_points() const override { return filtered_; }

 private:
  struct Cursor {
    uint64_t inode;
    uint64_t offset;
  };

  absl::Status open();
  absl::Status cut_to(uint64_t offset);
  absl::Status write(std::string_view bytes, uint64_t offset) const;
  [[nodiscard]] absl::Status failed(int error, std::string_view what) const;
  [[nodiscard]] absl::Status not_regular() const;
  [[nodiscard]] bool still_at_path() const;

  const std::string path_;
  const HistogramConfig histograms_;
  Fd fd_;
  Cursor cursor_{};                 // of the open file
  std::optional<Cursor> restored_;  // until the file is open
  bool mid_line_ = false;           // the file's last line lacks its end
  std::atomic<uint64_t> dropped_ = 0;
  uint64_t filtered_ = 0;
};

}  // namespace penstock

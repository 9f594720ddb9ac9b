#include "dataplane/keeper/outbox.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace penstock {
namespace {

absl::StatusOr<Fd> sealed_copy(std::span<const std::byte> bytes) {
  ASSIGN_OR_RETURN(Fd fd, make_memfd("penstock-segment", bytes.size()));
  {
    ASSIGN_OR_RETURN(Mapping mapping, Mapping::map(fd.get(), /*writable=*/true));
    std::memcpy(mapping.bytes().data(), bytes.data(), bytes.size());
  }
  RETURN_IF_ERROR(seal_memfd(fd.get()));
  return fd;
}

}  // namespace

absl::Status Outbox::add(HeldSegment segment, std::span<const std::byte> bytes) {
  absl::StatusOr<Fd> memfd = sealed_copy(bytes);
  if (!memfd.ok()) {
    give_up(segment);
    return memfd.status();
  }
  segment.memfd = *std::move(memfd);
  segment.bytes = bytes.size();
  bytes_ += segment.bytes;
  held_.push_back(std::move(segment));
  while (held_.size() > limits_.segments_held ||
         (bytes_ > limits_.segment_bytes_held && held_.size() > 1)) {
    give_up(held_.front());
    bytes_ -= held_.front().bytes;
    held_.pop_front();
  }
  return absl::OkStatus();
}

absl::Status Outbox::add_beside(HeldSegment segment, std::span<const std::byte> bytes) {
  const uint64_t room = limits_.segment_bytes_held - std::min(limits_.segment_bytes_held, bytes_);
  if (!held_.empty() && (held_.size() >= limits_.segments_held || bytes.size() > room)) {
    give_up(segment);
    return absl::ResourceExhaustedError("no room beside those held for penstockd");
  }
  return add(std::move(segment), bytes);
}

void Outbox::acknowledge(uint64_t sequence) {
  const auto it = std::find_if(held_.begin(), held_.end(),
                               [&](const HeldSegment& s) { return s.sequence == sequence; });
  if (it == held_.end()) return;
  bytes_ -= it->bytes;
  held_.erase(it);
  stats_.segments_acknowledged.add(1);
}

void Outbox::give_up(const HeldSegment& segment) {
  stats_.segments_given_up.add(1);
  stats_.points_given_up.add(segment.points);
  stats_.samples_given_up.add(segment.samples);
}

}  // namespace penstock

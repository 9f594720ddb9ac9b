#include "dataplane/api/column_buffer.h"

namespace penstock::segment {
namespace {

uint8_t width_of(uint64_t range) {
  return range == 0           ? 0
         : range > UINT32_MAX ? 8
         : range > UINT16_MAX ? 4
         : range > UINT8_MAX  ? 2
                              : 1;
}

template <class T>
void load(const std::byte* bytes, uint64_t base, size_t count, uint64_t* words) {
  for (size_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, bytes + i * sizeof(T), sizeof(T));
    words[i] = base + value;
  }
}

}  // namespace

ColumnBuffer::Range ColumnBuffer::range(bool is_signed) const {
  // Signed order is unsigned order with the top bit turned over.
  const uint64_t turn = is_signed ? uint64_t{1} << 63 : 0;
  Range range{UINT64_MAX, 0};
  const auto take = [&](const uint64_t* words, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      range.min = std::min(range.min, words[i] ^ turn);
      range.max = std::max(range.max, words[i] ^ turn);
    }
  };
  Words words;
  for (const Chunk& chunk : chunks_) {
    unpack(chunk, words);
    take(words.data(), kChunk);
  }
  if (open_size_ != 0) take(open_->data(), open_size_);
  return {range.min ^ turn, range.max ^ turn};
}

void ColumnBuffer::unpack(const Chunk& chunk, Words& words) {
  const std::byte* bytes = chunk.bytes.get();
  switch (chunk.width) {
    case 0:
      return words.fill(chunk.base);
    case 1:
      return load<uint8_t>(bytes, chunk.base, kChunk, words.data());
    case 2:
      return load<uint16_t>(bytes, chunk.base, kChunk, words.data());
    case 4:
      return load<uint32_t>(bytes, chunk.base, kChunk, words.data());
    default:
      return load<uint64_t>(bytes, chunk.base, kChunk, words.data());
  }
}

void ColumnBuffer::pack() {
  const auto [min, max] = std::ranges::minmax(*open_);
  Chunk chunk{min, width_of(max - min), nullptr};
  if (chunk.width != 0) {
    chunk.bytes = std::make_unique_for_overwrite<std::byte[]>(chunk.width * kChunk);
    std::byte* out = chunk.bytes.get();
    switch (chunk.width) {
      case 1:
        store<uint8_t>(open_->data(), kChunk, static_cast<uint8_t>(min), out);
        break;
      case 2:
        store<uint16_t>(open_->data(), kChunk, static_cast<uint16_t>(min), out);
        break;
      case 4:
        store<uint32_t>(open_->data(), kChunk, static_cast<uint32_t>(min), out);
        break;
      default:
        store<uint64_t>(open_->data(), kChunk, min, out);
    }
  }
  chunks_.push_back(std::move(chunk));
  open_size_ = 0;
}

}  // namespace penstock::segment

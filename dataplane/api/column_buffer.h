#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

namespace penstock::segment {

// One column of a Segment while it is written: words in the order they come, packed a chunk at a
// time to the bytes that their range needs, so that a column takes about the memory that it takes
// in the Segment, and growing copies nothing. One thread.
class ColumnBuffer {
 public:
  void push(uint64_t word) {
    if (open_ == nullptr) open_ = std::make_unique<Words>();
    (*open_)[open_size_++] = word;
    if (open_size_ == kChunk) pack();
  }
  [[nodiscard]] uint64_t size() const { return chunks_.size() * kChunk + open_size_; }

  // Least and greatest word; of a column that is not empty. `is_signed`: as int64_t.
  struct Range {
    uint64_t min, max;
  };
  [[nodiscard]] Range range(bool is_signed) const;

  // Writes each word less `base` as a T.
  template <class T>
  void store(uint64_t base, std::byte* out) const {
    Words words;
    for (const Chunk& chunk : chunks_) {
      unpack(chunk, words);
      out = store(words.data(), kChunk, T(base), out);
    }
    if (open_size_ != 0) store(open_->data(), open_size_, T(base), out);
  }

 private:
  static constexpr size_t kChunk = 1024;
  using Words = std::array<uint64_t, kChunk>;
  struct Chunk {
    uint64_t base;
    uint8_t width;  // bytes a word; 0: all are `base`
    std::unique_ptr<std::byte[]> bytes;
  };

  template <class T>
  static std::byte* store(const uint64_t* words, size_t count, T base, std::byte* out) {
    for (size_t i = 0; i < count; ++i, out += sizeof(T)) {
      const T value = static_cast<T>(static_cast<T>(words[i]) - base);
      std::memcpy(out, &value, sizeof(T));
    }
    return out;
  }
  static void unpack(const Chunk& chunk, Words& words);
  void pack();

  std::vector<Chunk> chunks_;
  std::unique_ptr<Words> open_;
  size_t open_size_ = 0;
};

}  // namespace penstock::segment

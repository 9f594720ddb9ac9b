#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/api/segment.h"

namespace penstock {

// The canonical key of a context: (name, host, sorted unique tags), each with its length in front
// (LEB128), so that equal contexts have equal bytes and no others do:
//   len name | len host | tag count | (len tag)*
inline constexpr size_t kVarintMax = 5;

inline char* put_varint(char* out, uint32_t n) {
  while (n >= 0x80) {
    *out++ = static_cast<char>(n | 0x80);
    n >>= 7;
  }
  *out++ = static_cast<char>(n);
  return out;
}

inline char* put_string(char* out, std::string_view s) {
  out = put_varint(out, static_cast<uint32_t>(s.size()));
  std::memcpy(out, s.data(), s.size());
  return out + s.size();
}

// Writes the key and returns its size. `out` holds the texts and kVarintMax for each of them and
// for the number of tags.
inline size_t encode_key(std::string_view name, std::string_view host,
                         std::span<const std::string_view> tags, char* out) {
  char* p = put_string(out, name);
  p = put_string(p, host);
  p = put_varint(p, static_cast<uint32_t>(tags.size()));
  for (const std::string_view tag : tags) p = put_string(p, tag);
  return static_cast<size_t>(p - out);
}

// The key of the context whose name has `prefix` in front, everything else being equal. `out` holds
// key.size() + prefix.size() + kVarintMax.
inline size_t prefixed_key(std::string_view key, std::string_view prefix, char* out) {
  const char* p = key.data();
  uint32_t name_size = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<uint8_t>(*p++);
    name_size |= uint32_t{byte & 0x7fu} << shift;
    if (byte < 0x80) break;
  }
  char* end = put_varint(out, name_size + static_cast<uint32_t>(prefix.size()));
  std::memcpy(end, prefix.data(), prefix.size());
  end += prefix.size();
  const auto rest = static_cast<size_t>(key.data() + key.size() - p);
  std::memcpy(end, p, rest);
  return static_cast<size_t>(end + rest - out);
}

// Reads keys back as views; one after the other, each valid until the next.
class KeyReader {
 public:
  segment::Context read(std::string_view key) {
    const char* p = key.data();
    const std::string_view name = string(p);
    const std::string_view host = string(p);
    tags_.resize(varint(p));
    for (std::string_view& tag : tags_) tag = string(p);
    return {name, host, tags_};
  }

 private:
  static uint32_t varint(const char*& p) {
    uint32_t n = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<uint8_t>(*p++);
      n |= uint32_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return n;
    }
  }
  static std::string_view string(const char*& p) {
    const uint32_t size = varint(p);
    const std::string_view s(p, size);
    p += size;
    return s;
  }
  std::vector<std::string_view> tags_;
};

}  // namespace penstock

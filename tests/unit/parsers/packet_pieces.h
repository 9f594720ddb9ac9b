#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tests/unit/parsers/packet_builder.h"

namespace penstock::testing {

// The fragment of the untagged IPv4 or IPv6 `frame` that carries `bytes` of its payload from
// `offset` on. Neither has to make sense.
inline Bytes piece(const Bytes& frame, size_t offset, size_t bytes, bool more, uint16_t id = 7) {
  constexpr size_t kL3 = 14;
  const auto set16 = [](Bytes& out, size_t at, size_t value) {
    out.at(at) = static_cast<uint8_t>(value >> 8);
    out.at(at + 1) = static_cast<uint8_t>(value);
  };
  const bool v4 = frame.at(12) == 0x08;
  const size_t header = v4 ? (frame.at(kL3) & 15U) * 4U : 40;
  const size_t end = std::min(frame.size(), kL3 + header + offset + bytes);
  const size_t begin = std::min(end, kL3 + header + offset);
  Bytes out(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(kL3 + header));
  Bytes body(frame.begin() + static_cast<std::ptrdiff_t>(begin),
             frame.begin() + static_cast<std::ptrdiff_t>(end));
  body.resize(bytes, 0x55);
  if (v4) {
    set16(out, kL3 + 2, header + bytes);
    set16(out, kL3 + 4, id);
    set16(out, kL3 + 6, offset / 8 | (more ? 0x2000U : 0U));
    set16(out, kL3 + 10, 0);
    const Bytes l3(out.begin() + kL3, out.end());
    set16(out, kL3 + 10, Pkt::checksum(l3));
  } else {
    set16(out, kL3 + 4, 8 + bytes);
    const uint8_t next = out.at(kL3 + 6);
    out.at(kL3 + 6) = 44;
    Pkt::append(out, {next, 0, 0, 0, 0, 0, 0, 0});
    set16(out, kL3 + header + 2, offset | (more ? 1U : 0U));
    set16(out, kL3 + header + 6, id);
  }
  Pkt::append(out, body);
  return out;
}

// All of `frame`, in pieces of `bytes`, a multiple of 8, and the rest.
inline std::vector<Bytes> pieces(const Bytes& frame, size_t bytes, uint16_t id = 7) {
  const size_t header = frame.at(12) == 0x08 ? (frame.at(14) & 15U) * 4U : 40;
  const size_t payload = frame.size() - 14 - header;
  std::vector<Bytes> out;
  for (size_t at = 0; at < payload; at += bytes) {
    out.push_back(piece(frame, at, std::min(bytes, payload - at), payload - at > bytes, id));
  }
  return out;
}

}  // namespace penstock::testing

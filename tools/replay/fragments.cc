#include "tools/replay/fragments.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace penstock::replay {
namespace {

constexpr size_t kEthernet = 14;
constexpr size_t kIpv4 = 20;
constexpr size_t kIpv6 = 40;
constexpr size_t kDatagramMax = 65535;
constexpr size_t kPieceBytes = 128;  // of a tree's node and two heads of heap blocks
constexpr size_t kWaitingBytes = 512;

void store_be16(uint8_t* out, size_t value) {
  out[0] = static_cast<uint8_t>(value >> 8);
  out[1] = static_cast<uint8_t>(value);
}

// Ethernet and IP headers without tags, options and extensions: what the pieces say of the whole.
std::vector<uint8_t> header_of(std::span<const uint8_t> frame, const packet::Decoded& piece) {
  const bool v6 = piece.ip_version == 6;
  const auto ip = frame.subspan(piece.l3_offset, v6 ? kIpv6 : kIpv4);
  std::vector<uint8_t> header(kEthernet + ip.size());
  store_be16(&header[kEthernet - 2], v6 ? 0x86dd : 0x0800);
  uint8_t* out = &header[kEthernet];
  std::ranges::copy(ip, out);
  if (v6) {
    out[6] = piece.protocol;
  } else {
    out[0] = 0x45;
    store_be16(&out[6], 0);
  }
  return header;
}

// Addresses and identification (RFC 791, RFC 8200 section 4.5; the protocol is UDP).
std::string key_of(std::span<const uint8_t> frame, const packet::Decoded& piece) {
  const bool v6 = piece.ip_version == 6;
  const size_t address = v6 ? 16 : 4;
  std::string key;
  key.append(reinterpret_cast<const char*>(piece.src_ip), address);
  key.append(reinterpret_cast<const char*>(piece.dst_ip), address);
  const auto id =
      v6 ? frame.subspan(piece.l4_offset - 4, 4) : frame.subspan(piece.l3_offset + 4, 2);
  key.append(reinterpret_cast<const char*>(id.data()), id.size());
  return key;
}

}  // namespace

std::span<const uint8_t> Fragments::add(std::span<const uint8_t> frame,
                                        const packet::Decoded& piece, int64_t time_ms,
                                        uint32_t& frames) {
  const Key key = key_of(frame, piece);
  auto found = waiting_.find(key);
  if (found == waiting_.end()) {
    while (cost_ >= bytes_max_) give_up(waiting_.find(by_age_.front()));
    const auto age = by_age_.insert(by_age_.end(), key);
    found = waiting_.emplace(key, Datagram{time_ms, age, header_of(frame, piece)}).first;
    charge(found->second, kWaitingBytes);
  }
  Datagram& datagram = found->second;
  ++datagram.frames;
  if (!put(datagram, frame.subspan(piece.l4_offset, piece.l4_len), piece)) {
    give_up(found);
    return {};
  }
  if (datagram.size == 0 || datagram.held != datagram.size) return {};
  joined_ = std::move(datagram.header);
  for (const auto& [offset, bytes] : datagram.pieces)
    joined_.insert(joined_.end(), bytes.begin(), bytes.end());
  uint8_t* ip = &joined_[kEthernet];
  store_be16(piece.ip_version == 6 ? &ip[4] : &ip[2],
             piece.ip_version == 6 ? datagram.size : datagram.size + kIpv4);
  frames = datagram.frames;
  remove(found);
  return joined_;
}

// False: it does not fit to those before it.
bool Fragments::put(Datagram& datagram, std::span<const uint8_t> bytes,
                    const packet::Decoded& piece) {
  const size_t begin = piece.fragment_offset();
  const size_t end = begin + bytes.size();
  const size_t max = piece.ip_version == 6 ? kDatagramMax : kDatagramMax - kIpv4;
  if (bytes.empty() || end > max) return false;
  if (piece.more_fragments()) {
    if (bytes.size() % 8 != 0 || (datagram.size != 0 && end > datagram.size)) return false;
  } else {
    if (datagram.size != 0 && datagram.size != end) return false;
    if (!datagram.pieces.empty()) {
      const auto& [offset, last] = *datagram.pieces.rbegin();
      if (offset + last.size() > end) return false;
    }
    datagram.size = end;
  }
  const auto after = datagram.pieces.lower_bound(begin);
  if (after != datagram.pieces.end() && after->first == begin)
    return after->second.size() == bytes.size();
  if (after != datagram.pieces.end() && after->first < end) return false;
  if (after != datagram.pieces.begin()) {
    const auto& [offset, before] = *std::prev(after);
    if (offset + before.size() > begin) return false;
  }
  datagram.pieces.emplace_hint(after, begin, std::vector<uint8_t>(bytes.begin(), bytes.end()));
  datagram.held += bytes.size();
  charge(datagram, kPieceBytes + bytes.size());
  return true;
}

void Fragments::charge(Datagram& datagram, size_t bytes) {
  datagram.cost += bytes;
  cost_ += bytes;
}

void Fragments::expire(int64_t time_ms) {
  while (!by_age_.empty()) {
    const auto oldest = waiting_.find(by_age_.front());
    if (time_ms - oldest->second.born_ms < kLifetimeMs) return;
    give_up(oldest);
  }
}

void Fragments::give_up() {
  while (!waiting_.empty()) give_up(waiting_.begin());
}

void Fragments::give_up(Waiting::iterator datagram) {
  given_up_ += datagram->second.frames;
  remove(datagram);
}

void Fragments::remove(Waiting::iterator datagram) {
  cost_ -= datagram->second.cost;
  by_age_.erase(datagram->second.age);
  waiting_.erase(datagram);
}

uint32_t Fragments::take_given_up() { return std::exchange(given_up_, 0); }

}  // namespace penstock::replay

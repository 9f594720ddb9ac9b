#pragma once

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::testing {

using Bytes = std::vector<uint8_t>;

inline Bytes mac(std::string_view text) {
  Bytes out;
  for (size_t at = 0; at + 2 <= text.size(); at += 3) {
    out.push_back(
        static_cast<uint8_t>(std::strtoul(std::string(text.substr(at, 2)).c_str(), nullptr, 16)));
  }
  return out;
}

inline Bytes ip(const std::string& text) {
  const bool v6 = text.find(':') != std::string::npos;
  Bytes out(v6 ? 16 : 4);
  if (inet_pton(v6 ? AF_INET6 : AF_INET, text.c_str(), out.data()) != 1) std::abort();
  return out;
}

template <size_t kSize>
std::array<uint8_t, kSize> to_array(const Bytes& bytes) {
  std::array<uint8_t, kSize> out{};
  for (size_t i = 0; i < kSize; ++i) out[i] = bytes.at(i);
  return out;
}

// Builds one Ethernet frame, layer by layer, every length and checksum right:
//   Pkt().eth(a, b).vlan(5).ip4("10.0.0.2", "10.0.0.1").udp(40000, 8125).text("a:1|c").build()
// Addresses and ports are (source, destination). The words after a layer break it: those that
// change a field of a header do so before its checksum is computed, so that exactly one thing is
// wrong; `bad_*_sum`, `poke`, `truncate` and `pad` work on the finished frame.
class Pkt {
 public:
  Pkt& eth(std::string_view src, std::string_view dst) {
    src_mac_ = mac(src);
    dst_mac_ = mac(dst);
    return *this;
  }
  Pkt& vlan(uint16_t id, uint16_t tpid = 0x8100) {
    put16(tags_, tpid);
    put16(tags_, id);
    return *this;
  }
  Pkt& ether_type(uint16_t type) {
    ether_type_ = type;
    return *this;
  }

  Pkt& ip4(const std::string& src, const std::string& dst) { return set_ip(0x0800, src, dst); }
  Pkt& ip6(const std::string& src, const std::string& dst) { return set_ip(0x86dd, src, dst); }
  Pkt& options(const Bytes& bytes) {  // IPv4; a multiple of 4 bytes
    options_ = bytes;
    return *this;
  }
  // IPv6: an extension header. `body` follows the next-header and length bytes; 6 + 8n bytes.
  Pkt& ext(uint8_t type, const Bytes& body = Bytes(6), int length = -1) {
    next_headers_.push_back(type);
    Bytes bytes = {0, static_cast<uint8_t>(length >= 0 ? length : (body.size() + 2) / 8 - 1)};
    append(bytes, body);
    extensions_.push_back(bytes);
    return *this;
  }
  Pkt& hop_limit(uint8_t value) {
    hop_limit_ = value;
    return *this;
  }
  Pkt& protocol(uint8_t value) {
    protocol_ = value;
    return *this;
  }

  Pkt& udp(uint16_t src, uint16_t dst) {
    protocol_ = 17;
    checksum_at_ = 6;
    l4_.clear();
    for (const uint16_t value : {src, dst, uint16_t{0}, uint16_t{0}}) put16(l4_, value);
    return *this;
  }
  Pkt& icmp(uint8_t type, uint8_t code, const Bytes& body) {
    protocol_ = is_ip6() ? 58 : 1;
    checksum_at_ = 2;
    l4_ = {type, code, 0, 0};
    append(l4_, body);
    return *this;
  }
  // A neighbour solicitation; `options` are whole options.
  Pkt& solicit(const std::string& target, const Bytes& options = {}) {
    Bytes body(4);
    append(body, ip(target));
    append(body, options);
    return hop_limit(255).icmp(135, 0, body);
  }
  Pkt& arp(uint16_t operation, std::string_view sha, const std::string& spa, std::string_view tha,
           const std::string& tpa) {
    ether_type_ = 0x0806;
    l3_ = {0, 1, 8, 0, 6, 4};
    put16(l3_, operation);
    append(l3_, mac(sha));
    append(l3_, ip(spa));
    append(l3_, mac(tha));
    append(l3_, ip(tpa));
    return *this;
  }
  Pkt& text(std::string_view payload) {
    l4_.insert(l4_.end(), payload.begin(), payload.end());
    return *this;
  }

  Pkt& ip_version(uint8_t value) { return keep(ip_version_, value); }
  Pkt& ihl(uint8_t words) { return keep(ihl_, words); }
  Pkt& ip_length(uint16_t bytes) { return keep(ip_length_, bytes); }  // total (4) or payload (6)
  Pkt& fragment(uint16_t offset_8_bytes, bool more) {                 // IPv4
    return keep(fragment_, static_cast<uint16_t>(offset_8_bytes | (more ? 0x2000 : 0)));
  }
  Pkt& dont_fragment() { return keep(fragment_, uint16_t{0x4000}); }
  Pkt& udp_length(uint16_t bytes) { return keep(udp_length_, bytes); }
  Pkt& no_udp_sum() {
    no_l4_sum_ = true;
    return *this;
  }

  Pkt& bad_ip_sum() {
    bad_ip_sum_ = true;
    return *this;
  }
  Pkt& bad_l4_sum() {
    bad_l4_sum_ = true;
    return *this;
  }
  Pkt& poke(size_t offset, uint8_t value) {
    pokes_.push_back({offset, value});
    return *this;
  }
  Pkt& truncate(size_t bytes) { return keep(truncate_, bytes); }
  Pkt& pad(size_t bytes) {  // after the IP packet, 0xee
    pad_ = bytes;
    return *this;
  }

  [[nodiscard]] Bytes build() const {
    Bytes frame = dst_mac_;
    append(frame, src_mac_);
    append(frame, tags_);
    put16(frame, ether_type_);
    if (src_ip_.empty()) {
      append(frame, l3_);
    } else {
      add_ip(frame);
    }
    frame.insert(frame.end(), pad_, 0xee);
    for (const auto& [offset, value] : pokes_) frame.at(offset) = value;
    if (truncate_) frame.resize(*truncate_);
    return frame;
  }

  // One's-complement sum the slow way, so that it checks the one under test.
  static uint16_t checksum(const Bytes& bytes) {
    uint32_t sum = 0;
    for (size_t i = 0; i < bytes.size(); ++i) {
      sum += static_cast<uint32_t>(bytes[i]) << (i % 2 == 0 ? 8 : 0);
      sum = (sum & 0xffff) + (sum >> 16);
    }
    return static_cast<uint16_t>(~sum);
  }
  static void append(Bytes& to, const Bytes& from) {
    for (const uint8_t byte : from) to.push_back(byte);  // insert: a false warning of g++ 12
  }
  static void put16(Bytes& to, uint16_t value) {
    to.push_back(static_cast<uint8_t>(value >> 8));
    to.push_back(static_cast<uint8_t>(value));
  }

 private:
  template <class T, class V>
  Pkt& keep(std::optional<T>& field, V value) {
    field = value;
    return *this;
  }
  Pkt& set_ip(uint16_t type, const std::string& src, const std::string& dst) {
    ether_type_ = type;
    src_ip_ = ip(src);
    dst_ip_ = ip(dst);
    return *this;
  }
  [[nodiscard]] bool is_ip6() const { return src_ip_.size() == 16; }
  static void set16(Bytes& bytes, size_t at, uint16_t value) {
    bytes.at(at) = static_cast<uint8_t>(value >> 8);
    bytes.at(at + 1) = static_cast<uint8_t>(value);
  }

  [[nodiscard]] Bytes finished_l4() const {
    Bytes l4 = l4_;
    const bool udp = checksum_at_ == 6 && protocol_ == 17;
    if (udp) set16(l4, 4, udp_length_.value_or(static_cast<uint16_t>(l4.size())));
    if (checksum_at_ == 0 || no_l4_sum_) return l4;
    Bytes covered;
    if (udp || is_ip6()) {
      covered = src_ip_;
      append(covered, dst_ip_);
      put16(covered, protocol_);
      put16(covered, static_cast<uint16_t>(udp && udp_length_ ? *udp_length_ : l4.size()));
    }
    Bytes body = l4;
    if (udp && udp_length_ && *udp_length_ < body.size()) body.resize(*udp_length_);
    append(covered, body);
    uint16_t sum = checksum(covered);
    if (udp && sum == 0) sum = 0xffff;
    set16(l4, checksum_at_, bad_l4_sum_ ? static_cast<uint16_t>(sum ^ 0x0100) : sum);
    return l4;
  }

  void add_ip(Bytes& frame) const {
    const Bytes l4 = finished_l4();
    append(frame, is_ip6() ? ip6_header(l4.size()) : ip4_header(l4.size()));
    append(frame, l4);
  }
  [[nodiscard]] Bytes ip4_header(size_t l4_bytes) const {
    Bytes header(20 + options_.size());
    std::copy(options_.begin(), options_.end(), header.begin() + 20);
    header[0] = static_cast<uint8_t>(ip_version_.value_or(4) << 4 |
                                     ihl_.value_or(static_cast<uint8_t>(header.size() / 4)));
    set16(header, 2, ip_length_.value_or(static_cast<uint16_t>(header.size() + l4_bytes)));
    set16(header, 6, fragment_.value_or(0));
    header[8] = hop_limit_;
    header[9] = protocol_;
    std::copy(src_ip_.begin(), src_ip_.end(), header.begin() + 12);
    std::copy(dst_ip_.begin(), dst_ip_.end(), header.begin() + 16);
    set16(header, 10, static_cast<uint16_t>(checksum(header) ^ (bad_ip_sum_ ? 0x0100 : 0)));
    return header;
  }
  [[nodiscard]] Bytes ip6_header(size_t l4_bytes) const {
    Bytes extensions;
    for (size_t i = 0; i < extensions_.size(); ++i) {
      const size_t at = extensions.size();
      append(extensions, extensions_[i]);
      extensions[at] = i + 1 < next_headers_.size() ? next_headers_[i + 1] : protocol_;
    }
    Bytes header(8);
    header[0] = static_cast<uint8_t>(ip_version_.value_or(6) << 4);
    set16(header, 4, ip_length_.value_or(static_cast<uint16_t>(extensions.size() + l4_bytes)));
    header[6] = next_headers_.empty() ? protocol_ : next_headers_[0];
    header[7] = hop_limit_;
    append(header, src_ip_);
    append(header, dst_ip_);
    append(header, extensions);
    return header;
  }

  struct Poke {
    size_t offset;
    uint8_t value;
  };
  Bytes src_mac_ = mac("02:00:00:00:00:0a"), dst_mac_ = mac("02:00:00:00:00:01");
  Bytes tags_, l3_, src_ip_, dst_ip_, options_, l4_;
  std::vector<Bytes> extensions_;
  std::vector<uint8_t> next_headers_;
  std::vector<Poke> pokes_;
  size_t checksum_at_ = 0, pad_ = 0;
  std::optional<size_t> truncate_;
  std::optional<uint16_t> ip_length_, fragment_, udp_length_;
  uint16_t ether_type_ = 0x0800;
  std::optional<uint8_t> ip_version_, ihl_;
  uint8_t protocol_ = 59, hop_limit_ = 64;
  bool no_l4_sum_ = false, bad_ip_sum_ = false, bad_l4_sum_ = false;
};

}  // namespace penstock::testing

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "parsers/packet/decode.h"
#include "parsers/packet/reply.h"

// One Ethernet frame, decoded and answered. The first byte chooses which checksums are trusted and
// whether the frame's MAC and target addresses are made ours, so that replies are reached.
namespace penstock::packet {
namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void check_decoded(std::span<const uint8_t> frame, Verdict verdict, const Decoded& d) {
  require(verdict < Verdict::kCount);
  const uint8_t* end = frame.data() + frame.size();
  require((d.src_ip == nullptr) == (d.ip_version == 0));
  if (d.ip_version != 0) {
    const size_t bytes = d.ip_version == 4 ? 4 : 16;
    require(d.src_ip > frame.data() && d.dst_ip == d.src_ip + bytes && d.dst_ip + bytes <= end);
  }
  const bool has_l4 =
      verdict == Verdict::kUdp || verdict == Verdict::kNdp || verdict == Verdict::kIcmpEcho;
  if (has_l4) {
    require(d.l3_offset >= 14 && d.l4_offset > d.l3_offset && d.l4_len >= 8);
    require(static_cast<size_t>(d.l4_offset) + d.l4_len <= frame.size());
  }
  if (verdict == Verdict::kUdp) {
    require(d.payload == frame.data() + d.l4_offset + 8 && d.payload + d.payload_len <= end);
  } else {
    require(d.payload == nullptr && d.payload_len == 0);
  }
}

// Everything in the frame that may be an address of ours is one.
Responder pose_as_target(std::span<const uint8_t> frame, const Decoded& d,
                         std::array<std::array<uint8_t, 4>, 2>& v4,
                         std::array<std::array<uint8_t, 16>, 2>& v6) {
  Responder us{{2, 0, 0, 0, 0, 1}, v4, v6};
  if (frame.size() >= 6) std::copy_n(frame.begin(), 6, us.mac.begin());
  if ((us.mac[0] & 1) != 0) us.mac = {2, 0, 0, 0, 0, 1};
  if (d.ip_version == 4) std::copy_n(d.dst_ip, 4, v4[0].begin());
  if (d.ip_version == 6) std::copy_n(d.dst_ip, 16, v6[0].begin());
  const size_t arp_target = d.l3_offset + 24U;
  if (arp_target + 4 <= frame.size()) std::copy_n(&frame[arp_target], 4, v4[1].begin());
  const size_t ndp_target = d.l4_offset + 8U;
  if (ndp_target + 16 <= frame.size()) std::copy_n(&frame[ndp_target], 16, v6[1].begin());
  return us;
}

void check_reply(std::span<const uint8_t> frame, const Responder& us) {
  const size_t room = std::max(frame.size(), kReplyBytesMax);
  const auto out = std::make_unique<uint8_t[]>(room);
  const size_t size = make_reply(frame, us, {out.get(), room});
  if (size == 0) return;
  require(size >= kReplyBytesMin && size <= room);
  require(std::equal(us.mac.begin(), us.mac.end(), out.get() + 6));

  // Valid as far as our own decoder sees, not a request again, and the same with no room to spare.
  Decoded d;
  const Verdict verdict = decode({out.get(), size}, ChecksumCheck{}, d);
  require(verdict == Verdict::kArp || verdict == Verdict::kNdp || verdict == Verdict::kNotOurs);
  const auto tight = std::make_unique<uint8_t[]>(size);
  require(make_reply({out.get(), size}, us, {tight.get(), size}) == 0);
  require(make_reply(frame, us, {tight.get(), size}) == size);
  require(std::equal(tight.get(), tight.get() + size, out.get()));
  require(make_reply(frame, us, {tight.get(), size - 1}) == 0);
}

void check_frame(std::span<const uint8_t> frame, uint8_t choice) {
  const ChecksumCheck check = {.ip = (choice & 1) != 0 ? Check::kTrust : Check::kVerify,
                               .l4 = (choice & 2) != 0 ? Check::kTrust : Check::kVerify};
  Decoded decoded;
  const Verdict verdict = decode(frame, check, decoded);
  check_decoded(frame, verdict, decoded);

  // Trust only ever accepts more.
  Decoded trusting;
  const Verdict trusted =
      decode(frame, ChecksumCheck{.ip = Check::kTrust, .l4 = Check::kTrust}, trusting);
  require(trusted != Verdict::kMalformedChecksum);
  require(verdict == trusted || verdict == Verdict::kMalformedChecksum);

  std::array<std::array<uint8_t, 4>, 2> v4 = {{{10, 0, 0, 1}, {10, 0, 0, 1}}};
  std::array<std::array<uint8_t, 16>, 2> v6 = {};
  v6[0] = v6[1] = {0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  Responder us{{2, 0, 0, 0, 0, 1}, v4, v6};
  if ((choice & 4) != 0) us = pose_as_target(frame, trusting, v4, v6);
  check_reply(frame, us);
}

}  // namespace
}  // namespace penstock::packet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  // In a heap block of exactly the frame's size, so that a read past its end is seen.
  const auto frame = std::make_unique<uint8_t[]>(size - 1);
  std::copy_n(data + 1, size - 1, frame.get());
  penstock::packet::check_frame({frame.get(), size - 1}, data[0]);
  return 0;
}

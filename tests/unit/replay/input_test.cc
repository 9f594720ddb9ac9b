#include "tools/replay/input.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <zstd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "dataplane/base/strings.h"
#include "tests/unit/parsers/packet_pieces.h"
#include "tools/pktgen/output.h"
#include "tools/replay/fragments.h"

namespace penstock::replay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Taken {
  std::vector<std::string> records;  // "ms source packet [container]", or "! error", or "- verdict"
  absl::Status status;
};

Taken drain(Input& input) {
  static constexpr const char* kSources[] = {"udp", "uds", "uds-stream", "pipe"};
  Taken taken;
  Record r;
  for (;;) {
    const auto more = input.next(r);
    taken.status = more.status();
    if (!more.ok() || !*more) return taken;
    if (!r.error.empty()) {
      taken.records.push_back(cat("! ", r.error, r.timed ? cat(" at ", r.time_ms) : ""));
    } else if (r.verdict != packet::Verdict::kUdp) {
      taken.records.push_back(cat("- ", static_cast<int>(r.verdict)));
    } else {
      taken.records.push_back(cat(r.time_ms, " ", kSources[static_cast<size_t>(r.source)], " ",
                                  r.packet, r.container.empty() ? "" : cat(" ", r.container)));
    }
  }
}

// A file of these bytes, gone at the end.
class TempFile {
 public:
  explicit TempFile(std::string_view bytes = "") {
    const int fd = ::mkstemp(path_.data());
    EXPECT_EQ(::write(fd, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    ::close(fd);
  }
  ~TempFile() { std::remove(path_.c_str()); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_ = ::testing::TempDir() + "replay-XXXXXX";
};

Taken read_bytes(std::string_view bytes, const std::vector<uint16_t>& ports = {8125}) {
  const TempFile file(bytes);
  const auto input = open_input(file.path(), ports);
  if (!input.ok()) return {{}, input.status()};
  return drain(**input);
}

TEST(Time, KeepsItsPlaceAmongSeconds) {
  EXPECT_EQ(to_ms(5, 0), 5000);
  EXPECT_EQ(to_ms(5, 1), 5001);
  EXPECT_EQ(to_ms(5, 999'999), 5001);
  EXPECT_EQ(to_ms(5, 2'500'000), 5002);
  EXPECT_EQ(to_ms(5, 999'999'999), 5999);
}

struct JsonCase {
  const char* name;
  std::string line;
  std::string record;
};
void PrintTo(const JsonCase& c, std::ostream* out) { *out << c.name; }
class JsonLine : public ::testing::TestWithParam<JsonCase> {};

TEST_P(JsonLine, IsReadOrNamed) {
  const Taken taken = read_bytes(GetParam().line + "\n");
  ASSERT_EQ(taken.records.size(), 1u);
  EXPECT_THAT(taken.records[0], ::testing::StartsWith(GetParam().record));
}

INSTANTIATE_TEST_SUITE_P(
    Table, JsonLine,
    ::testing::Values(
        JsonCase{"least", R"({"t":1,"packet":"a:1|c"})", "1000 udp a:1|c"},
        JsonCase{"all", R"({"t":1.5,"packet":"a\nb","source":"uds","container":"c1"})",
                 "1500 uds a\nb c1"},
        JsonCase{"stream", R"({"t":1e3,"packet":"a","source":"uds-stream"})",
                 "1000000 uds-stream a"},
        JsonCase{"pipe", R"({"source":"pipe","packet":"","t":0})", "0 pipe "},
        JsonCase{"nulls", R"({"t":1,"packet":"a","source":null,"container":null,"more":[]})",
                 "1000 udp a"},
        JsonCase{"carriage_return", "{\"t\":1,\"packet\":\"a\"}\r", "1000 udp a"},
        JsonCase{"utf8", R"({"t":1,"packet":"\u00e9 é \ud83d\ude00"})", "1000 udp é é 😀"},
        JsonCase{"raw_bytes", "{\"t\":1,\"packet\":\"a\xff\xc3\xa9\x80\\n\"}",
                 "1000 udp a\xff\xc3\xa9\x80\n"},
        JsonCase{"surrogate_escapes", R"({"t":1,"packet":"\udcff\udc80\\udcff\ud83d\ude00"})",
                 "1000 udp \xff\x80\\udcff😀"},
        JsonCase{"what_stands_for_bytes",
                 "{\"t\":1,\"packet\":\"\\udcff\xf4\x8f\xbe\x80\\udbff\\udfff\xf4\x8f\xbd\xbf.\"}",
                 "1000 udp \xff\xf4\x8f\xbe\x80\xf4\x8f\xbf\xbf\xf4\x8f\xbd\xbf."},
        JsonCase{"begins_like_what_stands_for_bytes",
                 "{\"t\":1,\"packet\":\"\xf4\x8f\xbf"
                 "A\xf4\x8f\xff\"}",
                 "1000 udp \xf4\x8f\xbf"
                 "A\xf4\x8f\xff"},
        JsonCase{"half_a_pair", R"({"t":1,"packet":"audbff\udf80"})", "! line 1: no JSON"},
        JsonCase{"no_json", "{\"t\":1", "! line 1: no JSON: parse error"},
        JsonCase{"beyond_a_double", R"({"t":1e900,"packet":"a"})",
                 "! line 1: no JSON: number overflow"},
        JsonCase{"no_object", "[1]", "! line 1: must be a JSON object"},
        JsonCase{"no_time", R"({"packet":"a"})", R"(! line 1: "t" is missing)"},
        JsonCase{"no_number", R"({"t":"1","packet":"a"})", R"(! line 1: "t" = "1": must be)"},
        JsonCase{"negative", R"({"t":-1,"packet":"a"})", R"(! line 1: "t" = -1: must be)"},
        JsonCase{"too_late", R"({"t":1e12,"packet":"a"})", R"(! line 1: "t" = 1000)"},
        JsonCase{"no_packet", R"({"t":2})", R"(! line 1: "packet" is missing at 2000)"},
        JsonCase{"no_text", R"({"t":2,"packet":3})",
                 R"(! line 1: "packet" = 3: must be a string at 2000)"},
        JsonCase{"no_source", R"({"t":2,"packet":"a","source":"tcp"})",
                 R"(! line 1: "source" = "tcp": must be "udp", "uds", "uds-stream" or "pipe" at)"},
        JsonCase{"no_container", R"({"t":2,"packet":"a","container":1})",
                 R"(! line 1: "container" = 1: must be a string)"}),
    [](const auto& info) { return info.param.name; });

TEST(JsonLines, NumbersLinesAndGoesOn) {
  const Taken taken = read_bytes("\n{\"t\":1,\"packet\":\"a\"}\n  \nx\n{\"t\":2,\"packet\":\"b\"}");
  ASSERT_EQ(taken.records.size(), 3u);
  EXPECT_EQ(taken.records[0], "1000 udp a");
  EXPECT_THAT(taken.records[1], HasSubstr("line 4"));
  EXPECT_EQ(taken.records[2], "2000 udp b");
}

TEST(JsonLines, ALineWithoutEndIsNamedAndSkipped) {
  const Taken taken = read_bytes(std::string(3 << 20, 'x') + "\n{\"t\":1,\"packet\":\"a\"}\n" +
                                 std::string(2 << 20, ' '));
  EXPECT_THAT(taken.records, ElementsAre("! line 1: longer than 1048576 bytes", "1000 udp a",
                                         "! line 3: longer than 1048576 bytes"));
}

TEST(Input, NamesAFileThatIsNotThere) {
  const auto input = open_input("/nowhere/x", {});
  EXPECT_THAT(std::string(input.status().message()), HasSubstr("/nowhere/x"));
  EXPECT_THAT(read_bytes("").records, IsEmpty());
}

TEST(Input, Unpacks) {
  std::string packed(1000, '\0');
  const std::string line = "{\"t\":1,\"packet\":\"a\"}\n";
  packed.resize(ZSTD_compress(packed.data(), packed.size(), line.data(), line.size(), 1));
  EXPECT_THAT(read_bytes(packed + packed).records, ElementsAre("1000 udp a", "1000 udp a"));
  packed.back() = static_cast<char>(packed.back() + 1);
  packed[6] = '\x7f';
  EXPECT_FALSE(read_bytes(packed).status.ok());
}

std::string pack(const std::string& text) {
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 1));
  return packed;
}

TEST(Input, GivesWhatIsBeforeDamagedCompressedData) {
  const std::string good = pack("{\"t\":1,\"packet\":\"a\"}\n");
  for (const std::string& bad :
       {std::string(20, '\0'), good.substr(0, 6) + std::string(20, '\xff')}) {
    const Taken taken = read_bytes(good + bad);
    EXPECT_THAT(taken.records, ElementsAre("1000 udp a"));
    EXPECT_THAT(std::string(taken.status.message()), HasSubstr("what follows is not read"));
  }
}

TEST(Input, UnpacksWhatBeginsWithASkippableFrame) {
  const std::string skipped("\x57\x2a\x4d\x18\x02\0\0\0xx", 10);
  EXPECT_THAT(read_bytes(skipped + pack("{\"t\":1,\"packet\":\"a\"}\n")).records,
              ElementsAre("1000 udp a"));
}

TEST(Input, TellsWhereCompressedDataWasCut) {
  std::string text;
  for (int i = 0; i < 50'000; ++i)  // several blocks
    text += cat("{\"t\":1,\"packet\":\"a", i * 7919 % 65537, "\"}\n");
  const std::string packed = pack(text);
  EXPECT_EQ(read_bytes(packed).status, absl::OkStatus());
  for (const size_t size : {size_t{4}, size_t{10}, packed.size() / 2, packed.size() - 1}) {
    const Taken taken = read_bytes(packed.substr(0, size));
    EXPECT_THAT(std::string(taken.status.message()), HasSubstr("the rest is missing")) << size;
    EXPECT_EQ(taken.records.size() > 1000, size > packed.size() / 4) << size;
  }
}

// --- pcap ---

std::string le32(uint32_t n) { return {reinterpret_cast<const char*>(&n), 4}; }

std::string pcap_header(uint32_t link, uint32_t magic = 0xa1b2c3d4) {
  return le32(magic) + le32(2 | 4 << 16) + le32(0) + le32(0) + le32(65535) + le32(link);
}
std::string pcap_frame(uint32_t seconds, uint32_t fraction, const std::string& frame,
                       uint32_t missing = 0) {
  const auto size = static_cast<uint32_t>(frame.size());
  return le32(seconds) + le32(fraction) + le32(size) + le32(size + missing) + frame;
}

// IPv4 and UDP without checksums.
std::string ipv4(const std::string& payload, uint16_t port = 8125) {
  const auto be16 = [](size_t n) {
    return std::string{static_cast<char>(n >> 8), static_cast<char>(n)};
  };
  std::string ip("\x45\0", 2);
  ip += be16(28 + payload.size()) + std::string("\0\0\0\0\x40\x11\0\0\x0a\0\0\1\x0a\0\0\2", 16);
  return ip + be16(40000) + be16(port) + be16(8 + payload.size()) + std::string(2, '\0') + payload;
}
std::string ethernet(const std::string& packet) {
  return std::string(12, '\2') + std::string("\x08\0", 2) + packet;
}

TEST(Pcap, ReadsWhatTheGeneratorWrites) {
  const TempFile file;
  auto output = pktgen::open_pcap(file.path(), {.flows = 4});
  ASSERT_TRUE(output.ok());
  const std::vector<std::string_view> packets{"a:1|c", "b:1|c\nc:1|c"};
  ASSERT_TRUE((*output)->send(packets, 0).ok());
  ASSERT_TRUE((*output)->finish().ok());
  const auto input = open_input(file.path(), {8125});
  ASSERT_TRUE(input.ok()) << input.status().ToString();
  EXPECT_THAT(drain(**input).records, ElementsAre("0 udp a:1|c", "1 udp b:1|c\nc:1|c"));
}

TEST(Pcap, ReadsLinkLayers) {
  const std::string ip = ipv4("a:1|c");
  const std::string type("\x08\0", 2);
  const struct {
    uint32_t link;
    std::string frame;
  } cases[] = {{1, ethernet(ip)},
               {1, std::string(12, '\2') + std::string("\x81\0\0\5\x08\0", 6) + ip},
               {113, std::string(14, '\0') + type + ip},
               {276, type + std::string(18, '\0') + ip},
               {101, ip},
               {228, ip},
               {0, std::string("\2\0\0\0", 4) + ip}};
  for (const auto& c : cases) {
    const Taken taken = read_bytes(pcap_header(c.link) + pcap_frame(7, 250'000, c.frame));
    EXPECT_THAT(taken.records, ElementsAre("7250 udp a:1|c")) << c.link;
  }
  EXPECT_THAT(std::string(read_bytes(pcap_header(105)).status.message()), HasSubstr("IEEE802_11"));
}

TEST(Pcap, ReadsNanoseconds) {
  EXPECT_THAT(
      read_bytes(pcap_header(101, 0xa1b23c4d) + pcap_frame(7, 250'000'001, ipv4("a"))).records,
      ElementsAre("7250 udp a"));
}

TEST(Pcap, ReadsTimesBeyond2038) {
  EXPECT_THAT(read_bytes(pcap_header(101) + pcap_frame(0x80000001, 0, ipv4("a"))).records,
              ElementsAre("2147483649000 udp a"));
}

// Packets as frames of their own second.
std::string pcap_of(const std::vector<penstock::testing::Bytes>& frames) {
  std::string file = pcap_header(1);
  uint32_t ms = 0;
  for (const auto& frame : frames)
    file += pcap_frame(1, 1000 * ms++, std::string(frame.begin(), frame.end()));
  return file;
}

const std::string kLong = "a:1|c|#" + std::string(3000, 't');

TEST(Pcap, JoinsFragments) {
  using penstock::testing::pieces;
  using penstock::testing::Pkt;
  const auto v4 = pieces(Pkt().ip4("10.0.0.2", "10.0.0.1").udp(9, 8125).text(kLong).build(), 1000);
  const auto v6 = pieces(Pkt().ip6("fd00::2", "fd00::1").udp(9, 8125).text(kLong).build(), 1000);
  const auto other = pieces(Pkt().ip4("10.0.0.2", "10.0.0.1").udp(9, 53).text(kLong).build(), 1000);
  const std::string not_ours = cat("- ", static_cast<int>(packet::Verdict::kNotOurs));
  const std::string waits = cat("- ", static_cast<int>(packet::Verdict::kFragment));
  ASSERT_EQ(v4.size(), 4u);
  for (const auto& p : {v4, v6}) {
    EXPECT_THAT(read_bytes(pcap_of(p)).records,
                ElementsAre(waits, waits, waits, cat("1003 udp ", kLong)));
    EXPECT_THAT(read_bytes(pcap_of({p[3], p[1], p[1], p[2], p[0]})).records,
                ElementsAre(waits, waits, waits, waits, cat("1004 udp ", kLong)));
    EXPECT_THAT(read_bytes(pcap_of({p[0], p[1], p[3]})).records,
                ElementsAre(waits, waits, waits, waits));  // at the end: given up
  }
  EXPECT_THAT(read_bytes(pcap_of(other)).records, ElementsAre(waits, waits, waits, not_ours));
  EXPECT_THAT(
      read_bytes(pcap_of({v4[0], v6[0], v4[1], v6[1], v4[2], v6[2], v4[3], v6[3]})).records.back(),
      cat("1007 udp ", kLong));
}

TEST(Pcap, GivesUpFragmentsThatDoNotFit) {
  using penstock::testing::piece;
  using penstock::testing::Pkt;
  const auto frame = Pkt().ip4("10.0.0.2", "10.0.0.1").udp(9, 8125).text(kLong).build();
  const struct {
    const char* name;
    std::vector<penstock::testing::Bytes> frames;
  } cases[] = {
      {"overlaps the one before",
       {piece(frame, 0, 1000, true), piece(frame, 992, 1000, true), piece(frame, 0, 2000, true)}},
      {"overlaps the one after", {piece(frame, 1000, 1000, true), piece(frame, 8, 1000, true)}},
      {"no multiple of 8", {piece(frame, 0, 1001, true)}},
      {"two ends", {piece(frame, 1000, 16, false), piece(frame, 2000, 16, false)}},
      {"beyond the end", {piece(frame, 1000, 16, false), piece(frame, 2000, 16, true)}},
      {"ends before another", {piece(frame, 2000, 16, true), piece(frame, 8, 16, false)}},
      {"beyond 64 KiB", {piece(frame, 65528, 1000, false)}},
  };
  for (const auto& c : cases) {
    const std::string file = pcap_of(c.frames);
    const auto input = open_input(Bytes::of(file), {8125});
    ASSERT_TRUE(input.ok());
    Record record;
    uint32_t frames = 0;
    while (*(*input)->next(record)) {
      EXPECT_EQ(record.verdict, packet::Verdict::kFragment) << c.name;
      frames += record.frames;
    }
    EXPECT_EQ(frames, c.frames.size()) << c.name;
  }
}

TEST(Pcap, FragmentsOfACutFileAreGivenUp) {
  using penstock::testing::pieces;
  using penstock::testing::Pkt;
  const auto p = pieces(Pkt().ip4("10.0.0.2", "10.0.0.1").udp(9, 8125).text(kLong).build(), 2000);
  const std::string file = pcap_of({p[0], p[1]});
  const auto input = open_input(Bytes::of(file.substr(0, file.size() - 1)), {8125});
  ASSERT_TRUE(input.ok());
  Record record;
  ASSERT_TRUE(*(*input)->next(record));
  EXPECT_EQ(record.frames, 0u);
  ASSERT_TRUE(*(*input)->next(record));
  EXPECT_EQ(record.frames, 1u);
  EXPECT_EQ(record.verdict, packet::Verdict::kFragment);
  EXPECT_FALSE((*input)->next(record).ok());
  EXPECT_FALSE((*input)->next(record).ok());
}

// Datagrams of one piece of eight bytes each, and one of thousands.
TEST(Fragments, AreBounded) {
  using penstock::testing::piece;
  using penstock::testing::Pkt;
  const auto count = [](size_t bytes_max, auto&& frame_of) {
    Fragments fragments(bytes_max);
    const size_t before = ::mallinfo2().uordblks;
    for (uint16_t i = 0; i < 8000; ++i) {
      const auto frame = frame_of(i);
      packet::Decoded decoded{};
      uint32_t frames = 0;
      EXPECT_EQ(packet::decode(frame, {packet::Check::kTrust, packet::Check::kTrust}, decoded),
                packet::Verdict::kFragment);
      EXPECT_TRUE(fragments.add(frame, decoded, 0, frames).empty());
    }
    EXPECT_LE(::mallinfo2().uordblks - before, bytes_max + (1 << 20));
    return fragments.take_given_up();
  };
  const auto whole =
      Pkt().ip4("10.0.0.2", "10.0.0.1").udp(9, 8125).text(std::string(64'000, 'x')).build();
  const auto small = [&](uint16_t i) { return piece(whole, 0, 8, true, i); };
  const auto many = [&](uint16_t i) { return piece(whole, i % 4000u * 16, 8, true, i / 4000); };
  EXPECT_EQ(count(64 << 20, small), 0u);
  EXPECT_GT(count(1 << 20, small), 4000u);
  EXPECT_EQ(count(64 << 20, many), 0u);
  EXPECT_EQ(count(400'000, many), 4000u);
}

// The same identification again, while another datagram waits.
TEST(Pcap, EachFragmentWaitsForItsOwnSecond) {
  using penstock::testing::pieces;
  using penstock::testing::Pkt;
  const auto frame = Pkt().ip4("10.0.0.2", "10.0.0.1").udp(9, 8125).text(kLong).build();
  const auto at = [](uint32_t ms, const penstock::testing::Bytes& f) {
    return pcap_frame(5 + ms / 1000, ms % 1000 * 1000, std::string(f.begin(), f.end()));
  };
  const auto w = pieces(frame, 2000, 1);
  const auto k = pieces(frame, 2000, 2);
  const auto a = pieces(frame, 2000, 3);
  const std::string file = pcap_header(1) + at(0, w[0]) + at(100, k[0]) + at(100, k[1]) +
                           at(500, a[0]) + at(900, k[0]) + at(1600, a[1]) + at(1700, k[1]);
  EXPECT_THAT(read_bytes(file).records,
              ::testing::AllOf(::testing::Contains(cat("6700 udp ", kLong)),
                               ::testing::Not(::testing::Contains(cat("6600 udp ", kLong)))));
}

TEST(Pcap, FragmentsWaitForASecond) {
  using penstock::testing::pieces;
  using penstock::testing::Pkt;
  const auto p = pieces(Pkt().ip4("10.0.0.2", "10.0.0.1").udp(9, 8125).text(kLong).build(), 2000);
  ASSERT_EQ(p.size(), 2u);
  const auto at = [&](uint32_t microseconds) {
    const std::string file = pcap_header(1) +
                             pcap_frame(5, 0, std::string(p[0].begin(), p[0].end())) +
                             pcap_frame(5, microseconds, std::string(p[1].begin(), p[1].end()));
    return read_bytes(file).records;
  };
  EXPECT_THAT(at(999'000), ::testing::Contains(HasSubstr("udp a:1|c")));
  EXPECT_THAT(at(1'000'000), ::testing::Not(::testing::Contains(HasSubstr("udp a:1|c"))));
}

TEST(Pcap, TellsWhatIsNotOurs) {
  const auto verdict = [](packet::Verdict v) { return cat("- ", static_cast<int>(v)); };
  const std::string file = pcap_header(1) + pcap_frame(1, 0, ethernet(ipv4("a", 53))) +
                           pcap_frame(2, 0, std::string(12, '\2') + std::string("\x08\6xx", 4)) +
                           pcap_frame(3, 0, ethernet("\x45")) +
                           pcap_frame(4, 0, ethernet(ipv4("a:1|c")), 3);
  const Taken taken = read_bytes(file);
  EXPECT_THAT(taken.records,
              ElementsAre(verdict(packet::Verdict::kNotOurs), verdict(packet::Verdict::kArp),
                          verdict(packet::Verdict::kMalformedIpv4),
                          "! frame 4: only 47 of 50 bytes were captured at 4000"));
  EXPECT_THAT(read_bytes(pcap_header(1) + pcap_frame(1, 0, ethernet(ipv4("a", 53))), {}).records,
              ElementsAre("1000 udp a"));
}

TEST(Pcap, ACutFileIsAnErrorAtItsEnd) {
  const std::string file =
      pcap_header(101) + pcap_frame(1, 0, ipv4("a")) + pcap_frame(2, 0, ipv4("b"));
  const Taken taken = read_bytes(file.substr(0, file.size() - 1));
  EXPECT_THAT(taken.records, ElementsAre("1000 udp a"));
  EXPECT_THAT(std::string(taken.status.message()), HasSubstr("frame 2"));
}

// --- the Agent's captures; protobuf by hand ---

std::string varint(uint64_t n) {
  std::string out;
  for (; n >= 0x80; n >>= 7) out += static_cast<char>(n | 0x80);
  return out + static_cast<char>(n);
}
std::string number(int field, uint64_t n) {
  return varint(static_cast<uint64_t>(field) << 3) + varint(n);
}
std::string bytes(int field, const std::string& s) {
  return varint(static_cast<uint64_t>(field) << 3 | 2) + varint(s.size()) + s;
}
std::string capture_record(uint64_t time, const std::string& payload, uint64_t pid) {
  const std::string message = number(1, time) + number(2, payload.size()) + bytes(3, payload) +
                              number(4, pid) + number(5, 1) + bytes(6, "x") + number(99, 1);
  return le32(static_cast<uint32_t>(message.size())) + message;
}
std::string capture_header(int version) {
  std::string header("\xd4\x74\xd0\x60\xf0\xff\0\0", 8);
  header[4] = static_cast<char>(0xf0 | version);
  return header;
}
// Pid 7 is container_id://c7; the rest of the state is the tagger's.
std::string capture_end() {
  const std::string state = bytes(1, bytes(1, "k") + bytes(2, bytes(3, "tag"))) +
                            bytes(2, number(1, 7) + bytes(2, "container_id://c7"));
  return le32(0) + state + le32(static_cast<uint32_t>(state.size()));
}

TEST(Capture, ReadsRecordsAndTheirContainers) {
  const std::string file = capture_header(3) + capture_record(1'500'000'000, "a:1|c\nb:1|c", 7) +
                           capture_record(2'000'000'001, "c:1|c", 8) + capture_end();
  EXPECT_THAT(read_bytes(file).records,
              ElementsAre("1500 uds a:1|c\nb:1|c container_id://c7", "2001 uds c:1|c"));
}

TEST(Capture, OldVersionsHaveSeconds) {
  for (const int version : {1, 2}) {
    EXPECT_THAT(read_bytes(capture_header(version) + capture_record(1700000000, "a", 1)).records,
                ElementsAre("1700000000000 uds a"));
  }
}

TEST(Capture, ACutOneEndsWithoutError) {
  const std::string file = capture_header(3) + capture_record(1, "a", 7);
  for (size_t size = 8; size < file.size(); ++size) {
    const Taken taken = read_bytes(file.substr(0, size));
    EXPECT_TRUE(taken.status.ok());
    EXPECT_THAT(taken.records, IsEmpty());
  }
  EXPECT_THAT(read_bytes(file).records, ElementsAre("1 uds a"));
}

TEST(Capture, NamesBadRecords) {
  const std::string file = capture_header(3) + le32(2) + "\xff\xff" +
                           capture_record(static_cast<uint64_t>(-1), "a", 7) +
                           capture_record(1'000'000'000, "b", 7) + capture_end();
  EXPECT_THAT(read_bytes(file).records,
              ElementsAre("! record 1: no message of the capture format",
                          "! record 2: timestamp -1 is no time", "1000 uds b container_id://c7"));
}

TEST(Capture, RefusesAContainerThatIsTooLong) {
  const std::string state = bytes(2, number(1, 7) + bytes(2, std::string(256, 'c')));
  const std::string file = capture_header(3) + capture_record(0, "a", 7) + le32(0) + state +
                           le32(static_cast<uint32_t>(state.size()));
  EXPECT_THAT(read_bytes(file).records,
              ElementsAre("! record 1: its container is longer than 255 bytes at 0"));
}

TEST(Capture, RefusesWhatItDoesNotKnow) {
  EXPECT_THAT(std::string(read_bytes(capture_header(4)).status.message()),
              HasSubstr("capture version 4"));
  EXPECT_FALSE(read_bytes("\xd4\x74\xd0\x60\x01\x02\x03\x04").status.ok());
  EXPECT_FALSE(read_bytes("\xd4\x74\xd0\x60").status.ok());
}

TEST(Capture, MayBePacked) {
  const std::string file = capture_header(3) + capture_record(0, "a", 7) + capture_end();
  EXPECT_THAT(read_bytes(pack(file)).records, ElementsAre("0 uds a container_id://c7"));
  const Taken cut = read_bytes(pack(file).substr(0, 40));  // spec 10.4
  EXPECT_EQ(cut.status, absl::OkStatus());
}

}  // namespace
}  // namespace penstock::replay

#include "dataplane/api/segment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>
#include <random>
#include <string>

#include "dataplane/api/segment_format.h"
#include "dataplane/base/strings.h"
#include "tests/support/segment_rows.h"
#include "xxhash.h"

namespace penstock::segment {
namespace {

constexpr Meta kMeta = {.instance = 0x1122334455667788,
                        .sequence = 7,
                        .bucket_start = 1700000000,
                        .interval_s = 10,
                        .samples = 0};

std::string dump(std::span<const std::byte> bytes) {
  const auto reader = Reader::open(bytes);
  if (!reader.ok()) return std::string(to_std(reader.status().message()));
  Dump d;
  reader->visit(d);
  return d.out;
}

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr int64_t kMinTime = std::numeric_limits<int64_t>::min();
constexpr int64_t kMaxTime = std::numeric_limits<int64_t>::max();

using Tags = std::vector<std::string_view>;
const Tags kNone, kOne = {"a:b"}, kTwo = {"", "x"};

struct RoundTrip {
  const char* name;
  void (*write)(Reader::Visitor&);
};

using V = Reader::Visitor;
const RoundTrip kRoundTrips[] = {
    {"nothing", [](V&) {}},
    {"counter",
     [](V& v) {
       v.counter({"a.b", "h", kOne}, 3.5);
     }},
    {"counter_special_values",
     [](V& v) {
       v.counter({"", "", kNone}, -0.0);
       v.counter({"a", "", kTwo}, kInf);
       v.counter({"a", "", kTwo}, std::numeric_limits<double>::quiet_NaN());
     }},
    {"gauge",
     [](V& v) {
       v.gauge({"a", "h", kOne}, 1, 1700000003123, 3);
       v.gauge({"a", "h", kTwo}, 2, 1700000003124, 3);
     }},
    {"gauge_extreme_times",
     [](V& v) {
       v.gauge({"a", "h", kOne}, 1, kMinTime, 0);
       v.gauge({"a", "h", kOne}, 1, kMaxTime, UINT32_MAX);
       v.gauge({"a", "h", kOne}, 1, -1, 1);
     }},
    {"set",
     [](V& v) {
       v.set({"a", "h", kOne}, std::vector<uint64_t>{1, 2, UINT64_MAX});
       v.set({"b", "h", kOne}, {});
       v.set({"c", "h", kOne}, std::vector<uint64_t>{0});
     }},
    {"sets_all_empty",
     [](V& v) {
       v.set({"a", "h", kOne}, {});
     }},
    {"histogram_values",
     [](V& v) {
       v.histogram({"a", "h", kOne}, {3, 6, 1, 3, 2},
                   std::vector<WeightedValue>{{1, 1}, {2, 1}, {3, UINT64_MAX}}, {});
     }},
    {"histogram_bins",
     [](V& v) {
       v.histogram({"a", "h", kOne}, {3, 6, 1, 3, 2}, {},
                   std::vector<Bin>{{-32768, 1}, {0, 1ull << 40}, {32767, 2}});
       v.histogram({"b", "h", kOne}, {1, 6, 1, 3, 2}, std::vector<WeightedValue>{{1, 1}}, {});
     }},
    {"histogram_without_values",
     [](V& v) {
       v.histogram({"a", "h", kOne}, {}, {}, {});
     }},
    {"distribution",
     [](V& v) {
       v.distribution({"a", "h", kOne}, {UINT64_MAX, 6, 1, 3, 2}, std::vector<Bin>{{1338, 4}});
       v.distribution({"a", "h", kTwo}, {0, 0, 0, 0, 0}, {});
     }},
    {"timestamped",
     [](V& v) {
       v.timestamped(Kind::kCounter, {"a", "h", kOne}, 1, 50);
       v.timestamped(Kind::kGauge, {"a", "h", kOne}, kMinTime, 50);
     }},
    {"event",
     [](V& v) {
       v.event({"t", "x y", 5, "h", "k", "s", "low", "error", "cid", "high", kOne, 7, "cn-a"});
       v.event({"t", "", -5, "", "", "", "normal", "info", "", "", kNone});
     }},
    {"service_check",
     [](V& v) {
       v.service_check({"n", 3, 5, "h", "m", "cid", "low", kTwo});
       v.service_check({"n", 255, 5, "h", "m", "cid", "low", kTwo, UINT64_MAX, "pu-b"});
     }},
    {"bytes_that_are_not_text",
     [](V& v) {
       v.counter({{"\0\xff\x80", 3}, "\xc3", kOne}, 1);
     }},
    {"kinds_share_dictionaries",
     [](V& v) {
       v.counter({"a", "h", kOne}, 1);
       v.gauge({"a", "h", kOne}, 1, 1, 1);
       v.set({"a", "h", kOne}, std::vector<uint64_t>{9});
       v.event({"a", "h", 5, "h", "a", "a", "a", "a", "a", "a", kOne});
     }},
};

class SegmentRoundTrip : public testing::TestWithParam<RoundTrip> {};

TEST_P(SegmentRoundTrip, ReadsWhatWasWritten) {
  Tee tee(kMeta);
  GetParam().write(tee);
  Dump expected;
  GetParam().write(expected);
  EXPECT_EQ(tee.w.rows(), static_cast<uint64_t>(std::ranges::count(expected.out, '\n')));
  const std::vector<std::byte> bytes = tee.w.finish(42);
  EXPECT_EQ(dump(bytes), expected.out);
}

INSTANTIATE_TEST_SUITE_P(Kinds, SegmentRoundTrip, testing::ValuesIn(kRoundTrips),
                         [](const auto& info) { return std::string(info.param.name); });

std::vector<std::byte> sample_segment() {
  Tee tee(kMeta);
  for (const RoundTrip& r : kRoundTrips) r.write(tee);
  return tee.w.finish(42);
}

void fix_checksum(std::vector<std::byte>& bytes) {
  const size_t n = bytes.size() - kChecksumBytes;
  const uint64_t sum = XXH3_64bits(bytes.data(), n);
  std::memcpy(bytes.data() + n, &sum, sizeof sum);
}

TEST(Segment, CarriesItsMeta) {
  const auto bytes = sample_segment();
  const auto reader = Reader::open(bytes);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->meta().instance, kMeta.instance);
  EXPECT_EQ(reader->meta().sequence, 7u);
  EXPECT_EQ(reader->meta().bucket_start, 1700000000);
  EXPECT_EQ(reader->meta().interval_s, 10u);
  EXPECT_EQ(reader->meta().samples, 42u);
  Header header;
  std::memcpy(&header, bytes.data(), sizeof header);
  EXPECT_EQ(reader->rows(), header.rows);
}

TEST(Segment, IsTheSameWhateverTheProcess) {
  // Ids go by first use, never by a seeded hash.
  EXPECT_EQ(sample_segment(), sample_segment());
}

TEST(Segment, EveryChangedByteIsFound) {
  const auto good = sample_segment();
  for (size_t i = 0; i < good.size(); ++i) {
    auto bytes = good;
    bytes[i] ^= std::byte{0x40};
    EXPECT_FALSE(Reader::open(bytes).ok()) << "byte " << i;
  }
}

TEST(Segment, EveryShorterOneIsRefused) {
  const auto good = sample_segment();
  for (size_t n = 0; n < good.size(); ++n) {
    const std::vector<std::byte> bytes(good.begin(), good.begin() + static_cast<ptrdiff_t>(n));
    EXPECT_FALSE(Reader::open(bytes).ok()) << n << " bytes";
  }
}

TEST(Segment, ChangedBytesUnderAGoodChecksumStayInside) {
  const auto good = sample_segment();
  std::mt19937_64 random(1);
  for (int round = 0; round < 20000; ++round) {
    auto bytes = good;
    for (int change = 0; change < 3; ++change) {
      // Mostly header and directory, where the offsets are.
      const size_t limit = round % 2 == 0 ? 3200 : bytes.size() - kChecksumBytes;
      bytes[random() % limit] = static_cast<std::byte>(random());
    }
    fix_checksum(bytes);
    dump(bytes);  // the sanitizers judge
  }
}

TEST(Segment, RefusesBytesThatAreNotAligned) {
  auto good = sample_segment();
  good.insert(good.begin(), std::byte{0});
  EXPECT_EQ(Reader::open(std::span(good).subspan(1)).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// Appends a section this version does not know.
std::vector<std::byte> with_unknown_section(uint8_t flags) {
  const auto good = sample_segment();
  Header header;
  std::memcpy(&header, good.data(), sizeof header);
  std::vector<std::byte> bytes(good.begin(), good.begin() + sizeof header +
                                                 ptrdiff_t(header.sections * sizeof(SectionEntry)));
  for (uint32_t i = 0; i < header.sections; ++i) {
    SectionEntry e;
    std::byte* at = bytes.data() + sizeof header + i * sizeof e;
    std::memcpy(&e, at, sizeof e);
    e.offset += sizeof e;
    std::memcpy(at, &e, sizeof e);
  }
  SectionEntry e{.id = 0x7f01,
                 .version = 9,
                 .encoding = 200,
                 .flags = flags,
                 .count = 1ull << 60,
                 .offset = bytes.size() + sizeof e,
                 .size = 8,
                 .base = 0};
  const auto* raw = reinterpret_cast<const std::byte*>(&e);
  bytes.insert(bytes.end(), raw, raw + sizeof e);
  bytes.insert(bytes.end(), good.begin() + ptrdiff_t(bytes.size() - sizeof e), good.end());
  ++header.sections;
  header.size = bytes.size();
  std::memcpy(bytes.data(), &header, sizeof header);
  fix_checksum(bytes);
  return bytes;
}

TEST(Segment, SkipsAnUnknownSection) {
  EXPECT_EQ(dump(with_unknown_section(0)), dump(sample_segment()));
}

TEST(Segment, RefusesAnUnknownSectionThatMustBeUnderstood) {
  const auto bytes = with_unknown_section(kMustUnderstand);
  EXPECT_EQ(Reader::open(bytes).status().code(), absl::StatusCode::kUnimplemented);
}

TEST(Segment, RefusesANewerFormat) {
  auto bytes = sample_segment();
  bytes[offsetof(Header, version)] = std::byte{2};
  fix_checksum(bytes);
  EXPECT_EQ(Reader::open(bytes).status().code(), absl::StatusCode::kUnimplemented);
}

struct Corruption {
  const char* name;
  Column column;
  void (*change)(SectionEntry&);
};
const Corruption kCorruptions[] = {
    {"offset_far_outside", Column::kCounterSum, [](SectionEntry& e) { e.offset = ~7ull; }},
    {"offset_not_aligned", Column::kCounterSum, [](SectionEntry& e) { e.offset += 4; }},
    {"size_too_large", Column::kCounterSum, [](SectionEntry& e) { e.size = 1ull << 40; }},
    {"count_above_size", Column::kCounterSum, [](SectionEntry& e) { ++e.count; }},
    {"count_of_anchor", Column::kCounterName, [](SectionEntry& e) { e.count = 1ull << 60; }},
    {"constant_anchor", Column::kCounterName, [](SectionEntry& e) { e.encoding = 0; }},
    {"id_outside", Column::kCounterName, [](SectionEntry& e) { e.base = 1 << 20; }},
    {"ends_outside", Column::kTagSetsEnd, [](SectionEntry& e) { ++e.base; }},
    {"ends_wrap", Column::kNamesEnd, [](SectionEntry& e) { e.base = ~0ull; }},
    {"key_outside_int16", Column::kHistogramBinKey, [](SectionEntry& e) { ++e.base; }},
    {"status_above_uint8", Column::kCheckStatus, [](SectionEntry& e) { e.base += 10; }},
    {"hash_with_base", Column::kSetMember, [](SectionEntry& e) { e.base = 1; }},
    {"twice", Column::kCounterHost, [](SectionEntry& e) { e.id = spec(Column::kCounterName).id; }},
    {"missing", Column::kCounterSum, [](SectionEntry& e) { e.id = 0x7f01, e.flags = 0; }},
};

class SegmentCorruption : public testing::TestWithParam<Corruption> {};

TEST_P(SegmentCorruption, IsRefused) {
  auto bytes = sample_segment();
  Header header;
  std::memcpy(&header, bytes.data(), sizeof header);
  bool found = false;
  for (uint32_t i = 0; i < header.sections; ++i) {
    std::byte* at = bytes.data() + sizeof header + i * sizeof(SectionEntry);
    SectionEntry e;
    std::memcpy(&e, at, sizeof e);
    if (e.id != spec(GetParam().column).id) continue;
    GetParam().change(e);
    std::memcpy(at, &e, sizeof e);
    found = true;
    break;
  }
  ASSERT_TRUE(found);
  fix_checksum(bytes);
  const auto status = Reader::open(bytes).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
}

INSTANTIATE_TEST_SUITE_P(Entries, SegmentCorruption, testing::ValuesIn(kCorruptions),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Segment, AMillionRowsAreCompactAndQuick) {
  constexpr size_t kRows = 1000000;
  std::vector<std::string> names, tags;
  for (int i = 0; i < 1000; ++i) names.push_back(cat("service.requests.latency.", i));
  for (int i = 0; i < 4000; ++i) tags.push_back(cat("key", i % 40, ":value-", i));
  std::vector<std::array<std::string_view, 5>> sets(200000);
  std::mt19937_64 random(1);
  for (auto& set : sets) {
    for (auto& tag : set) tag = tags[random() % tags.size()];
  }
  const auto start = std::chrono::steady_clock::now();
  Writer w(kMeta);
  for (size_t i = 0; i < kRows; ++i) {
    w.counter({names[i % 1000], "host", sets[i % sets.size()]}, static_cast<double>(i));
  }
  const auto bytes = w.finish(kRows);
  const auto written = std::chrono::steady_clock::now();
  struct Sum : Dump {
    double sum = 0;
    void counter(const Context&, ExactSum v) override { sum += v.value(); }
  } sum;
  const auto reader = Reader::open(bytes);
  ASSERT_TRUE(reader.ok()) << reader.status();
  reader->visit(sum);
  const auto read = std::chrono::steady_clock::now();
  EXPECT_EQ(sum.sum, 999999. * 500000);
  EXPECT_LT(bytes.size(), kRows * 20);
  RecordProperty("write_ms", std::to_string((written - start) / std::chrono::milliseconds(1)));
  RecordProperty("read_ms", std::to_string((read - written) / std::chrono::milliseconds(1)));
  RecordProperty("bytes_per_row", std::to_string(bytes.size() / kRows));
}

}  // namespace
}  // namespace penstock::segment

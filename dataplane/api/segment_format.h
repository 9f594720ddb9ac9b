#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

// The layout of a Segment, shared by its writer and its reader. docs/segment.md explains it and
// holds the rules for changing it.

namespace penstock::segment {

static_assert(std::endian::native == std::endian::little, "Segments are little-endian in memory");

inline constexpr std::array<char, 8> kMagic = {'P', 'S', 'T', 'K', 'S', 'E', 'G', '\n'};
inline constexpr uint16_t kFormatVersion = 1;
inline constexpr size_t kAlignment = 8;  // of every section, from the start of the Segment
inline constexpr size_t kChecksumBytes = 8;

struct Header {
  std::array<char, 8> magic;
  uint16_t version;
  uint16_t reserved;  // 0
  uint32_t sections;  // entries in the directory, which follows the header
  uint64_t size;      // of the whole Segment, checksum included
  uint64_t instance, sequence;
  int64_t bucket_start;
  uint32_t interval_s;
  uint32_t reserved2;  // 0
  uint64_t samples, rows;
};
static_assert(sizeof(Header) == 72);

// How a section's elements are stored. Integers: element i is `base` + the little-endian unsigned
// integer of 0, 1, 2, 4 or 8 bytes at i, modulo 2^64; the encoding's number is that width.
enum class Encoding : uint8_t {
  kConstant = 0,
  kU8 = 1,
  kU16 = 2,
  kU32 = 4,
  kU64 = 8,
  kF64 = 16,
  kBytes = 17
};

inline constexpr uint8_t kMustUnderstand = 1;  // SectionEntry::flags

struct SectionEntry {
  uint32_t id;
  uint16_t version;  // of the meaning of this section; 1
  uint8_t encoding;
  uint8_t flags;
  uint64_t count;   // elements
  uint64_t offset;  // bytes from the start of the Segment
  uint64_t size;    // bytes
  uint64_t base;    // added to every integer
};
static_assert(sizeof(SectionEntry) == 40);

// Every section this version knows, dense, in the order in which the writer lays them out.
enum class Column : uint8_t {
  kNamesEnd,
  kNamesBytes,
  kHostsEnd,
  kHostsBytes,
  kTagsEnd,
  kTagsBytes,
  kTextsEnd,
  kTextsBytes,
  kTagSetsEnd,
  kTagSetsTag,
  kCounterName,
  kCounterHost,
  kCounterTagSet,
  kCounterSum,
  kCounterSumLow,
  kGaugeName,
  kGaugeHost,
  kGaugeTagSet,
  kGaugeValue,
  kGaugeTime,
  kGaugeShard,
  kSetName,
  kSetHost,
  kSetTagSet,
  kSetMembersEnd,
  kSetMember,
  kHistogramName,
  kHistogramHost,
  kHistogramTagSet,
  kHistogramCount,
  kHistogramSum,
  kHistogramMin,
  kHistogramMax,
  kHistogramAvg,
  kHistogramSumLow,
  kHistogramSamples,
  kHistogramValuesEnd,
  kHistogramBinsEnd,
  kHistogramValue,
  kHistogramWeight,
  kHistogramBinKey,
  kHistogramBinCount,
  kDistributionName,
  kDistributionHost,
  kDistributionTagSet,
  kDistributionCount,
  kDistributionSum,
  kDistributionMin,
  kDistributionMax,
  kDistributionAvg,
  kDistributionSumLow,
  kDistributionWeighted,
  kDistributionWeightedLow,
  kDistributionBinsEnd,
  kDistributionBinKey,
  kDistributionBinCount,
  kTimestampedName,
  kTimestampedHost,
  kTimestampedTagSet,
  kTimestampedKind,
  kTimestampedTime,
  kTimestampedValue,
  kEventTitle,
  kEventText,
  kEventTime,
  kEventHost,
  kEventAggregationKey,
  kEventSourceType,
  kEventPriority,
  kEventAlertType,
  kEventContainer,
  kEventCardinality,
  kEventTagSet,
  kEventInode,
  kEventExternalData,
  kCheckName,
  kCheckStatus,
  kCheckTime,
  kCheckHost,
  kCheckMessage,
  kCheckContainer,
  kCheckCardinality,
  kCheckTagSet,
  kCheckInode,
  kCheckExternalData,
  kCount,
};
inline constexpr size_t kColumns = static_cast<size_t>(Column::kCount);
inline constexpr size_t index(Column c) { return static_cast<size_t>(c); }

enum class Type : uint8_t { kUnsigned, kSigned, kDouble, kBytes, kHash };

// What `Reader::open` checks of every element.
enum class Check : uint8_t {
  kNone,
  kIdIn,    // below the count of `other`
  kEndsOf,  // never descends; the last one is the count of `other`
  kAtMost,  // at most `limit`
  kInt16,
};

struct ColumnSpec {
  Column column;
  uint32_t id;  // in the file; high byte: table, low byte: column in it. Never reused
  std::string_view name;
  Type type;
  Column anchor;  // has as many elements as this one; an anchor names itself, and is never constant
  Check check = Check::kNone;
  Column other = Column::kCount;
  uint64_t limit = 0;
  bool optional = false;  // left out where all elements are the default; older readers may skip it
};

namespace internal {
using enum Column;
inline constexpr Type kU = Type::kUnsigned;
inline constexpr Type kS = Type::kSigned;
inline constexpr Type kD = Type::kDouble;
inline constexpr Check kId = Check::kIdIn;
inline constexpr Check kEnds = Check::kEndsOf;
constexpr ColumnSpec optional(Column column, uint32_t id, std::string_view name, Column anchor) {
  return {column, id, name, kD, anchor, Check::kNone, kCount, 0, true};
}
}  // namespace internal

inline constexpr auto kColumnSpecs = [] {
  using namespace internal;  // NOLINT: only inside this table
  return std::array<ColumnSpec, kColumns>{{
      // Dictionaries: element i of a string table is bytes[end[i-1], end[i]).
      {kNamesEnd, 0x0101, "names.end", kU, kNamesEnd, kEnds, kNamesBytes},
      {kNamesBytes, 0x0102, "names.bytes", Type::kBytes, kNamesBytes},
      {kHostsEnd, 0x0201, "hosts.end", kU, kHostsEnd, kEnds, kHostsBytes},
      {kHostsBytes, 0x0202, "hosts.bytes", Type::kBytes, kHostsBytes},
      {kTagsEnd, 0x0301, "tags.end", kU, kTagsEnd, kEnds, kTagsBytes},
      {kTagsBytes, 0x0302, "tags.bytes", Type::kBytes, kTagsBytes},
      {kTextsEnd, 0x0401, "texts.end", kU, kTextsEnd, kEnds, kTextsBytes},
      {kTextsBytes, 0x0402, "texts.bytes", Type::kBytes, kTextsBytes},
      {kTagSetsEnd, 0x0501, "tag_sets.end", kU, kTagSetsEnd, kEnds, kTagSetsTag},
      {kTagSetsTag, 0x0502, "tag_sets.tag", kU, kTagSetsTag, kId, kTagsEnd},
      // Rows.
      {kCounterName, 0x1001, "counter.name", kU, kCounterName, kId, kNamesEnd},
      {kCounterHost, 0x1002, "counter.host", kU, kCounterName, kId, kHostsEnd},
      {kCounterTagSet, 0x1003, "counter.tag_set", kU, kCounterName, kId, kTagSetsEnd},
      {kCounterSum, 0x1010, "counter.sum", kD, kCounterName},
      optional(kCounterSumLow, 0x1011, "counter.sum_low", kCounterName),
      {kGaugeName, 0x1101, "gauge.name", kU, kGaugeName, kId, kNamesEnd},
      {kGaugeHost, 0x1102, "gauge.host", kU, kGaugeName, kId, kHostsEnd},
      {kGaugeTagSet, 0x1103, "gauge.tag_set", kU, kGaugeName, kId, kTagSetsEnd},
      {kGaugeValue, 0x1110, "gauge.value", kD, kGaugeName},
      {kGaugeTime, 0x1111, "gauge.time_ms", kS, kGaugeName},
      {kGaugeShard, 0x1112, "gauge.shard", kU, kGaugeName, Check::kAtMost, kCount, UINT32_MAX},
      {kSetName, 0x1201, "set.name", kU, kSetName, kId, kNamesEnd},
      {kSetHost, 0x1202, "set.host", kU, kSetName, kId, kHostsEnd},
      {kSetTagSet, 0x1203, "set.tag_set", kU, kSetName, kId, kTagSetsEnd},
      {kSetMembersEnd, 0x1210, "set.members_end", kU, kSetName, kEnds, kSetMember},
      {kSetMember, 0x1211, "set.member", Type::kHash, kSetMember},
      {kHistogramName, 0x1301, "histogram.name", kU, kHistogramName, kId, kNamesEnd},
      {kHistogramHost, 0x1302, "histogram.host", kU, kHistogramName, kId, kHostsEnd},
      {kHistogramTagSet, 0x1303, "histogram.tag_set", kU, kHistogramName, kId, kTagSetsEnd},
      {kHistogramCount, 0x1310, "histogram.count", kU, kHistogramName},
      {kHistogramSum, 0x1311, "histogram.sum", kD, kHistogramName},
      {kHistogramMin, 0x1312, "histogram.min", kD, kHistogramName},
      {kHistogramMax, 0x1313, "histogram.max", kD, kHistogramName},
      {kHistogramAvg, 0x1314, "histogram.avg", kD, kHistogramName},
      optional(kHistogramSumLow, 0x1315, "histogram.sum_low", kHistogramName),
      {kHistogramSamples, 0x1316, "histogram.samples", kU, kHistogramName},
      {kHistogramValuesEnd, 0x1318, "histogram.values_end", kU, kHistogramName, kEnds,
       kHistogramValue},
      {kHistogramBinsEnd, 0x1319, "histogram.bins_end", kU, kHistogramName, kEnds,
       kHistogramBinKey},
      {kHistogramValue, 0x1320, "histogram.value", kD, kHistogramValue},
      {kHistogramWeight, 0x1321, "histogram.weight", kU, kHistogramValue},
      {kHistogramBinKey, 0x1322, "histogram.bin_key", kS, kHistogramBinKey, Check::kInt16},
      {kHistogramBinCount, 0x1323, "histogram.bin_count", kU, kHistogramBinKey},
      {kDistributionName, 0x1401, "distribution.name", kU, kDistributionName, kId, kNamesEnd},
      {kDistributionHost, 0x1402, "distribution.host", kU, kDistributionName, kId, kHostsEnd},
      {kDistributionTagSet, 0x1403, "distribution.tag_set", kU, kDistributionName, kId,
       kTagSetsEnd},
      {kDistributionCount, 0x1410, "distribution.count", kU, kDistributionName},
      {kDistributionSum, 0x1411, "distribution.sum", kD, kDistributionName},
      {kDistributionMin, 0x1412, "distribution.min", kD, kDistributionName},
      {kDistributionMax, 0x1413, "distribution.max", kD, kDistributionName},
      {kDistributionAvg, 0x1414, "distribution.avg", kD, kDistributionName},
      optional(kDistributionSumLow, 0x1415, "distribution.sum_low", kDistributionName),
      optional(kDistributionWeighted, 0x1416, "distribution.weighted", kDistributionName),
      optional(kDistributionWeightedLow, 0x1417, "distribution.weighted_low", kDistributionName),
      {kDistributionBinsEnd, 0x1419, "distribution.bins_end", kU, kDistributionName, kEnds,
       kDistributionBinKey},
      {kDistributionBinKey, 0x1422, "distribution.bin_key", kS, kDistributionBinKey, Check::kInt16},
      {kDistributionBinCount, 0x1423, "distribution.bin_count", kU, kDistributionBinKey},
      {kTimestampedName, 0x1501, "timestamped.name", kU, kTimestampedName, kId, kNamesEnd},
      {kTimestampedHost, 0x1502, "timestamped.host", kU, kTimestampedName, kId, kHostsEnd},
      {kTimestampedTagSet, 0x1503, "timestamped.tag_set", kU, kTimestampedName, kId, kTagSetsEnd},
      {kTimestampedKind, 0x1510, "timestamped.kind", kU, kTimestampedName, Check::kAtMost, kCount,
       1},
      {kTimestampedTime, 0x1511, "timestamped.timestamp", kS, kTimestampedName},
      {kTimestampedValue, 0x1512, "timestamped.value", kD, kTimestampedName},
      {kEventTitle, 0x1601, "event.title", kU, kEventTitle, kId, kTextsEnd},
      {kEventText, 0x1602, "event.text", kU, kEventTitle, kId, kTextsEnd},
      {kEventTime, 0x1603, "event.timestamp", kS, kEventTitle},
      {kEventHost, 0x1604, "event.hostname", kU, kEventTitle, kId, kHostsEnd},
      {kEventAggregationKey, 0x1605, "event.aggregation_key", kU, kEventTitle, kId, kTextsEnd},
      {kEventSourceType, 0x1606, "event.source_type", kU, kEventTitle, kId, kTextsEnd},
      {kEventPriority, 0x1607, "event.priority", kU, kEventTitle, kId, kTextsEnd},
      {kEventAlertType, 0x1608, "event.alert_type", kU, kEventTitle, kId, kTextsEnd},
      {kEventContainer, 0x1609, "event.container_id", kU, kEventTitle, kId, kTextsEnd},
      {kEventCardinality, 0x160a, "event.cardinality", kU, kEventTitle, kId, kTextsEnd},
      {kEventTagSet, 0x160b, "event.tag_set", kU, kEventTitle, kId, kTagSetsEnd},
      {kEventInode, 0x160c, "event.inode", kU, kEventTitle},
      {kEventExternalData, 0x160d, "event.external_data", kU, kEventTitle, kId, kTextsEnd},
      {kCheckName, 0x1701, "service_check.name", kU, kCheckName, kId, kNamesEnd},
      {kCheckStatus, 0x1702, "service_check.status", kU, kCheckName, Check::kAtMost, kCount,
       UINT8_MAX},
      {kCheckTime, 0x1703, "service_check.timestamp", kS, kCheckName},
      {kCheckHost, 0x1704, "service_check.hostname", kU, kCheckName, kId, kHostsEnd},
      {kCheckMessage, 0x1705, "service_check.message", kU, kCheckName, kId, kTextsEnd},
      {kCheckContainer, 0x1706, "service_check.container_id", kU, kCheckName, kId, kTextsEnd},
      {kCheckCardinality, 0x1707, "service_check.cardinality", kU, kCheckName, kId, kTextsEnd},
      {kCheckTagSet, 0x1708, "service_check.tag_set", kU, kCheckName, kId, kTagSetsEnd},
      {kCheckInode, 0x1709, "service_check.inode", kU, kCheckName},
      {kCheckExternalData, 0x170a, "service_check.external_data", kU, kCheckName, kId, kTextsEnd},
  }};
}();

// The tables whose elements are rows, by their anchor.
inline constexpr std::array kRowAnchors = {Column::kCounterName,      Column::kGaugeName,
                                           Column::kSetName,          Column::kHistogramName,
                                           Column::kDistributionName, Column::kTimestampedName,
                                           Column::kEventTitle,       Column::kCheckName};

inline constexpr const ColumnSpec& spec(Column c) { return kColumnSpecs[index(c)]; }

static_assert([] {
  for (size_t i = 0; i < kColumns; ++i) {
    if (index(kColumnSpecs[i].column) != i) return false;
    if (i > 0 && kColumnSpecs[i].id <= kColumnSpecs[i - 1].id) return false;
  }
  return true;
}());

}  // namespace penstock::segment

#include <algorithm>
#include <optional>

#include "dataplane/api/segment.h"
#include "dataplane/api/segment_format.h"
#include "dataplane/base/strings.h"
#include "xxhash.h"

namespace penstock::segment {
namespace {

constexpr uint32_t kSectionsMax = 4096;  // far above what any version needs

// One section, once `open` has found that it lies inside the Segment.
struct ColumnView {
  const std::byte* data = nullptr;
  uint64_t count = 0;
  uint64_t base = 0;
  uint8_t width = 0;  // 8 for doubles, 1 for bytes

  [[nodiscard]] uint64_t at(size_t i) const {
    switch (width) {
      case 1:
        return base + load<uint8_t>(i);
      case 2:
        return base + load<uint16_t>(i);
      case 4:
        return base + load<uint32_t>(i);
      case 8:
        return base + load<uint64_t>(i);
      default:
        return base;
    }
  }
  [[nodiscard]] double number(size_t i) const { return load<double>(i); }
  [[nodiscard]] double number_or(size_t i, double other) const {
    return data == nullptr ? other : number(i);
  }
  [[nodiscard]] size_t begin_of(size_t i) const { return i == 0 ? 0 : at(i - 1); }

 private:
  template <class T>
  [[nodiscard]] T load(size_t i) const {
    T value;
    std::memcpy(&value, data + i * sizeof(T), sizeof(T));
    return value;
  }
};

using Columns = std::array<ColumnView, kColumns>;

absl::Status bad(std::string_view what, std::string_view why) {
  return absl::DataLossError(cat("segment: ", what, " ", why));
}

const ColumnSpec* find_spec(uint32_t id) {
  const auto* it = std::ranges::lower_bound(kColumnSpecs, id, {}, &ColumnSpec::id);
  return it != kColumnSpecs.end() && it->id == id ? it : nullptr;
}

// Bytes per element, if this version knows the encoding for that type.
std::optional<uint8_t> width_of(Type type, uint8_t encoding) {
  const auto e = static_cast<Encoding>(encoding);
  switch (type) {
    case Type::kBytes:
      return e == Encoding::kBytes ? std::optional<uint8_t>(1) : std::nullopt;
    case Type::kDouble:
      return e == Encoding::kF64 ? std::optional<uint8_t>(8) : std::nullopt;
    case Type::kHash:
      return e == Encoding::kU64 ? std::optional<uint8_t>(8) : std::nullopt;
    case Type::kUnsigned:
    case Type::kSigned:
      break;
  }
  const bool known = e == Encoding::kConstant || e == Encoding::kU8 || e == Encoding::kU16 ||
                     e == Encoding::kU32 || e == Encoding::kU64;
  return known ? std::optional<uint8_t>(encoding) : std::nullopt;
}

// Reads one entry of the directory into `columns`; skips a section nobody here knows.
absl::Status add_section(const SectionEntry& e, std::span<const std::byte> body, Columns& columns) {
  const ColumnSpec* spec = find_spec(e.id);
  if (e.offset % kAlignment != 0 || e.offset > body.size() || e.size > body.size() - e.offset) {
    return bad(spec != nullptr ? std::string(spec->name) : cat("section 0x", absl::Hex(e.id)),
               cat("is said to be the ", e.size, " bytes at byte ", e.offset,
                   ", which lie outside the Segment or not at a multiple of 8"));
  }
  const auto width = spec == nullptr ? std::nullopt : width_of(spec->type, e.encoding);
  if (!width || e.version != 1) {
    if ((e.flags & kMustUnderstand) == 0) return absl::OkStatus();
    return absl::UnimplementedError(cat("segment: section 0x", absl::Hex(e.id), " version ",
                                        e.version, " encoding ", e.encoding,
                                        " was written by a newer Penstock; update this one"));
  }
  // Anchors have bytes to show for their elements, and all other columns as many elements as their
  // anchor: so the Segment's size bounds every count.
  if (*width == 0 ? spec->anchor == spec->column
                  : e.count != e.size / *width || e.size % *width != 0) {
    return bad(spec->name, cat("has ", e.size, " bytes and is said to have ", e.count,
                               " elements, which does not fit"));
  }
  ColumnView& column = columns[index(spec->column)];
  if (column.data != nullptr) return bad(spec->name, "is there twice");
  if (spec->type == Type::kHash && e.base != 0) return bad(spec->name, "has a base");
  column = {body.data() + e.offset, e.count, e.base, *width};
  return absl::OkStatus();
}

std::string element(const ColumnSpec& spec, uint64_t i) {
  return cat("element ", i, " of ", spec.name);
}

absl::Status check_elements(const ColumnSpec& spec, const Columns& columns) {
  const ColumnView& column = columns[index(spec.column)];
  if (spec.optional && column.data == nullptr) return absl::OkStatus();
  if (column.count != columns[index(spec.anchor)].count) {
    return bad(spec.name, cat("has ", column.count, " elements, its table ",
                              columns[index(spec.anchor)].count));
  }
  const uint64_t n = column.count;
  const uint64_t other = spec.other == Column::kCount ? 0 : columns[index(spec.other)].count;
  switch (spec.check) {
    case Check::kNone:
      return absl::OkStatus();
    case Check::kIdIn:
      for (uint64_t i = 0; i < n; ++i) {
        if (column.at(i) >= other) return bad(element(spec, i), "names what is not there");
      }
      return absl::OkStatus();
    case Check::kEndsOf: {
      uint64_t end = 0;
      for (uint64_t i = 0; i < n; ++i) {
        const uint64_t next = column.at(i);
        if (next < end) return bad(element(spec, i), "lies before the one before it");
        end = next;
      }
      return end == other ? absl::OkStatus() : bad(spec.name, "does not end where its list ends");
    }
    case Check::kAtMost:
      for (uint64_t i = 0; i < n; ++i) {
        if (column.at(i) > spec.limit) return bad(element(spec, i), "is out of range");
      }
      return absl::OkStatus();
    case Check::kInt16:
      for (uint64_t i = 0; i < n; ++i) {
        const auto value = static_cast<int64_t>(column.at(i));
        if (value < INT16_MIN || value > INT16_MAX) {
          return bad(element(spec, i), "is out of range");
        }
      }
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status check_header(const Header& header, std::span<const std::byte> bytes) {
  if (header.magic != kMagic) return bad("the first 8 bytes", "are not those of a Segment");
  if (header.version != kFormatVersion) {
    return absl::UnimplementedError(cat("segment: format version ", header.version,
                                        "; this Penstock reads version ", kFormatVersion));
  }
  if (header.size != bytes.size()) {
    return bad(cat("there are ", bytes.size(), " bytes, the header says ", header.size, ":"),
               bytes.size() < header.size ? "the end is missing" : "there is more behind the end");
  }
  uint64_t checksum;
  std::memcpy(&checksum, bytes.data() + bytes.size() - kChecksumBytes, kChecksumBytes);
  if (XXH3_64bits(bytes.data(), bytes.size() - kChecksumBytes) != checksum) {
    return bad(cat("the checksum at byte ", bytes.size() - kChecksumBytes),
               "is not that of the bytes before it: some were changed");
  }
  if (header.interval_s == 0) return bad("interval", "is 0");
  const uint64_t room = (bytes.size() - sizeof(Header) - kChecksumBytes) / sizeof(SectionEntry);
  if (header.sections > kSectionsMax || header.sections > room) {
    return bad("directory", "lies outside the Segment");
  }
  return absl::OkStatus();
}

// Turns ids into views. The tags of the last tag set are kept: neighbours often share theirs.
class Strings {
 public:
  explicit Strings(const Columns& columns) : columns_(columns) {}

  [[nodiscard]] std::string_view at(Column ends, uint64_t id) const {
    const ColumnView& end = columns_[index(ends)];
    const size_t begin = end.begin_of(id);
    const ColumnView& bytes = columns_[index(ends) + 1];
    return {reinterpret_cast<const char*>(bytes.data) + begin, end.at(id) - begin};
  }

  // Valid until the next call.
  std::span<const std::string_view> tags(uint64_t tag_set) {
    if (tag_set != tag_set_) {
      const ColumnView& end = columns_[index(Column::kTagSetsEnd)];
      const ColumnView& tag = columns_[index(Column::kTagSetsTag)];
      tags_.clear();
      for (size_t i = end.begin_of(tag_set); i < end.at(tag_set); ++i) {
        tags_.push_back(at(Column::kTagsEnd, tag.at(i)));
      }
      tag_set_ = tag_set;
    }
    return tags_;
  }

 private:
  const Columns& columns_;
  uint64_t tag_set_ = UINT64_MAX;
  std::vector<std::string_view> tags_;
};

}  // namespace

struct Reader::Impl {
  Meta meta{};
  uint64_t rows = 0;
  Columns columns;

  [[nodiscard]] const ColumnView& at(Column c) const { return columns[index(c)]; }
};

namespace {

// One pass over all rows.
class Walk {
 public:
  Walk(const Columns& columns, Reader::Visitor& visitor)
      : columns_(columns), strings_(columns), visitor_(visitor) {}

  void counters() {
    for (size_t i = 0; i < at(Column::kCounterName).count; ++i) {
      visitor_.counter(
          context(Column::kCounterName, i),
          {at(Column::kCounterSum).number(i), at(Column::kCounterSumLow).number_or(i, 0)});
    }
  }

  void gauges() {
    for (size_t i = 0; i < at(Column::kGaugeName).count; ++i) {
      visitor_.gauge(context(Column::kGaugeName, i), at(Column::kGaugeValue).number(i),
                     static_cast<int64_t>(at(Column::kGaugeTime).at(i)),
                     static_cast<uint32_t>(at(Column::kGaugeShard).at(i)));
    }
  }

  void sets() {
    const auto* members = reinterpret_cast<const uint64_t*>(at(Column::kSetMember).data);
    const ColumnView& end = at(Column::kSetMembersEnd);
    for (size_t i = 0; i < at(Column::kSetName).count; ++i) {
      const size_t begin = end.begin_of(i);
      visitor_.set(context(Column::kSetName, i), {members + begin, end.at(i) - begin});
    }
  }

  void histograms() {
    const ColumnView& end = at(Column::kHistogramValuesEnd);
    for (size_t i = 0; i < at(Column::kHistogramName).count; ++i) {
      Summary s = summary(Column::kHistogramCount, i);
      s.samples = at(Column::kHistogramSamples).at(i);
      values_.clear();
      for (size_t v = end.begin_of(i); v < end.at(i); ++v) {
        values_.push_back(
            {at(Column::kHistogramValue).number(v), at(Column::kHistogramWeight).at(v)});
      }
      visitor_.histogram(
          context(Column::kHistogramName, i), s, values_,
          bins(Column::kHistogramBinsEnd, Column::kHistogramBinKey, Column::kHistogramBinCount, i));
    }
  }

  void distributions() {
    const ColumnView& weighted = at(Column::kDistributionWeighted);
    for (size_t i = 0; i < at(Column::kDistributionName).count; ++i) {
      Summary s = summary(Column::kDistributionCount, i);
      if (weighted.data != nullptr)
        s.weighted = {weighted.number(i), at(Column::kDistributionWeightedLow).number_or(i, 0)};
      visitor_.distribution(context(Column::kDistributionName, i), s,
                            bins(Column::kDistributionBinsEnd, Column::kDistributionBinKey,
                                 Column::kDistributionBinCount, i));
    }
  }

  void timestamped() {
    for (size_t i = 0; i < at(Column::kTimestampedName).count; ++i) {
      visitor_.timestamped(static_cast<Kind>(at(Column::kTimestampedKind).at(i)),
                           context(Column::kTimestampedName, i),
                           static_cast<int64_t>(at(Column::kTimestampedTime).at(i)),
                           at(Column::kTimestampedValue).number(i));
    }
  }

  void events() {
    for (size_t i = 0; i < at(Column::kEventTitle).count; ++i) {
      visitor_.event({.title = text(Column::kEventTitle, i),
                      .text = text(Column::kEventText, i),
                      .timestamp = static_cast<int64_t>(at(Column::kEventTime).at(i)),
                      .hostname = strings_.at(Column::kHostsEnd, at(Column::kEventHost).at(i)),
                      .aggregation_key = text(Column::kEventAggregationKey, i),
                      .source_type = text(Column::kEventSourceType, i),
                      .priority = text(Column::kEventPriority, i),
                      .alert_type = text(Column::kEventAlertType, i),
                      .container_id = text(Column::kEventContainer, i),
                      .cardinality = text(Column::kEventCardinality, i),
                      .tags = strings_.tags(at(Column::kEventTagSet).at(i)),
                      .inode = at(Column::kEventInode).at(i),
                      .external_data = text(Column::kEventExternalData, i)});
    }
  }

  void service_checks() {
    for (size_t i = 0; i < at(Column::kCheckName).count; ++i) {
      visitor_.service_check(
          {.name = strings_.at(Column::kNamesEnd, at(Column::kCheckName).at(i)),
           .status = static_cast<uint8_t>(at(Column::kCheckStatus).at(i)),
           .timestamp = static_cast<int64_t>(at(Column::kCheckTime).at(i)),
           .hostname = strings_.at(Column::kHostsEnd, at(Column::kCheckHost).at(i)),
           .message = text(Column::kCheckMessage, i),
           .container_id = text(Column::kCheckContainer, i),
           .cardinality = text(Column::kCheckCardinality, i),
           .tags = strings_.tags(at(Column::kCheckTagSet).at(i)),
           .inode = at(Column::kCheckInode).at(i),
           .external_data = text(Column::kCheckExternalData, i)});
    }
  }

 private:
  [[nodiscard]] const ColumnView& at(Column c) const { return columns_[index(c)]; }
  [[nodiscard]] std::string_view text(Column c, size_t i) const {
    return strings_.at(Column::kTextsEnd, at(c).at(i));
  }

  Context context(Column name, size_t i) {
    const size_t first = index(name);
    return {strings_.at(Column::kNamesEnd, columns_[first].at(i)),
            strings_.at(Column::kHostsEnd, columns_[first + 1].at(i)),
            strings_.tags(columns_[first + 2].at(i))};
  }

  [[nodiscard]] Summary summary(Column count, size_t i) const {
    const size_t first = index(count);
    return {columns_[first].at(i),         columns_[first + 1].number(i),
            columns_[first + 2].number(i), columns_[first + 3].number(i),
            columns_[first + 4].number(i), columns_[first + 5].number_or(i, 0)};
  }

  std::span<const Bin> bins(Column ends, Column key, Column count, size_t i) {
    bins_.clear();
    const ColumnView& end = at(ends);
    for (size_t b = end.begin_of(i); b < end.at(i); ++b) {
      bins_.push_back({static_cast<int16_t>(at(key).at(b)), at(count).at(b)});
    }
    return bins_;
  }

  const Columns& columns_;
  Strings strings_;
  Reader::Visitor& visitor_;
  std::vector<WeightedValue> values_;
  std::vector<Bin> bins_;
};

}  // namespace

Reader::Reader(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<Reader> Reader::open(std::span<const std::byte> bytes) {
  if (reinterpret_cast<uintptr_t>(bytes.data()) % kAlignment != 0) {
    return absl::InvalidArgumentError("segment: the bytes do not begin at a multiple of 8");
  }
  if (bytes.size() < sizeof(Header) + kChecksumBytes) {
    return bad(cat("there are only ", bytes.size(), " bytes:"), "too few for header and checksum");
  }
  Header header;
  std::memcpy(&header, bytes.data(), sizeof header);
  RETURN_IF_ERROR(check_header(header, bytes));

  auto impl = std::make_shared<Impl>();
  impl->meta = {header.instance, header.sequence, header.bucket_start, header.interval_s,
                header.samples};
  impl->rows = header.rows;
  const std::span<const std::byte> body = bytes.first(bytes.size() - kChecksumBytes);
  for (uint32_t i = 0; i < header.sections; ++i) {
    SectionEntry entry;
    std::memcpy(&entry, bytes.data() + sizeof header + i * sizeof entry, sizeof entry);
    RETURN_IF_ERROR(add_section(entry, body, impl->columns));
  }
  for (const ColumnSpec& spec : kColumnSpecs) {
    RETURN_IF_ERROR(check_elements(spec, impl->columns));
  }
  uint64_t rows = 0;
  for (const Column anchor : kRowAnchors) rows += impl->at(anchor).count;
  if (rows != header.rows) {
    return bad(cat("there are ", rows, " rows,"), cat("the header says ", header.rows));
  }
  return Reader(std::move(impl));
}

const Meta& Reader::meta() const { return impl_->meta; }
uint64_t Reader::rows() const { return impl_->rows; }

std::array<uint64_t, 8> Reader::rows_by_table() const {
  std::array<uint64_t, 8> rows;
  std::ranges::transform(kRowAnchors, rows.begin(), [&](Column c) { return impl_->at(c).count; });
  return rows;
}

void Reader::visit(Visitor& visitor) const {
  Walk walk(impl_->columns, visitor);
  walk.counters();
  walk.gauges();
  walk.sets();
  walk.histograms();
  walk.distributions();
  walk.timestamped();
  walk.events();
  walk.service_checks();
}

}  // namespace penstock::segment

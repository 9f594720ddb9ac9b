#include <algorithm>
#include <random>
#include <string>
#include <utility>

#include "dataplane/api/column_buffer.h"
#include "dataplane/api/segment.h"
#include "dataplane/api/segment_format.h"
#include "xxhash.h"

namespace penstock::segment {
namespace {

using Words = std::vector<uint64_t>;

// Unknown to clients, so that nobody can choose names that fall into one chain of a table.
uint64_t process_seed() {
  static const uint64_t seed = [] {
    std::random_device device;
    return uint64_t{device()} << 32 | device();
  }();
  return seed;
}

// Open addressing from a hash to a dense id. A slot keeps the hash's high half beside the id: most
// probes need not touch what they compare with, and growing needs no rehash.
class IdTable {
 public:
  // The id for which `equal(id)` holds, or `next` (the number of ids so far), which is then taken.
  template <class Equal>
  uint32_t find_or_add(uint64_t hash, uint32_t next, const Equal& equal) {
    if ((size_t{next} + 1) * 2 > slots_.size()) grow();
    const uint64_t mark = hash & kMark;
    size_t i = home(mark);
    for (; slots_[i] != 0; i = (i + 1) & mask()) {
      const auto id = static_cast<uint32_t>(slots_[i]) - 1;
      if ((slots_[i] & kMark) == mark && equal(id)) return id;
    }
    slots_[i] = mark | (next + 1);
    return next;
  }

 private:
  static constexpr uint64_t kMark = ~uint64_t{UINT32_MAX};

  [[nodiscard]] size_t mask() const { return slots_.size() - 1; }
  [[nodiscard]] size_t home(uint64_t slot) const { return (slot >> 32) & mask(); }

  void grow() {
    Words old(std::max<size_t>(slots_.size() * 2, 64));
    old.swap(slots_);
    for (const uint64_t slot : old) {
      if (slot == 0) continue;
      size_t i = home(slot);
      while (slots_[i] != 0) i = (i + 1) & mask();
      slots_[i] = slot;
    }
  }

  Words slots_;
};

// Each distinct string once.
class Dictionary {
 public:
  uint32_t id(std::string_view s) {
    const uint64_t hash = XXH3_64bits_withSeed(s.data(), s.size(), process_seed());
    const auto next = static_cast<uint32_t>(ends.size());
    const uint32_t id = table_.find_or_add(hash, next, [&](uint32_t i) { return at(i) == s; });
    if (id == next) {
      bytes.append(s);
      ends.push_back(bytes.size());
    }
    return id;
  }

  // Gives the memory of the index back; no `id` later.
  void forget() { table_ = {}; }

  Words ends;
  std::string bytes;

 private:
  [[nodiscard]] std::string_view at(uint32_t i) const {
    const size_t begin = i == 0 ? 0 : ends[i - 1];
    return {bytes.data() + begin, ends[i] - begin};
  }

  IdTable table_;
};

// Each distinct list of tag ids once.
class TagSets {
 public:
  uint32_t id(std::span<const uint32_t> set) {
    const uint64_t hash = XXH3_64bits_withSeed(set.data(), set.size_bytes(), process_seed());
    const auto next = static_cast<uint32_t>(ends.size());
    const uint32_t id =
        table_.find_or_add(hash, next, [&](uint32_t i) { return std::ranges::equal(at(i), set); });
    if (id == next) {
      tags.insert(tags.end(), set.begin(), set.end());
      ends.push_back(tags.size());
    }
    return id;
  }

  Words ends;
  std::vector<uint32_t> tags;

 private:
  [[nodiscard]] std::span<const uint32_t> at(uint32_t i) const {
    const size_t begin = i == 0 ? 0 : ends[i - 1];
    return std::span(tags).subspan(begin, ends[i] - begin);
  }

  IdTable table_;
};

struct Section {
  SectionEntry entry{};
  ColumnBuffer words;  // every type but kBytes
  std::string bytes;   // kBytes
};

size_t align(size_t n) { return (n + kAlignment - 1) / kAlignment * kAlignment; }

// Chooses the narrowest encoding. An anchor is at least a byte wide, so that a Segment's size
// bounds the elements it can claim to have.
Section make_section(const ColumnSpec& spec, ColumnBuffer words, std::string bytes) {
  Section s;
  s.words = std::move(words);
  s.bytes = std::move(bytes);
  SectionEntry& e = s.entry;
  e.id = spec.id;
  e.version = 1;
  e.flags = spec.optional ? 0 : kMustUnderstand;
  e.count = spec.type == Type::kBytes ? s.bytes.size() : s.words.size();
  Encoding encoding = Encoding::kU64;
  size_t width = 8;
  if (spec.type == Type::kBytes) {
    encoding = Encoding::kBytes;
    width = 1;
  } else if (spec.type == Type::kDouble) {
    encoding = Encoding::kF64;
  } else if (spec.type != Type::kHash && e.count > 0) {
    const auto [min, max] = s.words.range(spec.type == Type::kSigned);
    const uint64_t range = max - min;
    width = range > UINT32_MAX ? 8 : range > UINT16_MAX ? 4 : range > UINT8_MAX ? 2 : 1;
    if (range == 0 && spec.anchor != spec.column) width = 0;
    encoding = static_cast<Encoding>(width);
    e.base = min;
  }
  e.encoding = static_cast<uint8_t>(encoding);
  e.size = e.count * width;
  return s;
}

void store(const Section& s, std::byte* out) {
  const uint64_t base = s.entry.base;
  switch (static_cast<Encoding>(s.entry.encoding)) {
    case Encoding::kConstant:
      return;
    case Encoding::kU8:
      return s.words.store<uint8_t>(base, out);
    case Encoding::kU16:
      return s.words.store<uint16_t>(base, out);
    case Encoding::kU32:
      return s.words.store<uint32_t>(base, out);
    case Encoding::kU64:
    case Encoding::kF64:
      return s.words.store<uint64_t>(base, out);
    case Encoding::kBytes:
      std::memcpy(out, s.bytes.data(), s.bytes.size());
  }
}

// Empties `from`.
template <class Word>
void append(ColumnBuffer& to, std::vector<Word>& from) {
  for (const Word word : from) to.push(word);
  from = {};
}

}  // namespace

struct Writer::Impl {
  explicit Impl(const Meta& m) : meta(m) {}

  ColumnBuffer& at(Column c) { return columns[index(c)]; }
  void put(Column c, uint64_t value) { at(c).push(value); }
  void put(Column c, int64_t value) { at(c).push(static_cast<uint64_t>(value)); }
  void put(Column c, uint32_t value) { at(c).push(value); }
  void put(Column c, double value) { at(c).push(std::bit_cast<uint64_t>(value)); }

  uint32_t tag_set(std::span<const std::string_view> set) {
    scratch.clear();
    for (const std::string_view tag : set) scratch.push_back(tags.id(tag));
    return tag_sets.id(scratch);
  }

  std::string take_bytes(Column c) {
    switch (c) {
      case Column::kNamesBytes:
        return std::move(names.bytes);
      case Column::kHostsBytes:
        return std::move(hosts.bytes);
      case Column::kTagsBytes:
        return std::move(tags.bytes);
      case Column::kTextsBytes:
        return std::move(texts.bytes);
      default:
        return {};
    }
  }

  // The first three columns of every table of metrics.
  void context(Column name, const Context& c) {
    ++rows;
    columns[index(name)].push(names.id(c.name));
    columns[index(name) + 1].push(hosts.id(c.host));
    columns[index(name) + 2].push(tag_set(c.tags));
  }

  // An element of an optional column for the last row of its table; the column begins with the
  // first that is not 0.
  void put_optional(Column c, double value) {
    if (value == 0) return;
    fill_up(c, at(spec(c).anchor).size() - 1);
    put(c, value);
  }

  // The six columns from `count` on.
  void summary(Column count, const Summary& s) {
    columns[index(count)].push(s.count);
    size_t i = index(count);
    for (const double value : {s.sum, s.min, s.max, s.avg}) {
      columns[++i].push(std::bit_cast<uint64_t>(value));
    }
    put_optional(static_cast<Column>(i + 1), s.sum_low);
  }

  void fill_up(Column c, uint64_t size) {
    while (at(c).size() < size) put(c, uint64_t{0});
  }

  void complete_optional_columns() {
    if (!weighted_differs) {
      at(Column::kDistributionWeighted) = {};
      at(Column::kDistributionWeightedLow) = {};
    }
    for (const ColumnSpec& spec : kColumnSpecs) {
      if (spec.optional && at(spec.column).size() != 0) {
        fill_up(spec.column, at(spec.anchor).size());
      }
    }
  }

  void bins(Column end, Column key, Column count, std::span<const Bin> bins) {
    for (const Bin& b : bins) {
      put(key, int64_t{b.key});
      put(count, b.count);
    }
    put(end, at(key).size());
  }

  Meta meta;
  uint64_t rows = 0;
  bool weighted_differs = false;  // of a distribution, from its sum
  Dictionary names, hosts, tags, texts;
  TagSets tag_sets;
  std::array<ColumnBuffer, kColumns> columns;
  std::vector<uint32_t> scratch;
};

Writer::Writer(const Meta& meta) : impl_(std::make_unique<Impl>(meta)) {}
Writer::Writer(Writer&&) noexcept = default;
Writer& Writer::operator=(Writer&&) noexcept = default;
Writer::~Writer() = default;

uint64_t Writer::rows() const { return impl_->rows; }

void Writer::counter(const Context& c, ExactSum sum) {
  impl_->context(Column::kCounterName, c);
  impl_->put(Column::kCounterSum, sum.high);
  impl_->put_optional(Column::kCounterSumLow, sum.low);
}

void Writer::gauge(const Context& c, double value, int64_t time_ms, uint32_t shard) {
  impl_->context(Column::kGaugeName, c);
  impl_->put(Column::kGaugeValue, value);
  impl_->put(Column::kGaugeTime, time_ms);
  impl_->put(Column::kGaugeShard, shard);
}

void Writer::set(const Context& c, std::span<const uint64_t> members) {
  impl_->context(Column::kSetName, c);
  for (const uint64_t member : members) impl_->put(Column::kSetMember, member);
  impl_->put(Column::kSetMembersEnd, impl_->at(Column::kSetMember).size());
}

void Writer::histogram(const Context& c, const Summary& s, std::span<const WeightedValue> values,
                       std::span<const Bin> bins) {
  impl_->context(Column::kHistogramName, c);
  impl_->summary(Column::kHistogramCount, s);
  impl_->put(Column::kHistogramSamples, s.samples);
  for (const WeightedValue& v : values) {
    impl_->put(Column::kHistogramValue, v.value);
    impl_->put(Column::kHistogramWeight, v.weight);
  }
  impl_->put(Column::kHistogramValuesEnd, impl_->at(Column::kHistogramValue).size());
  impl_->bins(Column::kHistogramBinsEnd, Column::kHistogramBinKey, Column::kHistogramBinCount,
              bins);
}

void Writer::distribution(const Context& c, const Summary& s, std::span<const Bin> bins) {
  impl_->context(Column::kDistributionName, c);
  impl_->summary(Column::kDistributionCount, s);
  impl_->weighted_differs |= s.weighted_sum() != s.exact_sum();
  impl_->put(Column::kDistributionWeighted, s.weighted_sum().high);
  impl_->put_optional(Column::kDistributionWeightedLow, s.weighted_sum().low);
  impl_->bins(Column::kDistributionBinsEnd, Column::kDistributionBinKey,
              Column::kDistributionBinCount, bins);
}

void Writer::timestamped(Kind kind, const Context& c, int64_t timestamp, double value) {
  impl_->context(Column::kTimestampedName, c);
  impl_->put(Column::kTimestampedKind, static_cast<uint32_t>(kind));
  impl_->put(Column::kTimestampedTime, timestamp);
  impl_->put(Column::kTimestampedValue, value);
}

void Writer::event(const Event& e) {
  Impl& w = *impl_;
  ++w.rows;
  w.put(Column::kEventTitle, w.texts.id(e.title));
  w.put(Column::kEventText, w.texts.id(e.text));
  w.put(Column::kEventTime, e.timestamp);
  w.put(Column::kEventHost, w.hosts.id(e.hostname));
  w.put(Column::kEventAggregationKey, w.texts.id(e.aggregation_key));
  w.put(Column::kEventSourceType, w.texts.id(e.source_type));
  w.put(Column::kEventPriority, w.texts.id(e.priority));
  w.put(Column::kEventAlertType, w.texts.id(e.alert_type));
  w.put(Column::kEventContainer, w.texts.id(e.container_id));
  w.put(Column::kEventCardinality, w.texts.id(e.cardinality));
  w.put(Column::kEventTagSet, w.tag_set(e.tags));
  w.put(Column::kEventInode, e.inode);
  w.put(Column::kEventExternalData, w.texts.id(e.external_data));
}

void Writer::service_check(const ServiceCheck& c) {
  Impl& w = *impl_;
  ++w.rows;
  w.put(Column::kCheckName, w.names.id(c.name));
  w.put(Column::kCheckStatus, uint32_t{c.status});
  w.put(Column::kCheckTime, c.timestamp);
  w.put(Column::kCheckHost, w.hosts.id(c.hostname));
  w.put(Column::kCheckMessage, w.texts.id(c.message));
  w.put(Column::kCheckContainer, w.texts.id(c.container_id));
  w.put(Column::kCheckCardinality, w.texts.id(c.cardinality));
  w.put(Column::kCheckTagSet, w.tag_set(c.tags));
  w.put(Column::kCheckInode, c.inode);
  w.put(Column::kCheckExternalData, w.texts.id(c.external_data));
}

std::vector<std::byte> Writer::finish(uint64_t samples) {
  Impl& w = *impl_;
  w.complete_optional_columns();
  for (auto& [column, dictionary] :
       {std::pair(Column::kNamesEnd, &w.names), std::pair(Column::kHostsEnd, &w.hosts),
        std::pair(Column::kTagsEnd, &w.tags), std::pair(Column::kTextsEnd, &w.texts)}) {
    append(w.at(column), dictionary->ends);
    dictionary->forget();
  }
  append(w.at(Column::kTagSetsEnd), w.tag_sets.ends);
  append(w.at(Column::kTagSetsTag), w.tag_sets.tags);
  w.tag_sets = {};

  std::vector<Section> sections;
  for (const ColumnSpec& spec : kColumnSpecs) {
    Section s = make_section(spec, std::move(w.at(spec.column)), w.take_bytes(spec.column));
    if (s.entry.count > 0) sections.push_back(std::move(s));
  }
  size_t offset = sizeof(Header) + sections.size() * sizeof(SectionEntry);
  for (Section& s : sections) {
    s.entry.offset = offset;
    offset = align(offset + s.entry.size);
  }

  std::vector<std::byte> out(offset + kChecksumBytes);
  const Header header{.magic = kMagic,
                      .version = kFormatVersion,
                      .reserved = 0,
                      .sections = static_cast<uint32_t>(sections.size()),
                      .size = out.size(),
                      .instance = w.meta.instance,
                      .sequence = w.meta.sequence,
                      .bucket_start = w.meta.bucket_start,
                      .interval_s = w.meta.interval_s,
                      .reserved2 = 0,
                      .samples = samples,
                      .rows = w.rows};
  std::memcpy(out.data(), &header, sizeof header);
  std::byte* entry = out.data() + sizeof header;
  for (Section& s : sections) {
    std::memcpy(entry, &s.entry, sizeof s.entry);
    entry += sizeof s.entry;
    store(s, out.data() + s.entry.offset);
    s = Section{};  // gives its memory back early
  }
  const uint64_t checksum = XXH3_64bits(out.data(), offset);
  std::memcpy(out.data() + offset, &checksum, sizeof checksum);
  return out;
}

}  // namespace penstock::segment

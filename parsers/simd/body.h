#pragma once

#include "parsers/dogstatsd/fields.h"
#include "parsers/simd/kernel.h"

// The generic body of a kernel. `Ops` is what differs between instruction sets:
//   Block                          64 bytes in registers
//   Block load(const char*)        any alignment
//   uint64_t equal(Block, char)    bit i: byte i is that character
//   bool short_number(const char* text, size_t size, double& out)
//                                  perhaps `-`, then digits with at most one point; false: not so,
//                                  or more digits than it can round correctly (64 bytes are
//                                  readable from `text`, `size` is not 0)
// Each build has an `Ops` of its own in an unnamed namespace, so that what is instantiated here is
// local to it. Functions shared with other files must stay out of here, or be calls: an inline
// function of the standard library that the compiler does not inline becomes one copy for the whole
// process, built for whichever instruction set the linker saw first. tests/integration/test_tree.py
// looks for such copies.
namespace penstock::simd {

template <class Ops>
struct Body {
  using Line = dogstatsd::Line;
  using Reason = dogstatsd::Reason;
  using Type = dogstatsd::Type;
  using Metric = dogstatsd::Metric;

  static constexpr size_t kBlock = 64;
  static constexpr size_t kLines = 64;  // found by one look at the packet

  // The lowest `n` bits, n up to 64 or more.
  static uint64_t low_bits(size_t n) { return n < kBlock ? (uint64_t{1} << n) - 1 : ~uint64_t{0}; }

  // 63 where there is none, and no branch to find that out.
  static uint32_t lowest_bit(uint64_t mask) {
    return static_cast<uint32_t>(__builtin_ctzll(mask | uint64_t{1} << (kBlock - 1)));
  }

  // Offsets of up to kLines newlines, plus what else the last block held. Offsets are written
  // whether there or not, because a branch on their number would be mispredicted for every other
  // block: one where lines are long, four where a block holds two. That much a predictor learns.
  struct Newlines {
    static constexpr size_t kStep = 4;
    uint32_t at[kLines + kBlock + kStep];
    size_t count = 0;

    void add(uint64_t mask, size_t block) {
      const auto base = static_cast<uint32_t>(block);
      const auto found = static_cast<size_t>(__builtin_popcountll(mask));
      uint32_t* to = at + count;
      count += found;
      *to++ = base + lowest_bit(mask);
      mask &= mask - 1;
      if (mask == 0) return;
      for (size_t i = 1; i < kStep; ++i, mask &= mask - 1) *to++ = base + lowest_bit(mask);
      for (size_t i = kStep; i < found; ++i, mask &= mask - 1) [[unlikely]] {
          *to++ = base + lowest_bit(mask);
        }
    }
  };

  static void find_newlines(const char* data, size_t size, size_t at, size_t enough,
                            Newlines& out) {
    size_t block = at;
    for (; block + kBlock <= size && out.count < enough; block += kBlock) {
      out.add(Ops::equal(Ops::load(data + block), '\n'), block);
    }
    if (block < size && out.count < enough) {
      out.add(Ops::equal(Ops::load(data + block), '\n') & low_bits(size - block), block);
    }
  }

  static size_t split(const char* data, size_t size, size_t& at, Line* out, size_t capacity) {
    capacity = capacity < kLines ? capacity : kLines;
    size_t written = 0;
    while (written == 0 && at < size) {  // again only where all lines of one look were empty
      Newlines newlines;
      find_newlines(data, size, at, capacity, newlines);
      const size_t whole = newlines.count < capacity ? newlines.count : capacity;
      for (size_t i = 0; i < whole; ++i) {
        const size_t end = newlines.at[i];
        written += cut(data + at, end - at, out[written]) ? 1 : 0;
        at = end + 1;
      }
      if (whole < capacity && at < size) {
        cut(data + at, size - at, out[written]);
        out[written++].terminated = false;
        at = size;
      }
    }
    return written;
  }

  // False: an empty line.
  static bool cut(const char* data, size_t size, Line& out) {
    if (size != 0 && data[size - 1] == '\r') --size;
    describe(data, size, out);
    return size != 0;
  }

  static Line line(std::string_view message) {
    Line out;
    describe(message.data(), message.size(), out);
    return out;
  }

  static void describe(const char* data, size_t size, Line& out) {
    out.data = data;
    out.size = static_cast<uint32_t>(size);
    out.terminated = true;
    out.what = dogstatsd::Class::kMetric;
    out.reason = Reason::kOk;
    if (data[0] == '_') [[unlikely]] {
      out.what = dogstatsd::classify({data, size});
      if (out.what != dogstatsd::Class::kMetric) return;
    }
    out.reason = find_parts(out);
  }

  // Steps 1 and 2 of spec 5.1. The first pipe and the first colon are nearly always in the line's
  // first block.
  static Reason find_parts(Line& line) {
    const auto block = Ops::load(line.data);
    const uint64_t pipes = Ops::equal(block, '|');
    const uint32_t pipe = lowest_bit(pipes);
    const uint32_t colon = lowest_bit(Ops::equal(block, ':'));
    if (pipes == 0 || pipe >= line.size) [[unlikely]]
      return find_distant_parts(line);
    if (colon >= pipe) [[unlikely]]
      return Reason::kNoColon;
    return set_parts(line, colon, pipe);
  }

  [[gnu::noinline]] static Reason find_distant_parts(Line& line) {
    const char* end = line.data + line.size;
    const char* pipe = find(line.data, end, '|');
    if (pipe == end) return Reason::kNoPipe;
    const char* colon = find(line.data, pipe, ':');
    if (colon == pipe) return Reason::kNoColon;
    return set_parts(line, static_cast<uint32_t>(colon - line.data),
                     static_cast<uint32_t>(pipe - line.data));
  }

  static Reason set_parts(Line& line, uint32_t colon, uint32_t pipe) {
    line.name_size = colon;
    line.value_end = pipe;
    if (colon == 0) [[unlikely]]
      return Reason::kEmptyName;
    if (colon + 1 == pipe) [[unlikely]]
      return Reason::kEmptyValue;
    return Reason::kOk;
  }

  // The first `c` in [at, end), or end. What a block finds behind the end is the end.
  static const char* find(const char* at, const char* end, char c) {
    for (; at < end; at += kBlock) {
      const uint64_t mask = Ops::equal(Ops::load(at), c);
      if (mask == 0) continue;
      const char* const found = at + lowest_bit(mask);
      return found < end ? found : end;
    }
    return end;
  }

  [[gnu::noinline]] static bool parse_number(const char* text, size_t size, double& out) {
    return Ops::short_number(text, size, out) || dogstatsd::parse_float({text, size}, out);
  }

  static Reason parse_values(std::string_view value, std::span<double> out, size_t& count) {
    if (!Ops::short_number(value.data(), value.size(), *out.data())) [[unlikely]]
      return parse_long(value, out, count);
    count = 1;
    return Reason::kOk;
  }

  // Packed values, or one that is not short.
  [[gnu::noinline]] static Reason parse_long(std::string_view value, std::span<double> out,
                                             size_t& count) {
    const char* at = value.data();
    const char* const end = at + value.size();
    count = 0;
    for (;;) {
      const char* const colon = find(at, end, ':');
      const auto size = static_cast<size_t>(colon - at);
      if (size != 0 && !parse_number(at, size, out.data()[count++])) return Reason::kBadValue;
      if (colon == end) return count != 0 ? Reason::kOk : Reason::kNoValues;
      at = colon + 1;
    }
  }

  // Takes the type off `at`, leaving it at the pipe after it or at the end.
  static bool take_type(const char*& at, const char* end, Type& out) {
    const auto size = static_cast<size_t>(end - at);
    if (size == 0) return false;
    if (size == 1 || at[1] == '|') [[likely]] {
      const uint8_t type = kTypes.of[static_cast<uint8_t>(*at++)];
      out = static_cast<Type>(type);
      return type != kNoType;
    }
    if (at[0] != 'm' || at[1] != 's' || (size > 2 && at[2] != '|')) return false;
    out = Type::kTiming;
    at += 2;
    return true;
  }

  static constexpr uint8_t kNoType = 255;
  struct Types {
    uint8_t of[256];
    constexpr Types() : of() {
      for (uint8_t& type : of) type = kNoType;
      of[static_cast<uint8_t>('c')] = static_cast<uint8_t>(Type::kCount);
      of[static_cast<uint8_t>('g')] = static_cast<uint8_t>(Type::kGauge);
      of[static_cast<uint8_t>('h')] = static_cast<uint8_t>(Type::kHistogram);
      of[static_cast<uint8_t>('d')] = static_cast<uint8_t>(Type::kDistribution);
      of[static_cast<uint8_t>('s')] = static_cast<uint8_t>(Type::kSet);
    }
  };
  static constexpr Types kTypes{};

  static Reason parse_metric(const Line& line, const dogstatsd::Options& options,
                             std::span<double> scratch, Metric& out) {
    const char* const end = line.data + line.size;
    const char* at = line.data + line.value_end + 1;
    out.rate = 1;
    out.tags = {};
    out.has_tags = false;
    out.timestamp = 0;
    out.origin = {};
    out.values = 1;
    if (!take_type(at, end, out.type)) [[unlikely]]
      return Reason::kBadType;
    if (out.type != Type::kSet) {
      const Reason reason = parse_values(line.value(), scratch, out.values);
      if (reason != Reason::kOk) [[unlikely]]
        return reason;
    }
    return at == end ? Reason::kOk : parse_fields(at, end, options, out);
  }

  // From the pipe after the type.
  [[gnu::noinline]] static Reason parse_fields(const char* at, const char* end,
                                               const dogstatsd::Options& options, Metric& out) {
    while (at != end) {
      const char* const field = at + 1;
      at = find(field, end, '|');
      const Reason reason = parse_field(field, at, options, out);
      if (reason != Reason::kOk) [[unlikely]]
        return reason;
    }
    return Reason::kOk;
  }

  // One optional field (spec 5.4). Kinds are told apart by prefix; what is none of them is ignored.
  static Reason parse_field(const char* field, const char* end, const dogstatsd::Options& options,
                            Metric& out) {
    if (field == end) return Reason::kOk;
    const auto size = static_cast<size_t>(end - field) - 1;
    switch (*field) {
      case '#':
        out.tags = {field + 1, size};
        out.has_tags = size != 0;  // the last field replaces, also when it is empty (spec 5.5)
        return Reason::kOk;
      case '@':
        if (size == 0) return Reason::kBadRate;
        return parse_number(field + 1, size, out.rate) ? Reason::kOk : Reason::kBadRate;
      case 'T':
        if (!options.timestamps) return Reason::kOk;
        if (!dogstatsd::parse_int({field + 1, size}, out.timestamp)) return Reason::kBadTimestamp;
        return out.timestamp >= 1 ? Reason::kOk : Reason::kBadTimestamp;
      default:
        if (options.client_origin) dogstatsd::take_origin_field({field, size + 1}, out.origin);
        return Reason::kOk;
    }
  }

  static constexpr Kernel make(Variant variant) {
    return {variant, &split, &line, &parse_metric, &parse_values};
  }
};

}  // namespace penstock::simd

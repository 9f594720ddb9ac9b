#include <fuzzer/FuzzedDataProvider.h>

#include <string>
#include <vector>

#include "dataplane/api/segment.h"
#include "tests/support/segment_rows.h"

// Rows made of the fuzzer's bytes, written and read back, must be the rows.

namespace {

using namespace penstock::segment;  // NOLINT

// Owns what a row's views point at.
class Rows {
 public:
  Rows(const uint8_t* data, size_t size) : data_(data, size) {}

  void write(Reader::Visitor& out) {
    while (data_.remaining_bytes() > 0) row(out);
  }

 private:
  std::string text() { return data_.ConsumeRandomLengthString(12); }
  double number() { return std::bit_cast<double>(data_.ConsumeIntegral<uint64_t>()); }

  std::vector<Bin> bins() {
    std::vector<Bin> out(data_.ConsumeIntegralInRange<size_t>(0, 4));
    for (Bin& b : out) b = {data_.ConsumeIntegral<int16_t>(), data_.ConsumeIntegral<uint64_t>()};
    return out;
  }
  Summary summary() {
    Summary s = {data_.ConsumeIntegral<uint64_t>(), number(), number(), number(), number()};
    s.sum_low = number();
    return s;
  }

  void row(Reader::Visitor& out) {
    const std::string name = text(), host = text();
    std::vector<std::string> tag_texts(data_.ConsumeIntegralInRange<size_t>(0, 3));
    for (std::string& t : tag_texts) t = text();
    const std::vector<std::string_view> tags(tag_texts.begin(), tag_texts.end());
    const Context c = {name, host, tags};
    switch (data_.ConsumeIntegralInRange(0, 7)) {
      case 0:
        return out.counter(c, {number(), number()});
      case 1:
        return out.gauge(c, number(), data_.ConsumeIntegral<int64_t>(),
                         data_.ConsumeIntegral<uint32_t>());
      case 2: {
        std::vector<uint64_t> members(data_.ConsumeIntegralInRange<size_t>(0, 4));
        for (uint64_t& m : members) m = data_.ConsumeIntegral<uint64_t>();
        return out.set(c, members);
      }
      case 3: {
        std::vector<WeightedValue> values(data_.ConsumeIntegralInRange<size_t>(0, 4));
        for (WeightedValue& v : values) v = {number(), data_.ConsumeIntegral<uint64_t>()};
        const auto b = values.empty() ? bins() : std::vector<Bin>();
        Summary s = summary();
        s.samples = data_.ConsumeIntegral<uint64_t>();
        return out.histogram(c, s, values, b);
      }
      case 4: {
        const auto b = bins();
        Summary s = summary();
        if (data_.ConsumeBool()) s.weighted = {number(), number()};
        return out.distribution(c, s, b);
      }
      case 5:
        return out.timestamped(data_.ConsumeBool() ? Kind::kCounter : Kind::kGauge, c,
                               data_.ConsumeIntegral<int64_t>(), number());
      case 6: {
        const std::string a = text(), b = text(), d = text(), e = text();
        return out.event({name, a, data_.ConsumeIntegral<int64_t>(), host, b, d, "low", e, a, b,
                          tags, data_.ConsumeIntegral<uint64_t>(), d});
      }
      default: {
        const std::string a = text(), b = text();
        return out.service_check({name, data_.ConsumeIntegral<uint8_t>(),
                                  data_.ConsumeIntegral<int64_t>(), host, a, b, "low", tags,
                                  data_.ConsumeIntegral<uint64_t>(), a});
      }
    }
  }

  FuzzedDataProvider data_;
};

// Keeps the order of a Segment: kind by kind.
struct ByKind : Dump {
  std::array<std::string, 8> kinds;

  template <class F>
  void keep(size_t kind, const F& dump) {
    dump();
    kinds[kind] += out;
    out.clear();
  }
  void counter(const Context& c, penstock::ExactSum v) override {
    keep(0, [&] { Dump::counter(c, v); });
  }
  void gauge(const Context& c, double v, int64_t t, uint32_t s) override {
    keep(1, [&] { Dump::gauge(c, v, t, s); });
  }
  void set(const Context& c, std::span<const uint64_t> m) override {
    keep(2, [&] { Dump::set(c, m); });
  }
  void histogram(const Context& c, const Summary& s, std::span<const WeightedValue> v,
                 std::span<const Bin> b) override {
    keep(3, [&] { Dump::histogram(c, s, v, b); });
  }
  void distribution(const Context& c, const Summary& s, std::span<const Bin> b) override {
    keep(4, [&] { Dump::distribution(c, s, b); });
  }
  void timestamped(Kind k, const Context& c, int64_t t, double v) override {
    keep(5, [&] { Dump::timestamped(k, c, t, v); });
  }
  void event(const Event& e) override {
    keep(6, [&] { Dump::event(e); });
  }
  void service_check(const ServiceCheck& c) override {
    keep(7, [&] { Dump::service_check(c); });
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ByKind expected, read;
  Rows(data, size).write(expected);
  Tee tee({.instance = 1, .sequence = 2, .bucket_start = 3, .interval_s = 4, .samples = 5});
  Rows(data, size).write(tee);
  const std::vector<std::byte> bytes = tee.w.finish(6);
  const auto reader = Reader::open(bytes);
  if (!reader.ok()) __builtin_trap();
  reader->visit(read);
  if (read.kinds != expected.kinds) __builtin_trap();
  return 0;
}

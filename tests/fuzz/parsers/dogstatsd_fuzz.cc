#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "parsers/dogstatsd/locate.h"
#include "parsers/simd/kernel.h"
#include "tests/support/padded.h"

// One packet: split into lines, every line parsed as a shard would, by what the specification
// promises about the results. The first byte chooses the options.
namespace penstock::dogstatsd {
namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

// A copy in a heap block of exactly its size, so that a read past its end is seen.
class Exact {
 public:
  explicit Exact(std::string_view text) : data_(new char[text.size()]), size_(text.size()) {
    text.copy(data_.get(), size_);
  }
  [[nodiscard]] std::string_view view() const { return {data_.get(), size_}; }

 private:
  std::unique_ptr<char[]> data_;
  size_t size_;
};

void require_inside(std::string_view part, std::string_view whole) {
  if (part.empty()) return;
  require(part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

template <class Message>
void check_common(const Message& m, const Options& options, std::string_view line) {
  require(m.has_tags == !m.tags.empty());
  require_inside(m.tags, line);
  if (m.has_tags) {
    size_t commas = 0;
    size_t tags = 0;
    for (const char c : m.tags) commas += c == ',' ? 1 : 0;
    for_each_tag(m.tags, [&](std::string_view tag) {
      require_inside(tag, m.tags);
      require(tag.find_first_of(",|") == std::string_view::npos);
      ++tags;
    });
    require(tags == commas + 1);
  }
  for (const std::string_view part :
       {m.origin.local_data, m.origin.external_data, m.origin.cardinality}) {
    require_inside(part, line);
    require(part.empty() || options.client_origin);
  }
  require_inside(parse_local_data(m.origin.local_data).container_id, m.origin.local_data);
  const ExternalData external = parse_external_data(m.origin.external_data);
  require_inside(external.container_name, m.origin.external_data);
  require_inside(external.pod_uid, m.origin.external_data);
}

// What Go accepts beyond the C library is `_`; what it refuses is hexadecimal without exponent,
// signed nan, nan(...) and overflow. All else must be the same number.
void check_number(std::string_view text) {
  double value = 0;
  const bool ok = parse_float(text, value);
  if (text.empty() || text.find('\0') != std::string_view::npos ||
      text.find('_') != std::string_view::npos ||
      std::string_view(" \t\n\v\f\r").find(text[0]) != std::string_view::npos) {
    return;
  }
  const std::string terminated(text);
  char* end = nullptr;
  const double expected = std::strtod(terminated.c_str(), &end);
  const bool whole = end == terminated.c_str() + terminated.size();
  if (ok) {
    require(whole);
    require(std::isnan(expected)
                ? std::isnan(value)
                : std::bit_cast<uint64_t>(value) == std::bit_cast<uint64_t>(expected));
  } else if (whole && std::isfinite(expected)) {
    const bool hex = text.find_first_of("xX") != std::string_view::npos;
    require(hex && text.find_first_of("pP") == std::string_view::npos);
  }
}

void check_metric(const simd::Kernel& kernel, const Line& line, const Options& options) {
  if (line.reason != Reason::kOk) {
    require(line.reason <= Reason::kEmptyValue);
    require(locate_error(line.text(), line.reason) <= line.size);
    return;
  }
  const std::string_view text = line.text();
  require(!line.name().empty() && !line.value().empty() && line.suffix().starts_with('|'));
  require(line.name().data() == text.data());
  require(line.name().size() + 1 + line.value().size() + line.suffix().size() == text.size());

  const size_t room = (line.value().size() + 1) / 2;
  const auto scratch = std::make_unique<double[]>(room);
  Metric m;
  const Reason reason = kernel.parse_metric(line, options, {scratch.get(), room}, m);
  if (m.type != Type::kSet || reason != Reason::kOk) check_number(line.value());
  if (reason != Reason::kOk) {
    require(reason >= Reason::kBadType && reason <= Reason::kBadTimestamp);
    require(locate_error(text, reason) <= text.size());
    return;
  }
  require(m.values >= 1 && m.values <= room);
  require(m.timestamp >= 0 && (m.timestamp == 0 || options.timestamps));
  check_common(m, options, text);
}

void check_event(std::string_view line, const Options& options) {
  Event e;
  const Reason reason = parse_event(line, options, e);
  if (reason != Reason::kOk) {
    require(reason >= Reason::kEventNoColon && reason <= Reason::kEventEmptyTitle);
    require(locate_error(line, reason) <= line.size());
    return;
  }
  require(!e.title.empty());
  for (const std::string_view part :
       {e.title, e.text, e.hostname, e.aggregation_key, e.source_type}) {
    require_inside(part, line);
  }
  require(e.priority == "normal" || e.priority == "low");
  const auto out = std::make_unique<char[]>(e.text.size());
  const size_t size = unescape_newlines(e.text, out.get());
  require(size <= e.text.size());
  require(std::string_view(out.get(), size).find("\\n") == std::string_view::npos);
  check_common(e, options, line);
}

void check_service_check(std::string_view line, const Options& options) {
  ServiceCheck c;
  const Reason reason = parse_service_check(line, options, c);
  if (reason != Reason::kOk) {
    require(reason >= Reason::kScFormat && reason <= Reason::kScBadStatus);
    require(locate_error(line, reason) <= line.size());
    return;
  }
  require(!c.name.empty() && c.status <= 3);
  for (const std::string_view part : {c.name, c.hostname, c.message}) require_inside(part, line);
  check_common(c, options, line);
}

void check_line(const simd::Kernel& kernel, const Line& line, const Options& options) {
  require(line.text().find('\n') == std::string_view::npos);
  switch (line.what) {
    case Class::kMetric:
      return check_metric(kernel, line, options);
    case Class::kEvent:
      return check_event(Exact(line.text()).view(), options);
    case Class::kServiceCheck:
      return check_service_check(Exact(line.text()).view(), options);
  }
}

void check_packet(const simd::Kernel& kernel, std::string_view text, const Options& options) {
  const Padded packet(text);
  std::array<Line, 5> lines;
  size_t at = 0;
  for (;;) {
    const size_t before = at;
    const size_t found = kernel.split(packet.data(), packet.size(), at, lines.data(), lines.size());
    if (found == 0) break;
    for (const Line& line : std::span(lines).first(found)) {
      require_inside(line.text(), packet.view().substr(before, at - before));
      require(line.terminated || at == packet.size());
      if (line.size != 0) check_line(kernel, line, options);
    }
  }
  require(at == packet.size());
}

}  // namespace
}  // namespace penstock::dogstatsd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using penstock::dogstatsd::Options;
  if (size == 0) return 0;
  const Options options = {.timestamps = (data[0] & 1) != 0, .client_origin = (data[0] & 2) != 0};
  for (const penstock::simd::Kernel* kernel : penstock::simd::runnable()) {
    penstock::dogstatsd::check_packet(*kernel, {reinterpret_cast<const char*>(data) + 1, size - 1},
                                      options);
  }
  return 0;
}

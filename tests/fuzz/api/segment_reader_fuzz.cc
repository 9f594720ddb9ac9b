#include <cstring>
#include <string>
#include <vector>

#include "controlplane/exporters/json_lines.h"
#include "controlplane/exporters/prometheus.h"
#include "dataplane/api/segment.h"
#include "dataplane/api/segment_format.h"
#include "dataplane/api/segment_merge.h"
#include "tests/support/segment_rows.h"
#include "xxhash.h"

// Arbitrary bytes as a Segment, with magic, size and checksum put right so that the rest is
// reached. Whatever the reader accepts, all that reads Segments must survive.

namespace {

using namespace penstock;  // NOLINT

void use(const segment::Reader& reader) {
  segment::Dump dump;
  reader.visit(dump);

  segment::Writer writer(reader.meta());
  const std::vector<segment::Reader> twice = {reader, reader};
  segment::merge(twice, writer);
  const auto merged = writer.finish(0);
  if (!segment::Reader::open(merged).ok()) __builtin_trap();

  const HistogramConfig histograms{
      {Aggregate::kMedian, Aggregate::kAvg}, {{95, ".95percentile"}}, {}};
  std::string lines;
  JsonLinesEncoder encoder(lines);
  for_each_point(reader, histograms, encoder);

  PrometheusExporter prometheus({.max_series = 16, .max_bytes = 1 << 16});
  if (!prometheus.deliver(reader).ok()) __builtin_trap();
  if (prometheus.render().size() > (1 << 24)) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint64_t> aligned(size / 8 + 1);
  std::memcpy(aligned.data(), data, size);
  auto* bytes = reinterpret_cast<std::byte*>(aligned.data());
  if (size >= sizeof(segment::Header) + segment::kChecksumBytes) {
    segment::Header header;
    std::memcpy(&header, bytes, sizeof header);
    header.magic = segment::kMagic;
    header.size = size;
    std::memcpy(bytes, &header, sizeof header);
    const uint64_t sum = XXH3_64bits(bytes, size - segment::kChecksumBytes);
    std::memcpy(bytes + size - segment::kChecksumBytes, &sum, sizeof sum);
  }
  const auto reader = segment::Reader::open({bytes, size});
  if (reader.ok()) use(*reader);
  return 0;
}

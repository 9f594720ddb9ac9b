#include "tests/support/shard_harness.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_format.h"
#include "gtest/gtest.h"

namespace penstock {
namespace {

std::string join(std::span<const std::string_view> tags) {
  std::string s;
  for (size_t i = 0; i < tags.size(); ++i) s.append(i == 0 ? "" : ",").append(tags[i]);
  return s;
}

std::string number(double v) { return absl::StrFormat("%.12g", v); }

struct TextVisitor : segment::Reader::Visitor {
  std::vector<std::string> rows;

  void add(std::string_view kind, const segment::Context& c, const std::string& value) {
    rows.push_back(std::string(kind) + " " + text_of(c) + " " + value);
  }
  void counter(const segment::Context& c, ExactSum sum) override {
    add("counter", c, number(sum.value()));
  }
  void gauge(const segment::Context& c, double value, int64_t, uint32_t) override {
    add("gauge", c, number(value));
  }
  void set(const segment::Context& c, std::span<const uint64_t> members) override {
    EXPECT_TRUE(std::ranges::is_sorted(members));
    add("set", c, std::to_string(members.size()));
  }
  static std::string summary(const segment::Summary& s) {
    return absl::StrFormat("cnt=%d sum=%.12g min=%.12g max=%.12g avg=%.9g", s.count, s.sum, s.min,
                           s.max, nudged(s.avg));
  }
  static std::string bins_text(std::span<const segment::Bin> bins) {
    std::string text;
    for (const auto& b : bins) absl::StrAppendFormat(&text, " %d:%d", b.key, b.count);
    return text;
  }
  void histogram(const segment::Context& c, const segment::Summary& s,
                 std::span<const segment::WeightedValue> values,
                 std::span<const segment::Bin> bins) override {
    std::string text = summary(s) + " values";
    for (const auto& v : values) absl::StrAppendFormat(&text, " %.12g*%d", v.value, v.weight);
    add("histogram", c, text + (bins.empty() ? "" : " bins" + bins_text(bins)));
  }
  void distribution(const segment::Context& c, const segment::Summary& s,
                    std::span<const segment::Bin> bins) override {
    add("distribution", c, summary(s) + " bins" + bins_text(bins));
  }
  void timestamped(segment::Kind kind, const segment::Context& c, int64_t timestamp,
                   double value) override {
    add(kind == segment::Kind::kCounter ? "counter" : "gauge", c,
        number(value) + " at " + std::to_string(timestamp));
  }
  void event(const segment::Event& e) override {
    rows.push_back(absl::StrFormat(
        "event title=%s text=%s at %d host=%s key=%s source=%s "
        "priority=%s alert=%s container=%s card=%s tags=%s",
        std::string(e.title), std::string(e.text), e.timestamp, std::string(e.hostname),
        std::string(e.aggregation_key), std::string(e.source_type), std::string(e.priority),
        std::string(e.alert_type), std::string(e.container_id), std::string(e.cardinality),
        join(e.tags)));
  }
  void service_check(const segment::ServiceCheck& c) override {
    rows.push_back(absl::StrFormat("check %s status=%d at %d host=%s message=%s tags=%s",
                                   std::string(c.name), c.status, c.timestamp,
                                   std::string(c.hostname), std::string(c.message), join(c.tags)));
  }
};

}  // namespace

double nudged(double average) { return average * (1 + 1e-12); }

std::string text_of(const segment::Context& c) {
  return std::string(c.name) + "[" + std::string(c.host) + "]#" + join(c.tags);
}

std::vector<std::string> rows_of(std::span<const std::byte> bytes) {
  if (bytes.empty()) return {};
  const auto reader = segment::Reader::open(bytes);
  EXPECT_TRUE(reader.ok()) << reader.status().ToString();
  if (!reader.ok()) return {};
  TextVisitor visitor;
  reader->visit(visitor);
  EXPECT_EQ(visitor.rows.size(), reader->rows());
  std::ranges::sort(visitor.rows);
  return visitor.rows;
}

std::unique_ptr<Plan> test_plan() {
  auto plan = make_plan();
  plan->interval_s = 10;
  plan->limits.contexts = 10'000;
  plan->limits.context_bytes = 4 << 20;
  plan->limits.memo_bytes = 4 << 20;
  plan->limits.sample_bytes = 4 << 20;
  plan->limits.set_members = 4096;
  plan->limits.carry_bytes = 1 << 20;
  plan->dogstatsd.default_host = plan->add_text("h");
  plan->dogstatsd.buffer_size = 8192;
  plan->dogstatsd.context_expiry_s = 20;
  plan->dogstatsd.counter_expiry_s = 300;
  plan->dogstatsd.timestamps = 1;
  return plan;
}

TestPacket::TestPacket(std::string_view text) : bytes_(text.size() + kPacketPadding) {
  std::memcpy(bytes_.data(), text.data(), text.size());
  packet_.data = bytes_.data();
  packet_.len = static_cast<uint16_t>(text.size());
}

Bench::Bench(std::unique_ptr<Plan> p, uint16_t count) : plan(std::move(p)) {
  for (uint16_t i = 0; i < count; ++i) {
    stats.push_back(std::make_unique<ShardStats>());
    shards.push_back(std::make_unique<Shard>(*plan, i, *stats.back()));
    pointers.push_back(shards.back().get());
  }
  sealer = std::make_unique<Sealer>(*plan, pointers, keeper, 42);
}

void Bench::send(std::string_view text, size_t shard, uint32_t arrival) {
  TestPacket packet(text);
  packet.packet().arrival = arrival;
  shards[shard]->process({&packet.packet(), 1}, now);
}

void Bench::settle() {
  for (auto& shard : shards) {
    while (shard->poll_epoch(now)) {
    }
  }
}

std::vector<std::byte> Bench::seal_bytes(int64_t bucket_start) {
  sealer->begin();
  settle();
  EXPECT_TRUE(sealer->ready());
  auto bytes = sealer->seal(bucket_start);
  settle();
  return bytes;
}

std::vector<std::string> Bench::to_rows(std::span<const std::byte> segment) {
  return rows_of(segment);
}

uint64_t Bench::sum(Counter ShardStats::*counter) const {
  uint64_t n = 0;
  for (const auto& s : stats) n += ((*s).*counter).get();
  return n;
}

void expect_ledger(const std::vector<std::unique_ptr<ShardStats>>& shards,
                   const KeeperStats& keeper, bool drained) {
  using S = ShardStats;
  const auto sum = [&shards](Counter S::*counter) {
    uint64_t n = 0;
    for (const auto& stats : shards) n += ((*stats).*counter).get();
    return n;
  };
  constexpr Counter S::*kRejected[] = {
      &S::rejected_no_pipe,           &S::rejected_no_colon,        &S::rejected_empty_name,
      &S::rejected_empty_value,       &S::rejected_bad_type,        &S::rejected_no_values,
      &S::rejected_bad_value,         &S::rejected_bad_rate,        &S::rejected_bad_timestamp,
      &S::rejected_event_no_colon,    &S::rejected_event_too_short, &S::rejected_event_bad_header,
      &S::rejected_event_empty_title, &S::rejected_sc_format,       &S::rejected_sc_empty_name,
      &S::rejected_sc_bad_status,     &S::rejected_unterminated};
  uint64_t rejected = 0;
  for (const auto counter : kRejected) rejected += sum(counter);
  EXPECT_EQ(sum(&S::lines), sum(&S::lines_ok) + rejected);
  EXPECT_EQ(sum(&S::lines_ok), sum(&S::metrics) + sum(&S::events) + sum(&S::service_checks));
  EXPECT_EQ(sum(&S::samples), sum(&S::aggregated) + sum(&S::timestamped) +
                                  sum(&S::unsupported_timestamped) + sum(&S::filtered) +
                                  sum(&S::overflow) + sum(&S::nan_inf) + sum(&S::carry_full));
  const uint64_t accepted = sum(&S::aggregated) + sum(&S::overflow) + sum(&S::timestamped);
  if (drained) {
    EXPECT_EQ(keeper.samples_sealed.get(), accepted);
  } else {
    EXPECT_LE(keeper.samples_sealed.get(), accepted);
  }
}

}  // namespace penstock

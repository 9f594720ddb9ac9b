#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "controlplane/exporters/prometheus.h"
#include "controlplane/exporters/text.h"
#include "dataplane/base/strings.h"
#include "exporters_support.h"

namespace penstock {
namespace {

using segment::Bin;
using segment::Kind;
using segment::WeightedValue;
using segment::Writer;
using testing::ElementsAre;
using testing::Pair;
using testing::UnorderedElementsAre;
using Tags = std::vector<std::string_view>;

// A strict reader of the text format 0.0.4. Throws at anything it does not like.
class Scrape {
 public:
  explicit Scrape(std::string_view text) : rest_(text) {
    while (!rest_.empty()) line();
  }

  std::map<std::string, double> samples;     // "name{labels}" as rendered
  std::map<std::string, std::string> types;  // family -> type

 private:
  [[noreturn]] static void fail(std::string_view why) {
    throw std::runtime_error(std::string(why));
  }
  void expect(std::string_view token) {
    if (!rest_.starts_with(token)) fail(cat("expected \"", token, "\" at: ", rest_.substr(0, 60)));
    rest_.remove_prefix(token.size());
  }
  std::string_view until(char end) {
    const size_t n = rest_.find(end);
    if (n == std::string_view::npos) fail("no end");
    const std::string_view token = rest_.substr(0, n);
    rest_.remove_prefix(n + 1);
    return token;
  }
  std::string_view identifier(bool colons) {
    size_t n = 0;
    for (; n < rest_.size(); ++n) {
      const char c = rest_[n];
      const bool ok = std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_' ||
                      (colons && c == ':') ||
                      (n > 0 && std::isdigit(static_cast<unsigned char>(c)) != 0);
      if (!ok) break;
    }
    if (n == 0) fail(cat("no identifier at: ", rest_.substr(0, 60)));
    const std::string_view token = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return token;
  }
  void label_value() {
    expect("\"");
    while (rest_[0] != '"') {
      if (rest_[0] == '\n' || rest_[0] == '\0') fail("control character in a label");
      if (rest_[0] == '\\') {
        if (rest_[1] != '\\' && rest_[1] != '"' && rest_[1] != 'n') fail("unknown escape");
        rest_.remove_prefix(2);
        continue;
      }
      const size_t n = utf8_length(rest_);
      if (n == 0) fail("no UTF-8");
      rest_.remove_prefix(n);
    }
    expect("\"");
  }
  void line() {
    if (rest_.starts_with("# HELP ")) {
      expect("# HELP ");
      help_ = identifier(true);
      expect(" ");
      until('\n');
      return;
    }
    if (rest_.starts_with("# TYPE ")) {
      expect("# TYPE ");
      family_ = identifier(true);
      expect(" ");
      const std::string type(until('\n'));
      if (type != "counter" && type != "gauge" && type != "summary") fail("unknown type");
      if (help_ != family_) fail("HELP of another family");
      if (!types.emplace(family_, type).second) fail(cat("family twice: ", family_));
      return;
    }
    sample();
  }
  void sample() {
    const char* begin = rest_.data();
    const std::string_view name = identifier(true);
    const std::string& type = types[std::string(family_)];
    const bool own =
        name == family_ ||
        (type == "summary" && (name == cat(family_, "_sum") || name == cat(family_, "_count")));
    if (!own) fail(cat("sample ", name, " under family ", family_));
    if (rest_[0] == '{') {
      std::set<std::string_view> labels;
      do {
        rest_.remove_prefix(1);  // brace or comma
        const std::string_view label = identifier(false);
        if (label.starts_with("__")) fail("reserved label");
        if (!labels.insert(label).second) fail(cat("label twice: ", label));
        expect("=");
        label_value();
      } while (rest_[0] == ',');
      expect("}");
    }
    const std::string key(begin, rest_.data());
    expect(" ");
    const std::string_view number = until('\n');
    double value = std::nan("");
    if (number == "+Inf" || number == "-Inf") {
      value = number[0] == '+' ? HUGE_VAL : -HUGE_VAL;
    } else if (number != "NaN") {
      const auto [at, error] = std::from_chars(number.data(), number.data() + number.size(), value);
      if (error != std::errc() || at != number.data() + number.size()) fail("no number");
    }
    if (!samples.emplace(key, value).second) fail(cat("sample twice: ", key));
  }

  std::string_view rest_, family_, help_;
};

class PrometheusTest : public testing::Test {
 protected:
  PrometheusExporter& make(size_t max_series = 1000, size_t max_bytes = 1 << 20) {
    exporter_ = std::make_unique<PrometheusExporter>(PrometheusOptions{
        .max_series = max_series, .max_bytes = max_bytes, .expiry_s = 3600, .monotonic_s = [this] {
          return now_s_;
        }});
    return *exporter_;
  }
  void deliver(const std::function<void(Writer&)>& write) {
    if (!exporter_) make();
    const TestSegment segment(write);
    ASSERT_EQ(exporter_->deliver(segment.reader()), absl::OkStatus());
  }
  std::map<std::string, double> samples() { return Scrape(exporter_->render()).samples; }
  std::map<std::string, std::string> types() { return Scrape(exporter_->render()).types; }

  int64_t now_s_ = 1000;
  std::unique_ptr<PrometheusExporter> exporter_;
};

TEST_F(PrometheusTest, CountersAddUp) {
  for (int i = 0; i < 3; ++i) deliver([](Writer& w) { w.counter({"a.b", "h", {}}, 7); });
  deliver([](Writer& w) { w.timestamped(Kind::kCounter, {"a.b", "h", {}}, 5, 50); });
  EXPECT_THAT(samples(), ElementsAre(Pair("a_b_total{host=\"h\"}", 71)));
  EXPECT_THAT(types(), ElementsAre(Pair("a_b_total", "counter")));
  EXPECT_THAT(exporter_->render(), testing::StartsWith("# HELP a_b_total DogStatsD metric a.b\n"));
}

TEST_F(PrometheusTest, GaugesAndSetsTakeTheLast) {
  deliver([](Writer& w) { w.gauge({"g", "", {}}, 1, 0, 0); });
  deliver([](Writer& w) {
    w.gauge({"g", "", {}}, -2, 0, 0);
    w.set({"s", "", {}}, std::vector<uint64_t>{1, 2, 3});
    w.timestamped(Kind::kGauge, {"t", "", {}}, 5, std::numeric_limits<double>::infinity());
  });
  EXPECT_THAT(samples(), ElementsAre(Pair("g", -2), Pair("s", 3), Pair("t", HUGE_VAL)));
}

TEST_F(PrometheusTest, HistogramsAndDistributionsAreSummaries) {
  for (int i = 0; i < 2; ++i) {
    deliver([](Writer& w) {
      std::vector<WeightedValue> values;
      for (int v = 1; v <= 10; ++v) values.push_back({static_cast<double>(v), 1});
      w.histogram({"h", "", Tags{"k:v"}}, {10, 55, 1, 10, 5.5}, values, {});
      w.distribution({"d", "", {}}, {2, 3, 1, 1.99, 1.5}, std::vector<Bin>{{1338, 1}, {1383, 1}});
    });
  }
  EXPECT_THAT(
      samples(),
      UnorderedElementsAre(
          Pair("h{k=\"v\",quantile=\"0.5\"}", 5), Pair("h{k=\"v\",quantile=\"0.9\"}", 9),
          Pair("h{k=\"v\",quantile=\"0.95\"}", 10), Pair("h{k=\"v\",quantile=\"0.99\"}", 10),
          Pair("h_sum{k=\"v\"}", 110), Pair("h_count{k=\"v\"}", 20), Pair("d{quantile=\"0.5\"}", 1),
          Pair("d{quantile=\"0.9\"}", 1.99), Pair("d{quantile=\"0.95\"}", 1.99),
          Pair("d{quantile=\"0.99\"}", 1.99), Pair("d_sum", 6), Pair("d_count", 4)));
}

TEST_F(PrometheusTest, EventsAndChecksAreCounted) {
  deliver([](Writer& w) {
    w.event({"t", "", 0, "", "", "", "", "", "", "", {}});
    w.service_check({"t", 0, 0, "", "", "", "", {}});
  });
  EXPECT_EQ(exporter_->render(), "");
  EXPECT_EQ(exporter_->counters().unsupported, 2u);
  EXPECT_EQ(exporter_->dropped_points(), 2u);
}

struct NameCase {
  std::string_view name, expected;
};
TEST(PrometheusName, IsValid) {
  constexpr NameCase kCases[] = {{"a.b-c", "a_b_c"}, {"9lives", "_9lives"}, {"", "_"},
                                 {"a:b", "a:b"},     {"\xC3\xA4", "__"},    {"_x", "_x"}};
  for (const NameCase& c : kCases) {
    std::string out;
    prometheus_name(c.name, out);
    EXPECT_EQ(out, c.expected) << c.name;
  }
}

struct LabelCase {
  std::string_view host;
  Tags tags;
  std::string_view expected;
};
TEST(PrometheusLabels, AreValid) {
  const LabelCase cases[] = {
      {"", {}, ""},
      {"h", {}, R"(host="h")"},
      {"", {"k:v"}, R"(k="v")"},
      {"", {"k:v:w"}, R"(k="v:w")"},
      {"", {"bare"}, R"(bare="true")"},
      {"", {"", "k:"}, ""},
      {"", {":v"}, R"(_="v")"},
      {"", {"k:a", "k:b"}, R"(k="a,b")"},
      {"", {"a.b:1", "a_b:2"}, R"(a_b="1,2")"},
      {"h", {"z:1", "a:2"}, R"(a="2",host="h",z="1")"},
      {"h", {"host:i"}, R"(host="h,i")"},
      {"", {"9:x"}, R"(_9="x")"},
      {"", {"a:b", "__name__:x"}, R"(a="b",tag___name__="x")"},
      {"", {"quantile:1", "le:2"}, R"(tag_le="2",tag_quantile="1")"},
      {"", {"k:\"\\\n\xFF"}, "k=\"\\\"\\\\\\n\xEF\xBF\xBD\""},
  };
  PrometheusLabels labels;
  for (const LabelCase& c : cases) {
    std::string out;
    labels.set({"n", c.host, c.tags}, out);
    EXPECT_EQ(out, c.expected);
  }
}

TEST_F(PrometheusTest, NamesThatBecomeTheSameMerge) {
  deliver([](Writer& w) {
    w.counter({"a.b", "", {}}, 1);
    w.counter({"a-b", "", {}}, 2);
    w.gauge({"g.b", "", {}}, 1, 0, 0);
    w.gauge({"g-b", "", {}}, 2, 0, 0);
    w.set({"g_b", "", {}}, std::vector<uint64_t>{1, 2, 3});
  });
  EXPECT_THAT(samples(), ElementsAre(Pair("a_b_total", 3), Pair("g_b", 3)));
}

TEST_F(PrometheusTest, TypesThatClashGetASuffix) {
  deliver([](Writer& w) {
    w.counter({"a", "", {}}, 1);
    w.gauge({"a", "", {}}, 2, 0, 0);        // no clash: the counter is a_total
    w.gauge({"a.total", "", {}}, 3, 0, 0);  // would be a_total
    w.distribution({"a", "", {}}, {1, 4, 4, 4, 4}, std::vector<Bin>{{1338, 1}});
  });
  deliver([](Writer& w) { w.gauge({"a.summary.count", "", {}}, 5, 0, 0); });
  const auto s = samples();
  EXPECT_EQ(s.at("a_total"), 1);
  EXPECT_EQ(s.at("a"), 2);
  EXPECT_EQ(s.at("a_total_gauge"), 3);
  EXPECT_EQ(s.at("a_summary_sum"), 4);
  EXPECT_EQ(s.at("a_summary_count"), 1);
  EXPECT_EQ(s.at("a_summary_count_gauge"), 5);
}

TEST_F(PrometheusTest, EvictsTheOldestIdleAndRefusesWhenNoneIs) {
  make(2);
  deliver([](Writer& w) { w.counter({"a", "", {}}, 1); });
  deliver([](Writer& w) {
    w.counter({"b", "", {}}, 1);
    w.counter({"c", "", {}}, 1);  // a was in the Segment before this one: not idle
  });
  EXPECT_THAT(samples(), ElementsAre(Pair("a_total", 1), Pair("b_total", 1)));
  EXPECT_EQ(exporter_->counters().refused, 1u);
  deliver([](Writer& w) {
    w.counter({"b", "", {}}, 1);
    w.counter({"c", "", {}}, 1);
    w.counter({"d", "", {}}, 1);
  });
  EXPECT_THAT(samples(), ElementsAre(Pair("b_total", 2), Pair("c_total", 1)));
  const auto counters = exporter_->counters();
  EXPECT_EQ(counters.evicted, 1u);
  EXPECT_EQ(counters.refused, 2u);
  EXPECT_EQ(counters.series, 2u);
}

TEST_F(PrometheusTest, BoundsBytesToo) {
  make(1000000, 64 << 10);
  const std::string longest(8000, 'x');
  deliver([&](Writer& w) {
    for (int i = 0; i < 100; ++i) {
      const std::string tag = cat("k:", i, longest);
      w.counter({"a", "", Tags{tag}}, 1);
      w.gauge({cat("n", i, longest), "", {}}, 1, 0, 0);
    }
  });
  EXPECT_LT(exporter_->counters().bytes, 80u << 10);
  EXPECT_GT(exporter_->counters().refused, 180u);
  EXPECT_GT(exporter_->counters().series, 2u);
}

TEST_F(PrometheusTest, ForgetsWhatIsNotUpdated) {
  deliver([](Writer& w) {
    w.counter({"a", "", {}}, 1);
    w.distribution({"d", "", {}}, {1, 4, 4, 4, 4}, std::vector<Bin>{{1338, 1}});
    w.gauge({"b", "", {}}, 1, 0, 0);
  });
  now_s_ += 3599;
  deliver([](Writer& w) { w.gauge({"b", "", {}}, 2, 0, 0); });
  EXPECT_EQ(samples().size(), 8u);
  ++now_s_;
  EXPECT_THAT(samples(), ElementsAre(Pair("b", 2)));
  EXPECT_EQ(exporter_->counters().expired, 2u);
  now_s_ += 3599;
  EXPECT_EQ(exporter_->render(), "");
  EXPECT_EQ(exporter_->counters().series, 0u);
  EXPECT_EQ(exporter_->counters().bytes, 0u);
  // The names are free again.
  deliver([](Writer& w) { w.gauge({"d.sum", "", {}}, 1, 0, 0); });
  EXPECT_THAT(samples(), ElementsAre(Pair("d_sum", 1)));
}

TEST_F(PrometheusTest, SumsStayFinite) {
  deliver([](Writer& w) {
    w.counter({"a", "", {}}, 1);
    w.counter({"a", "", {}}, std::numeric_limits<double>::infinity());
    w.histogram({"h", "", {}}, {1, std::nan(""), 1, 1, 1}, std::vector<WeightedValue>{{1, 1}}, {});
  });
  EXPECT_THAT(samples(), ElementsAre(Pair("a_total", 1)));
  EXPECT_EQ(exporter_->counters().not_finite, 2u);
}

// Rows of any bytes, seeded.
void write_anything(Writer& w, uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto text = [&] {
    static constexpr std::string_view kAlphabet = "ab.:_9\"\\\n\xC3\xA4\xFF";
    std::string s(random() % 6, ' ');
    for (char& c : s) c = kAlphabet[random() % kAlphabet.size()];
    return s;
  };
  for (int i = 0; i < 300; ++i) {
    const std::string name = text(), host = text(), one = text(), two = text();
    const Tags tags = {one, two};
    const segment::Context c = {name, host, tags};
    switch (random() % 4) {
      case 0:
        w.counter(c, 1);
        break;
      case 1:
        w.gauge(c, 1, 0, 0);
        break;
      case 2:
        w.distribution(c, {1, 4, 4, 4, 4}, std::vector<Bin>{{1338, 1}});
        break;
      default:
        w.histogram(c, {1, 4, 4, 4, 4}, std::vector<WeightedValue>{{4, 1}}, {});
    }
  }
}

TEST_F(PrometheusTest, AnyBytesGiveAValidScrape) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    make(500);
    deliver([&](Writer& w) { write_anything(w, seed); });
    deliver([&](Writer& w) { write_anything(w, seed + 1000); });
    EXPECT_NO_THROW(samples()) << "seed " << seed;
  }
}

TEST_F(PrometheusTest, PromtoolReadsAScrape) {
  if (access("/usr/bin/promtool", X_OK) != 0) GTEST_SKIP() << "no /usr/bin/promtool";
  deliver([](Writer& w) {
    w.counter({"shop.orders", "h", Tags{"env:prod", "bare", "q:\"x\""}}, 1);
    w.gauge({"shop.load\"\\", "h", {}}, 1, 0, 0);
    w.distribution({"shop.latency", "", {}}, {1, 4, 4, 4, 4}, std::vector<Bin>{{1338, 1}});
  });
  deliver([](Writer& w) { write_anything(w, 1); });
  const std::string path = testing::TempDir() + "/penstock-scrape.txt";
  std::ofstream(path) << exporter_->render();
  // 0: good; 3: good, with remarks about style (names are the clients' own).
  const int status =
      std::system(cat("/usr/bin/promtool check metrics < ", path, " >", path, ".log 2>&1").c_str());
  EXPECT_TRUE(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 3))
      << std::ifstream(path + ".log").rdbuf();
}

TEST_F(PrometheusTest, RendersBesideDeliveries) {
  make();
  std::thread scraper([this] {
    for (int i = 0; i < 50; ++i) EXPECT_NO_THROW(Scrape(exporter_->render()));
  });
  for (uint64_t i = 0; i < 50; ++i) deliver([&](Writer& w) { write_anything(w, i); });
  scraper.join();
}

}  // namespace
}  // namespace penstock

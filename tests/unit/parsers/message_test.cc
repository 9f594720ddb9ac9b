#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "parsers/simd/kernel.h"
#include "tests/support/padded.h"

namespace penstock::dogstatsd {
namespace {

constexpr Options kAll = {.timestamps = true, .client_origin = true};
constexpr Options kNothing = {.timestamps = false, .client_origin = false};

struct Case {
  std::string_view line;
  std::string_view expected;
};

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

void put(std::string& out, std::string_view key, std::string_view text) {
  if (text.empty()) return;
  out.append(" ").append(key).append("=").append(text);
}

// What metrics, events and checks share; tags joined by `;`.
template <class Message>
void put_common(std::string& out, const Message& message) {
  if (message.has_tags) {
    std::string tags;
    for_each_tag(message.tags, [&](std::string_view tag) { tags.append(tag).append(";"); });
    put(out, "tags", tags);
  }
  if (message.timestamp != 0) put(out, "at", std::to_string(message.timestamp));
  put(out, "local", message.origin.local_data);
  put(out, "external", message.origin.external_data);
  put(out, "card", message.origin.cardinality);
}

// "name type values" and what differs from the default; or the reason of a refusal.
std::string metric_by(const simd::Kernel& kernel, std::string_view text, const Options& options) {
  const Padded padded(text);
  const Line line = kernel.line(padded.view());
  if (line.reason != Reason::kOk) return std::string(reason_name(line.reason));
  std::vector<double> scratch((line.value().size() + 1) / 2);
  Metric m;
  const Reason reason = kernel.parse_metric(line, options, scratch, m);
  if (reason != Reason::kOk) return std::string(reason_name(reason));
  std::string out(line.name());
  out.append(" ").append(type_symbol(m.type)).append(" ");
  if (m.type == Type::kSet) {
    out.append(line.value());
  } else {
    for (size_t i = 0; i < m.values; ++i) out.append(i != 0 ? ":" : "").append(number(scratch[i]));
  }
  if (m.rate != 1) put(out, "rate", number(m.rate));
  put_common(out, m);
  return out;
}

// As every kernel says.
std::string metric(std::string_view text, const Options& options = kAll) {
  const std::string expected = metric_by(simd::kScalarKernel, text, options);
  for (const simd::Kernel* kernel : simd::runnable()) {
    EXPECT_EQ(metric_by(*kernel, text, options), expected) << simd::variant_name(kernel->variant);
  }
  return expected;
}

std::string event(std::string_view line, const Options& options = kAll) {
  Event e;
  const Reason reason = parse_event(line, options, e);
  if (reason != Reason::kOk) return std::string(reason_name(reason));
  std::string out = "[";
  out.append(e.title).append("][").append(e.text).append("]");
  if (e.priority != "normal") put(out, "p", e.priority);
  if (e.alert_type != "info") put(out, "t", e.alert_type);
  put(out, "h", e.hostname);
  put(out, "k", e.aggregation_key);
  put(out, "s", e.source_type);
  put_common(out, e);
  return out;
}

std::string check(std::string_view line, const Options& options = kAll) {
  ServiceCheck c;
  const Reason reason = parse_service_check(line, options, c);
  if (reason != Reason::kOk) return std::string(reason_name(reason));
  std::string out(c.name);
  out.append(" ").append(std::to_string(c.status));
  put(out, "h", c.hostname);
  put(out, "m", c.message);
  put_common(out, c);
  return out;
}

TEST(Metric, FieldsOfEveryKind) {
  const Case cases[] = {
      {"a:1|c", "a c 1"},
      {"a:1|g", "a g 1"},
      {"a:1|h", "a h 1"},
      {"a:1|ms", "a ms 1"},
      {"a:1|d", "a d 1"},
      {"a:1|s", "a s 1"},
      {"a:-1.5e2:0x1p4|d", "a d -150:16"},
      {"a:1:2|s", "a s 1:2"},
      {"a::1|s", "a s :1"},
      {"a::1|c", "a c 1"},
      {"a#b@c,d e:1|c", "a#b@c,d e c 1"},
      {"#a:1|c", "#a c 1"},
      {"a:inf:-inf:nan|g", "a g inf:-inf:nan"},
      {"a:1|c|@.5", "a c 1 rate=0.5"},
      {"a:1|c|@nan", "a c 1 rate=nan"},
      {"a:1|c|@-inf", "a c 1 rate=-inf"},
      {"a:1|c|@0x1p-1", "a c 1 rate=0.5"},
      {"a:1|c|@1_0", "a c 1 rate=10"},
      {"a:x|s|@0", "a s x rate=0"},
      {"a:1|c|#x", "a c 1 tags=x;"},
      {"a:1|c|#x,,y", "a c 1 tags=x;;y;"},
      {"a:1|c|#,", "a c 1 tags=;;"},
      {"a:1|c|#x|#", "a c 1"},
      {"a:1|c|#|#x", "a c 1 tags=x;"},
      {"a:1|c|#x|y|#z,z", "a c 1 tags=z;z;"},
      {"a:1|c| #x", "a c 1"},
      {"a:1|c|#x:@T5", "a c 1 tags=x:@T5;"},
      {"a:1|c|T5", "a c 1 at=5"},
      {"a:1|c|T+5", "a c 1 at=5"},
      {"a:1|c|T0005", "a c 1 at=5"},
      {"a:1|h|T9223372036854775807", "a h 1 at=9223372036854775807"},
      {"a:1|c|T5|T6", "a c 1 at=6"},
      {"a:1|c| T5", "a c 1"},
      {"a:1|c|t5", "a c 1"},
      {"a:1|c||||", "a c 1"},
      {"a:1|c|c:x|e:y|card:z", "a c 1 local=x external=y card=z"},
      {"a:1|c|c:x|c:", "a c 1"},
      {"a:1|c|c", "a c 1"},
      {"a:1|c|e", "a c 1"},
      {"a:1|c|car:z", "a c 1"},
      {"a:1|c|C:x|E:y|Card:z", "a c 1"},
      {"a:1|c|@.5|T7|#k:v|c:x|?", "a c 1 rate=0.5 tags=k:v; at=7 local=x"},
  };
  for (const Case& c : cases) EXPECT_EQ(metric(c.line), c.expected) << c.line;
}

TEST(Metric, Refused) {
  const Case cases[] = {
      {"a", "no-pipe"},
      {":", "no-pipe"},
      {"a:1", "no-pipe"},
      {"a 1 c", "no-pipe"},
      {"|", "no-colon"},
      {"|c", "no-colon"},
      {"a|c", "no-colon"},
      {"a|1:c", "no-colon"},
      {":|c", "empty-name"},
      {":1|c", "empty-name"},
      {"::|", "empty-name"},
      {"a:|c", "empty-value"},
      {"a:|", "empty-value"},
      {"a:1|", "bad-type"},
      {"a:1||c", "bad-type"},
      {"a:1|M", "bad-type"},
      {"a:1|MS", "bad-type"},
      {"a:1|m", "bad-type"},
      {"a:1|mss", "bad-type"},
      {"a:1|cc", "bad-type"},
      {"a:1|c\t", "bad-type"},
      {"a:1|@.5|c", "bad-type"},
      {"a:x|y", "bad-type"},     // the type is judged before the value,
      {"a:x|c|@", "bad-value"},  // and the value before the fields
      {"a::|c", "no-values"},
      {"a:::|c", "no-values"},
      {"a: |c", "bad-value"},
      {"a:1x|c", "bad-value"},
      {"a:1:|:x|c", "bad-type"},
      {"a:1:x|c", "bad-value"},
      {"a:1|c|@", "bad-rate"},
      {"a:1|c|@x", "bad-rate"},
      {"a:1|c|@ 1", "bad-rate"},
      {"a:1|c|@1e999", "bad-rate"},
      {"a:1|c|@x|@1", "bad-rate"},  // an earlier bad one still counts
      {"a:x|s|@x", "bad-rate"},
      {"a:1|c|T", "bad-timestamp"},
      {"a:1|c|T0", "bad-timestamp"},
      {"a:1|c|T-5", "bad-timestamp"},
      {"a:1|c|T+-5", "bad-timestamp"},
      {"a:1|c|T++5", "bad-timestamp"},
      {"a:1|c|T5.0", "bad-timestamp"},
      {"a:1|c|T1_0", "bad-timestamp"},
      {"a:1|c|T0x5", "bad-timestamp"},
      {"a:1|c|T5 ", "bad-timestamp"},
      {"a:1|c|T9223372036854775808", "bad-timestamp"},
      {"a:1|c|T0|T5", "bad-timestamp"},
      {"a:1|c|#x|Twelve", "bad-timestamp"},
      {"a:1|c|T0|@x", "bad-timestamp"},  // left to right
      {"a:1|c|@x|T0", "bad-rate"},
  };
  for (const Case& c : cases) EXPECT_EQ(metric(c.line), c.expected) << c.line;
}

TEST(Metric, OptionsOff) {
  const Case cases[] = {
      {"a:1|c|T5", "a c 1"},
      {"a:1|c|Tomorrow", "a c 1"},  // not even validated
      {"a:1|c|c:x|e:y|card:z", "a c 1"},
      {"a:1|c|@x", "bad-rate"},
  };
  for (const Case& c : cases) EXPECT_EQ(metric(c.line, kNothing), c.expected) << c.line;
}

TEST(Metric, NameAndSuffixAreTheMessageButItsValues) {
  const Padded text("a.b:1:2|c|@0.5|#x");
  for (const simd::Kernel* kernel : simd::runnable()) {
    const Line line = kernel->line(text.view());
    ASSERT_EQ(line.reason, Reason::kOk);
    EXPECT_EQ(line.name(), "a.b");
    EXPECT_EQ(line.value(), "1:2");
    EXPECT_EQ(line.suffix(), "|c|@0.5|#x");
  }
}

TEST(Metric, BytesAreOpaque) {
  const std::string line("a\0b\xff:1|c|#\0,\xfe", 13);
  EXPECT_EQ(metric(line), std::string("a\0b\xff c 1 tags=\0;\xfe;", 18));
}

TEST(Event, Read) {
  const Case cases[] = {
      {"_e{1,1}:a|b", "[a][b]"},
      {"_e{1,0}:a|", "[a][]"},
      {"_e{1,0}:ab", "[a][]"},    // the byte between is not looked at,
      {"_e{1,1]:a|b", "[a][b]"},  // nor is the closing brace,
      {"_e{1,10:a|b", "[a][b]"},  // even where it is a digit
      {"_e{+1,+1}:a|b", "[a][b]"},
      {"_e{0001,01}:a|b", "[a][b]"},
      {"_e{3,3}:a|b|c|d", "[a|b][c|d]"},
      {"_e{2,2}::::::", "[::][::]"},
      {"_e{1,1}:a|b|", "[a][b]"},
      {"_e{1,1}:a|bc|p:low", "[a][b] p=low"},
      {"_e{1,1}:a|bp:low", "[a][b]"},  // before the first pipe nothing is a field
      {"_e{1,1}:a|bp:low|t:error", "[a][b] t=error"},
      {"_e{1,1}:a|b|p:low|p:normal", "[a][b]"},
      {"_e{1,1}:a|b|p:low|p:high", "[a][b] p=low"},
      {"_e{1,1}:a|b|p:Low", "[a][b]"},
      {"_e{1,1}:a|b|t:error|t:", "[a][b] t=error"},
      {"_e{1,1}:a|b|t:warning", "[a][b] t=warning"},
      {"_e{1,1}:a|b|t:success", "[a][b] t=success"},
      {"_e{1,1}:a|b|d:5", "[a][b] at=5"},
      {"_e{1,1}:a|b|d:-5", "[a][b] at=-5"},
      {"_e{1,1}:a|b|d:5|d:x", "[a][b] at=5"},
      {"_e{1,1}:a|b|d:9223372036854775808", "[a][b]"},
      {"_e{1,1}:a|b|h:x|h:y", "[a][b] h=y"},
      {"_e{1,1}:a|b|h:x|h:", "[a][b]"},
      {"_e{1,1}:a|b|k:x|s:y", "[a][b] k=x s=y"},
      {"_e{1,1}:a|b|#x,y", "[a][b] tags=x;y;"},
      {"_e{1,1}:a|b|#x|#", "[a][b]"},
      {"_e{1,1}:a|b|@x|Tx|m:z| h:x|H:x", "[a][b]"},
      {"_e{1,1}:a|b|c:x|e:y|card:z", "[a][b] local=x external=y card=z"},
      {"_e{4,2}:\xc3\xa4\xc3\xb6|\xc3\x9f", "[\xc3\xa4\xc3\xb6][\xc3\x9f]"},
  };
  for (const Case& c : cases) EXPECT_EQ(event(c.line), c.expected) << c.line;
  EXPECT_EQ(event("_e{1,1}:a|b|c:x|e:y|card:z", kNothing), "[a][b]");
}

TEST(Event, Refused) {
  const Case cases[] = {
      {"_e{", "event-no-colon"},
      {"_e{1,1}a|b", "event-no-colon"},
      {"_e{:", "event-bad-header"},
      {"_e{1,1:a|b", "event-bad-header"},  // 6 bytes
      {"_e{1,}:a|b", "event-bad-header"},
      {"_e{1111}:a|b", "event-bad-header"},
      {"_e{,111}:a|b", "event-bad-header"},
      {"_e{111,}:a|b", "event-bad-header"},
      {"_e{-1,1}:a|b", "event-bad-header"},
      {"_e{1,-1}:a|b", "event-bad-header"},
      {"_e{1,-0}:a|b", "event-bad-header"},
      {"_e{-0,1}:a|b", "event-bad-header"},
      {"_e{+-1,1}:a|b", "event-bad-header"},
      {"_e{++1,1}:a|b", "event-bad-header"},
      {"_e{ 1,1}:a|b", "event-bad-header"},
      {"_e{1, 1}:a|b", "event-bad-header"},
      {"_e{1_0,1}:a|b", "event-bad-header"},
      {"_e{1,1,1}:a|b", "event-bad-header"},
      {"_e{1.0,1}:a|b", "event-bad-header"},
      {"_e{0x1,1}:a|b", "event-bad-header"},
      {"_e{0,1}:|b", "event-empty-title"},
      {"_e{1,1}:", "event-too-short"},
      {"_e{1,0}:a", "event-too-short"},
      {"_e{1,1}:a|", "event-too-short"},
      {"_e{2,1}:a|b", "event-too-short"},
      {"_e{1,9223372036854775807}:a|b", "event-too-short"},
      {"_e{9223372036854775807,1}:a|b", "event-too-short"},
      {"_e{9223372036854775807,9223372036854775807}:a|b", "event-too-short"},
      {"_e{18446744073709551616,1}:a|b", "event-bad-header"},
      {"_e{1,99999999999999999999999}:a|b", "event-bad-header"},
  };
  for (const Case& c : cases) EXPECT_EQ(event(c.line), c.expected) << c.line;
}

TEST(Event, Unescape) {
  const Case cases[] = {
      {"", ""},          {"a", "a"},   {"\\n", "\n"},  {"a\\nb", "a\nb"},    {"\\n\\n", "\n\n"},
      {"\\\\n", "\\\n"}, {"\\", "\\"}, {"n\\", "n\\"}, {"\\t\\N", "\\t\\N"}, {"\\\\", "\\\\"},
  };
  for (const Case& c : cases) {
    std::string out(c.line.size(), '?');
    out.resize(unescape_newlines(c.line, out.data()));
    EXPECT_EQ(out, c.expected) << c.line;
  }
}

TEST(ServiceCheck, Read) {
  const Case cases[] = {
      {"_sc|a|0", "a 0"},
      {"_sc|a|1", "a 1"},
      {"_sc|a|2", "a 2"},
      {"_sc|a|3", "a 3"},
      {"_sc|a|0|", "a 0"},
      {"_sc_a|0|x", "a 0"},  // the fourth byte is not looked at
      {"_sc:a|0|", "a 0"},
      {"_sc| |0", "  0"},
      {"_sc|a|0|d:5", "a 0 at=5"},
      {"_sc|a|0|d:5|d:x", "a 0 at=5"},
      {"_sc|a|0|d:-5", "a 0 at=-5"},
      {"_sc|a|0|h:x", "a 0 h=x"},
      {"_sc|a|0|#x,y", "a 0 tags=x;y;"},
      {"_sc|a|0|#x|#", "a 0"},
      {"_sc|a|0|m:x y|h:z", "a 0 h=z m=x y"},
      {"_sc|a|0|m:x\\ny", "a 0 m=x\\ny"},
      {"_sc|a|0|m:x|m:", "a 0"},
      {"_sc|a|0|m:m:#x", "a 0 m=m:#x"},
      {"_sc|a|0|@x|Tx|p:low||", "a 0"},
      {"_sc|a|0|c:x|e:y|card:z", "a 0 local=x external=y card=z"},
  };
  for (const Case& c : cases) EXPECT_EQ(check(c.line), c.expected) << c.line;
  EXPECT_EQ(check("_sc|a|0|c:x|e:y|card:z", kNothing), "a 0");
}

TEST(ServiceCheck, Refused) {
  const Case cases[] = {
      {"_sc", "sc-format"},          {"_sc|", "sc-format"},
      {"_sc|a", "sc-format"},        {"_sca|0", "sc-format"},
      {"_scan:1|c", "sc-format"},    {"_sc||", "sc-empty-name"},
      {"_sc||0", "sc-empty-name"},   {"_sca||0", "sc-empty-name"},
      {"_scX|a|0", "sc-empty-name"}, {"_sc|a|", "sc-bad-status"},
      {"_sc|a||0", "sc-bad-status"}, {"_sc|a|4", "sc-bad-status"},
      {"_sc|a|-1", "sc-bad-status"}, {"_sc|a|00", "sc-bad-status"},
      {"_sc|a|0 ", "sc-bad-status"}, {"_sc|a|/", "sc-bad-status"},
      {"_sc|a|OK", "sc-bad-status"}, {"_scan:1|c|@1", "sc-bad-status"},
  };
  for (const Case& c : cases) EXPECT_EQ(check(c.line), c.expected) << c.line;
}

TEST(Line, Classify) {
  const struct {
    std::string_view line;
    Class expected;
  } cases[] = {
      {"a:1|c", Class::kMetric},
      {"", Class::kMetric},
      {"_", Class::kMetric},
      {"_e", Class::kMetric},
      {"_e:1|c", Class::kMetric},
      {"_E{1,1}", Class::kMetric},
      {" _e{1,1}", Class::kMetric},
      {"_s:1|c", Class::kMetric},
      {"_SC|a|0", Class::kMetric},
      {"_e{", Class::kEvent},
      {"_e{1,1}:a|b", Class::kEvent},
      {"_sc", Class::kServiceCheck},
      {"_sc|a|0", Class::kServiceCheck},
      {"_scan:1|c", Class::kServiceCheck},
  };
  for (const auto& c : cases) EXPECT_EQ(classify(c.line), c.expected) << c.line;
}

TEST(Origin, LocalData) {
  const Case cases[] = {
      {"", "id= inode=0"},
      {"abc", "id=abc inode=0"},
      {"ci-abc", "id=abc inode=0"},
      {"cid-abc", "id=abc inode=0"},
      {"ci-", "id= inode=0"},
      {"in-7", "id= inode=7"},
      {"in-18446744073709551615", "id= inode=18446744073709551615"},
      {"in-18446744073709551616", "id= inode=18446744073709551615"},
      {"in-", "id= inode=0"},
      {"in--7", "id= inode=0"},
      {"in-+7", "id= inode=0"},
      {"in-7x", "id= inode=0"},
      {"ci-a,in-7", "id=a inode=7"},
      {"in-7,ci-a", "id=a inode=7"},
      {"ci-a,ci-b", "id=b inode=0"},
      {"cid-a,in-7", "id= inode=7"},
      {"abc,", "id= inode=0"},
      {",", "id= inode=0"},
      {"in-7,in-x", "id= inode=0"},
      {"CI-a", "id=CI-a inode=0"},
  };
  for (const Case& c : cases) {
    const LocalData data = parse_local_data(c.line);
    std::string out = "id=";
    out.append(data.container_id).append(" inode=").append(std::to_string(data.inode));
    EXPECT_EQ(out, c.expected) << c.line;
  }
}

TEST(Origin, ExternalData) {
  const Case cases[] = {
      {"", "0//"},
      {"it-true", "1//"},
      {"it-1", "1//"},
      {"it-t", "1//"},
      {"it-T", "1//"},
      {"it-TRUE", "1//"},
      {"it-True", "1//"},
      {"it-tRUE", "0//"},
      {"it-yes", "0//"},
      {"it-", "0//"},
      {"it-true,it-false", "0//"},
      {"it-true,cn-a,pu-b", "1/a/b"},
      {"pu-b,x,,cn-a", "0/a/b"},
      {"cn-a,cn-", "0//"},
      {"cn-a-b-c", "0/a-b-c/"},
      {"CN-a", "0//"},
  };
  for (const Case& c : cases) {
    const ExternalData data = parse_external_data(c.line);
    std::string out = data.init ? "1/" : "0/";
    out.append(data.container_name).append("/").append(data.pod_uid);
    EXPECT_EQ(out, c.expected) << c.line;
  }
}

TEST(Reasons, AllHaveNames) {
  for (size_t i = 0; i < kReasons; ++i) {
    EXPECT_NE(reason_name(static_cast<Reason>(i)), "unknown") << i;
    EXPECT_FALSE(reason_name(static_cast<Reason>(i)).empty()) << i;
  }
  EXPECT_EQ(reason_name(Reason::kEventEmptyTitle), "event-empty-title");
  EXPECT_EQ(reason_name(Reason::kScBadStatus), "sc-bad-status");
}

}  // namespace
}  // namespace penstock::dogstatsd

#include "traffic.h"

#include <algorithm>

#include "dataplane/base/strings.h"

namespace penstock {
namespace {

constexpr uint64_t kEstablished = 12;

// "e0|c", "e1|g", ...: a context has one type.
std::string_view established_type(uint64_t i) {
  constexpr std::string_view kTypes[] = {"c", "g", "h"};
  return kTypes[i % std::size(kTypes)];
}

}  // namespace

std::string Traffic::established() {
  std::string text;
  for (uint64_t i = 0; i < kEstablished; ++i) text += cat("e", i, ":1|", established_type(i), "\n");
  return text;
}

std::string Traffic::packet(size_t shard, int64_t now_s) {
  std::string text;
  for (uint64_t n = 1 + random_.below(6); n != 0; --n) {
    text += options_.flood ? flooding(shard) : line(shard, now_s);
    if (n > 1 || random_.chance(60)) text += random_.chance(10) ? "\r\n" : "\n";
  }
  return text;
}

std::string Traffic::flooding(size_t shard) {
  if (random_.chance(30)) {
    const uint64_t i = random_.below(kEstablished);
    std::string name = cat("e", i);
    const std::string_view type = established_type(i);
    return cat(name, ":", random_.below(1000), "|", type, random_.chance(20) ? "|@0.5" : "");
  }
  constexpr std::string_view kTypes[] = {"c", "g", "s", "h", "ms", "d"};
  if (random_.chance(3)) return check();
  return cat("x", shard, ".", ++made_, ":", random_.below(100), "|", random_.pick(kTypes), "|#",
             std::string(random_.below(30), 't'));
}

std::string Traffic::line(size_t shard, int64_t now_s) {
  const uint64_t what = random_.below(100);
  if (what < 88) return metric(shard, now_s);
  if (what < 92) return event(now_s);
  if (what < 96) return check();
  constexpr std::string_view kGarbage[] = {"",      "x",        ":1|c",  "m:|c",  "m:1|q",
                                           "m:1",   "m:1x|c",   "_e{1}", "_sc|a", "m:1|c|@x",
                                           "m|1:c", "m:1|c|T0", "\xff:1"};
  return std::string(random_.pick(kGarbage));
}

std::string Traffic::metric(size_t shard, int64_t now_s) {
  constexpr std::string_view kTypes[] = {"c", "c", "c", "g", "g", "s", "h", "h", "ms", "d", "d"};
  const std::string_view type = random_.pick(kTypes);
  const std::string value = type == "s" ? cat("u", random_.below(20)) : values();
  return cat(name(type, shard), ":", value, "|", type, fields(now_s));
}

std::string Traffic::name(std::string_view type, size_t shard) {
  constexpr std::string_view kBegin[] = {"m", "m", "m", "runtime.m", "map.m", "\xff\xc3\xa9m"};
  std::string name = cat(random_.pick(kBegin), random_.below(options_.names));
  if (type == "g" && options_.gauge_of_each_shard) name += cat(".of", shard);
  return name;
}

// Such that sums are exact in the shards' sums (dataplane/base/exact_sum.h): magnitudes within
// 2^53.
std::string Traffic::values() {
  constexpr std::string_view kOdd[] = {"nan", "inf",  "-inf", "0",    "-0",   "0x1p4", "1_0",
                                       "5.",  ".5e1", "1e6",  "+2.5", "-1e6", "1:",    ":2"};
  std::string text;
  for (uint64_t n = random_.chance(80) ? 1 : 1 + random_.below(4); n != 0; --n) {
    if (random_.chance(10)) {
      text += random_.pick(kOdd);
    } else if (random_.chance(50)) {
      text += cat(random_.below(100));
    } else {
      text += cat(random_.chance(30) ? "-" : "", random_.below(1000), ".", random_.below(1000));
    }
    if (n > 1) text += ':';
  }
  return text;
}

std::string Traffic::fields(int64_t now_s) {
  constexpr std::string_view kRates[] = {"1",   "0.5", "0.5", "0.25", "0.1", "0.3",   "0.7",
                                         ".01", "0",   "2",   "-1",   "nan", "1e-320"};
  constexpr std::string_view kOther[] = {"c:ci-box",  "c:plain",  "c:in-7",   "card:high",
                                         "card:none", "card:LOW", "e:cn-web", "x:unknown",
                                         "",          "#"};
  std::string text;
  if (random_.chance(30)) text += cat("|@", random_.pick(kRates));
  if (random_.chance(60)) text += cat("|#", tags());
  if (random_.chance(10)) text += cat("|", random_.pick(kOther));
  if (random_.chance(5)) text += cat("|", random_.pick(kOther));
  if (random_.chance(5)) {
    const auto around = static_cast<int64_t>(random_.below(80)) - 40;
    text += cat("|T", random_.chance(90) ? std::max<int64_t>(now_s + around, 1) : 5);
  }
  return text;
}

std::string Traffic::tags() {
  constexpr std::string_view kTags[] = {"a",
                                        "a",
                                        "b:1",
                                        "b:1",
                                        "b",
                                        "c",
                                        "",
                                        "\xff",
                                        "host:web",
                                        "host:",
                                        "dd.internal.card:high",
                                        "dd.internal.entity_id:pod",
                                        "dd.internal.jmx_check_name:j"};
  std::string text;
  for (uint64_t n = random_.below(4); n != 0; --n) {
    text += random_.pick(kTags);
    if (n > 1) text += ',';
  }
  return text;
}

std::string Traffic::event(int64_t now_s) {
  constexpr std::string_view kFields[] = {"|p:low",    "|t:error", "|k:key", "|s:source",
                                          "|h:db",     "|c:ci-1",  "|#b,a",  "|e:it-true,cn-w",
                                          "|card:low", "|p:bad",   "|d:x",   "|x"};
  const std::string title(1 + random_.below(3), static_cast<char>('a' + random_.below(4)));
  const std::string_view body = random_.chance(50) ? "te\\nxt" : "";
  std::string text = cat("_e{", title.size(), ",", body.size(), "}:", title, "|", body);
  for (uint64_t n = random_.below(4); n != 0; --n) text += random_.pick(kFields);
  if (random_.chance(30)) text += cat("|d:", now_s - 5);
  return text;
}

std::string Traffic::check() {
  constexpr std::string_view kFields[] = {"|h:db",    "|m:all \"well\"", "|#host:web,a", "|c:in-9",
                                          "|d:12345", "|card:high",      "|#",           "|d:-3"};
  std::string text = cat("_sc|db", random_.below(3), "|", random_.below(5));
  for (uint64_t n = random_.below(3); n != 0; --n) text += random_.pick(kFields);
  return text;
}

}  // namespace penstock

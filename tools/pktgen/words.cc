#include "tools/pktgen/words.h"

#include <algorithm>

#include "dataplane/base/strings.h"

namespace penstock::pktgen {
namespace {

constexpr std::array<std::string_view, 8> kSubjects = {"http", "db",   "cache", "queue",
                                                       "auth", "cart", "disk",  "rpc"};
// By type, so that a name has one type.
constexpr std::array<std::array<std::string_view, 4>, kTypes.size()> kVerbs = {{
    {"requests", "errors", "hits", "retries"},
    {"connections", "depth", "usage", "temperature"},
    {"duration", "size", "wait", "batch"},
    {"latency", "payload", "delay", "age"},
    {"users", "sessions", "peers", "keys"},
}};
constexpr std::array<std::string_view, 4> kEnvs = {"prod", "staging", "dev", "canary"};
constexpr std::array<std::string_view, 4> kRegions = {"eu-west-1", "us-east-1", "us-west-2",
                                                      "ap-south-1"};
constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz";
constexpr std::string_view kInName = "abcdefghijklmnopqrstuvwxyz._";
constexpr std::string_view kKeyStart =
    "abcdefghjklmnopqrstuvwxyz";  // no i: that is the first tag's
constexpr std::string_view kInTag = "abcdefghijklmnopqrstuvwxyz0123456789-_./";
constexpr std::string_view kDigits = "0123456789abcdefghijklmnopqrstuvwxyz";
static_assert(kContextsPerNameMax == kDigits.size() * kDigits.size());

// A name of one byte has 26 values: after so many that were taken, a longer one is tried.
constexpr int kTries = 8;
constexpr uint64_t kNamesSeed = 0x6e616d6573;  // so that names and tags are drawn independently

std::string word_tag(uint32_t t, uint32_t context) {
  switch (t) {
    case 0:
      return cat("instance:i-", context);
    case 1:
      return cat("env:", kEnvs[context % kEnvs.size()]);
    case 2:
      return cat("region:", kRegions[context / 4 % kRegions.size()]);
    case 3:
      return cat("service:checkout-", context % 40);
    case 4:
      return cat("version:2.", context % 7, ".3");
    default:
      return cat("tag", t, ":v", context % (t + 2));
  }
}

// A key, a colon and a value of `size` bytes together; at least 3.
void append_letters(std::string& out, Random& random, uint32_t size) {
  const uint64_t key = 1 + random.below(size - 2);
  random.append(out, 1, kKeyStart);
  random.append(out, key - 1, kInTag);
  out += ':';
  random.append(out, size - key - 1, kInTag);
}

// The same with a key that no other tag has, and a value that ends with the context's number.
void append_number(std::string& out, Random& random, uint32_t size, uint32_t number) {
  const uint64_t more = size > 4 ? size - 4 : 0;
  const uint64_t more_key = random.below(more + 1);
  out += 'i';
  random.append(out, more_key, kInTag);
  out += ':';
  random.append(out, more - more_key, kInTag);
  out += kDigits[number / kDigits.size()];
  out += kDigits[number % kDigits.size()];
}

}  // namespace

Names::Names(const TrafficOptions& options)
    : options_(options), random_(options.seed ^ kNamesSeed) {}

std::string Names::make(size_t type, uint32_t i) {
  if (options_.name_bytes.max != 0) return make_letters();
  const auto& verbs = kVerbs[type];
  const std::string_view dot = options_.prefix.empty() ? "" : ".";
  std::string name = cat(std::string_view(options_.prefix), dot, kSubjects[i % kSubjects.size()],
                         ".", verbs[i / kSubjects.size() % verbs.size()]);
  const auto words = static_cast<uint32_t>(kSubjects.size() * verbs.size());
  return i < words ? name : cat(name, ".", i / words);
}

std::string Names::make_letters() {
  const std::string start = options_.prefix.empty() ? "" : options_.prefix + ".";
  size_t size = std::max<size_t>(random_.in(options_.name_bytes), start.size() + 1) - start.size();
  for (;; ++size) {
    for (int i = 0; i < kTries; ++i) {
      std::string name = start;
      random_.append(name, 1, kLetters);
      random_.append(name, size - 1, kInName);
      if (letters_.insert(name).second) return name;
    }
  }
}

std::string make_tags(const TrafficOptions& options, uint32_t context, uint32_t number) {
  Random random(options.seed + (uint64_t{context} << 32));
  const uint32_t count = random.in(options.tags);
  std::string out;
  for (uint32_t t = 0; t < count; ++t) {
    if (t > 0) out += ',';
    const uint32_t size = random.in(options.tag_bytes);
    if (size == 0) {
      out += word_tag(t, context);
    } else if (t == 0) {
      append_number(out, random, size, number);
    } else {
      append_letters(out, random, size);
    }
  }
  return out;
}

}  // namespace penstock::pktgen

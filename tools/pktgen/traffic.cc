#include "tools/pktgen/traffic.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "dataplane/base/strings.h"

namespace penstock::pktgen {
namespace {

constexpr size_t kDeckLinesMin = 16384;
constexpr uint32_t kContextsPerName = 100;  // tag sets of one metric name
constexpr std::array<uint32_t, kTypes.size()> kMix = {50, 20, 15, 10, 5};  // percent
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

// The type of context `i`: the mix, spread evenly over each run of 100.
size_t type_of(uint32_t i, bool mixed) {
  if (!mixed) return kCounterType;
  uint32_t slot = (i * 37) % 100;  // 37 is coprime to 100: every slot once in 100 contexts
  for (size_t type = 0; type < kMix.size(); ++type) {
    if (slot < kMix[type]) return type;
    slot -= kMix[type];
  }
  return kCounterType;
}

std::string make_name(const TrafficOptions& o, size_t type, uint32_t i) {
  const auto& verbs = kVerbs[type];
  std::string name = cat(std::string_view(o.prefix), ".", kSubjects[i % kSubjects.size()], ".",
                         verbs[i / kSubjects.size() % verbs.size()]);
  const auto words = static_cast<uint32_t>(kSubjects.size() * verbs.size());
  return i < words ? name : cat(name, ".", i / words);
}

// ",key:value" lists without the leading comma; the first tag tells contexts of one name apart.
std::string make_tags(uint32_t tags, uint32_t context) {
  std::string out;
  for (uint32_t t = 0; t < tags; ++t) {
    if (t > 0) out += ',';
    switch (t) {
      case 0:
        out += cat("instance:i-", context);
        break;
      case 1:
        out += cat("env:", kEnvs[context % kEnvs.size()]);
        break;
      case 2:
        out += cat("region:", kRegions[context / 4 % kRegions.size()]);
        break;
      case 3:
        out += cat("service:checkout-", context % 40);
        break;
      case 4:
        out += cat("version:2.", context % 7, ".3");
        break;
      default:
        out += cat("tag", t, ":v", context % (t + 2));
        break;
    }
  }
  return out;
}

absl::Status check(const TrafficOptions& o) {
  if (o.contexts < 1 || o.contexts > 20'000'000)
    return absl::InvalidArgumentError(
        cat("--contexts ", o.contexts, ": must be from 1 to 20000000"));
  if (o.packet_bytes < 16 || o.packet_bytes > 65507)
    return absl::InvalidArgumentError(
        cat("--packet-bytes ", o.packet_bytes, ": must be from 16 to 65507"));
  if (o.tags > 64)
    return absl::InvalidArgumentError(cat("--tags ", o.tags, ": must be from 0 to 64"));
  if (o.prefix.empty() || o.prefix.find_first_of(":|#@\n ") != std::string::npos)
    return absl::InvalidArgumentError(cat("--prefix \"", std::string_view(o.prefix),
                                          "\": must be a metric name without any of : | # @"));
  return absl::OkStatus();
}

}  // namespace

// Builds one deck; discarded afterwards.
class DeckMaker {
 public:
  explicit DeckMaker(const TrafficOptions& options) : options_(options), random_(options.seed) {}

  absl::StatusOr<Deck> make() {
    make_contexts();
    const size_t total = std::max<size_t>(options_.contexts, kDeckLinesMin);
    std::vector<uint32_t> order(options_.contexts);
    std::iota(order.begin(), order.end(), 0);
    for (size_t done = 0; done < total; done += order.size()) {
      shuffle(order);
      for (const uint32_t context : order) RETURN_IF_ERROR(add_line(context));
    }
    close_packet();
    return std::move(deck_);
  }

 private:
  struct Context {
    uint32_t name;
    uint8_t type;
  };

  void make_contexts() {
    const uint32_t per_name = options_.tags == 0 ? 1 : kContextsPerName;
    std::array<uint32_t, kTypes.size()> seen{};      // contexts of each type so far
    std::array<uint32_t, kTypes.size()> name_now{};  // the name being filled
    contexts_.reserve(options_.contexts);
    for (uint32_t i = 0; i < options_.contexts; ++i) {
      const size_t type = type_of(i, options_.mixed);
      if (seen[type] % per_name == 0) {
        name_now[type] = static_cast<uint32_t>(deck_.names_.size());
        deck_.names_.push_back(make_name(options_, type, seen[type] / per_name));
      }
      ++seen[type];
      contexts_.push_back({name_now[type], static_cast<uint8_t>(type)});
    }
  }

  // std::shuffle is not the same in every library; this is.
  void shuffle(std::vector<uint32_t>& order) {
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random_() % i]);
  }

  absl::Status add_line(uint32_t context) {
    Deck::LineInfo info{contexts_[context].name, 0, contexts_[context].type, 1};
    const std::string line = render(context, info);
    if (line.size() > options_.packet_bytes)
      return absl::InvalidArgumentError(cat("--packet-bytes ", options_.packet_bytes,
                                            ": a line is ", line.size(),
                                            " bytes; raise it, or lower --tags"));
    const size_t with_line = packet_size() + (open_lines() > 0 ? 1 : 0) + line.size();
    const bool full = options_.lines_per_packet != 0 && open_lines() == options_.lines_per_packet;
    if (full || with_line > options_.packet_bytes) close_packet();
    if (open_lines() > 0) deck_.text_ += '\n';
    deck_.text_ += line;
    deck_.lines_.push_back(info);
    if (deck_.text_.size() > kDeckBytesMax)
      return absl::InvalidArgumentError(
          cat("--contexts ", options_.contexts, ": the packets would take more than ",
              kDeckBytesMax >> 20, " MiB; lower --contexts or --tags"));
    return absl::OkStatus();
  }

  std::string render(uint32_t context, Deck::LineInfo& info) {
    const uint64_t dice = random_();
    const auto value = static_cast<uint32_t>(1 + (dice >> 8) % 1000);
    std::string line = cat(std::string_view(deck_.names_[info.name]), ":");
    bool half_rate = false;
    switch (info.type) {
      case kCounterType:
        half_rate = dice % 16 == 0;
        info.amount = half_rate ? 2 * value : value;
        line += cat(value);
        break;
      case 1:
        line += cat(value, ".", dice % 10);
        break;
      case 4:
        line += cat("user", value);
        break;
      default:
        line += cat(value, ".", dice % 10);
        if (dice % 16 == 1) {  // a packed message
          line += cat(":", value / 2);
          info.samples = 2;
        }
    }
    line += cat("|", kTypes[info.type]);
    if (half_rate) line += "|@0.5";
    if (options_.tags > 0) line += cat("|#", std::string_view(make_tags(options_.tags, context)));
    return line;
  }

  [[nodiscard]] size_t open_lines() const { return deck_.lines_.size() - first_line_; }
  [[nodiscard]] size_t packet_size() const { return deck_.text_.size() - offset_; }

  void close_packet() {
    if (open_lines() == 0) return;
    deck_.packets_.push_back({offset_, static_cast<uint32_t>(packet_size()),
                              static_cast<uint32_t>(first_line_),
                              static_cast<uint32_t>(open_lines())});
    offset_ = deck_.text_.size();
    first_line_ = deck_.lines_.size();
  }

  const TrafficOptions& options_;
  std::mt19937_64 random_;
  Deck deck_;
  std::vector<Context> contexts_;
  size_t offset_ = 0;      // of the open packet in text_
  size_t first_line_ = 0;  // of the open packet in lines_
};

absl::StatusOr<Deck> Deck::make(const TrafficOptions& options) {
  RETURN_IF_ERROR(check(options));
  return DeckMaker(options).make();
}

Tally Deck::tally(const std::vector<uint64_t>& times) const {
  Tally out;
  std::vector<uint64_t> sums(names_.size());
  std::vector<bool> is_counter(names_.size());
  for (size_t i = 0; i < packets_.size(); ++i) {
    const PacketInfo& packet = packets_[i];
    out.packets += times[i];
    out.lines += times[i] * packet.lines;
    out.bytes += times[i] * packet.size;
    for (uint32_t l = packet.first_line; l < packet.first_line + packet.lines; ++l) {
      const LineInfo& line = lines_[l];
      out.samples[line.type] += times[i] * line.samples;
      if (line.type != kCounterType) continue;
      is_counter[line.name] = true;
      sums[line.name] += times[i] * line.amount;
    }
  }
  for (size_t n = 0; n < names_.size(); ++n)
    if (is_counter[n] && sums[n] > 0) out.counters.emplace(names_[n], sums[n]);
  return out;
}

}  // namespace penstock::pktgen

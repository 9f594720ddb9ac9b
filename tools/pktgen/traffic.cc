#include "tools/pktgen/traffic.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <type_traits>

#include "dataplane/base/strings.h"
#include "tools/pktgen/words.h"

namespace penstock::pktgen {
namespace {

constexpr size_t kDeckLinesMin = 16384;

// The type of context `i`: the mix, spread evenly over each run of 100.
size_t type_of(uint32_t i, const std::array<uint32_t, kTypes.size()>& mix) {
  uint32_t slot = (i * 37) % 100;  // 37 is coprime to 100: every slot once in 100 contexts
  size_t type = 0;
  while (slot >= mix[type]) slot -= mix[type++];
  return type;
}

bool can_be_sampled(size_t type) { return type != 1 && type != kSetType; }  // no gauge, no set

// A line with the fault `fault`, about the metric `name`.
std::string faulty(size_t fault, std::string_view name) {
  switch (fault) {
    case 0:
      return cat(name, ":1");
    case 1:
      return cat(name, "|c");
    case 2:
      return ":1|c";
    case 3:
      return cat(name, ":|c");
    case 4:
      return cat(name, ":1|q");
    case 5:
      return cat(name, ":1x|c");
    default:
      return cat(name, ":1|c|@x");
  }
}

template <class T>
absl::Status within(std::string_view option, T value, std::type_identity_t<T> least,
                    std::type_identity_t<T> most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      cat("--", option, " ", value, ": must be from ", least, " to ", most));
}

absl::Status within_range(std::string_view option, const Range& range, uint32_t least,
                          uint32_t most) {
  if (range.min >= least && range.min <= range.max && range.max <= most) return absl::OkStatus();
  const std::string given =
      range.min == range.max ? cat(range.min) : cat(range.min, "-", range.max);
  return absl::InvalidArgumentError(cat("--", option, " ", given, ": must be from ", least, " to ",
                                        most, ", or a range within that: 10-20"));
}

absl::Status check_lengths(const TrafficOptions& o) {
  if (o.name_bytes != Range(0)) RETURN_IF_ERROR(within_range("name-bytes", o.name_bytes, 1, 1024));
  if (o.tag_bytes == Range(0)) return absl::OkStatus();
  RETURN_IF_ERROR(within_range("tag-bytes", o.tag_bytes, 3, 1024));
  if (o.tag_bytes.max < 4)
    return absl::InvalidArgumentError(
        "--tag-bytes 3: the tag that tells contexts apart needs 4; raise it, or give a range");
  return absl::OkStatus();
}

absl::Status check_values(const TrafficOptions& o) {
  RETURN_IF_ERROR(within("packed", o.packed, 0, 100));
  RETURN_IF_ERROR(within_range("packed-values", o.packed_values, 1, 1000));
  RETURN_IF_ERROR(within("sampled", o.sampled, 0, 100));
  RETURN_IF_ERROR(within("malformed", o.malformed, 0, 90));
  RETURN_IF_ERROR(within("sample-rate", o.sample_rate, 0.001, 1));
  if (1 / o.sample_rate != std::nearbyint(1 / o.sample_rate))
    return absl::InvalidArgumentError(
        cat("--sample-rate ", o.sample_rate,
            ": must be 1/n, such as 0.5, 0.1 or 0.001, so that sums stay whole"));
  if (std::accumulate(o.mix.begin(), o.mix.end(), uint64_t{0}) != 100)
    return absl::InvalidArgumentError("--mix: the percentages must add up to 100");
  return absl::OkStatus();
}

absl::Status check(const TrafficOptions& o) {
  RETURN_IF_ERROR(within("contexts", o.contexts, 1, 20'000'000));
  RETURN_IF_ERROR(within("contexts-per-name", o.contexts_per_name, 1, kContextsPerNameMax));
  RETURN_IF_ERROR(within("packet-bytes", o.packet_bytes, 16, 65507));
  RETURN_IF_ERROR(within_range("tags", o.tags, 0, 64));
  RETURN_IF_ERROR(check_lengths(o));
  RETURN_IF_ERROR(check_values(o));
  if (o.prefix.find_first_of(":|#@\n ") != std::string::npos)
    return absl::InvalidArgumentError(cat("--prefix \"", std::string_view(o.prefix),
                                          "\": must be a metric name without any of : | # @"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TrafficOptions> profile(std::string_view name) {
  TrafficOptions o;
  if (name == "typical") return o;
  if (name == "small") {
    o.contexts = 1000;
    o.lines_per_packet = 1;
    o.tags = 0;
    o.mix = {100, 0, 0, 0, 0};
    o.packed = 0;
    return o;
  }
  if (name == "many") {
    o.contexts = 1'000'000;
    return o;
  }
  if (name == "long") {
    o.prefix = "";
    o.contexts = 3000;
    o.contexts_per_name = 10;
    o.packet_bytes = 8192;  // dogstatsd_buffer_size: more than any line takes
    o.name_bytes = {1, 200};
    o.tags = {2, 50};
    o.tag_bytes = {3, 150};
    o.packed = 8;
    o.packed_values = {2, 32};
    return o;
  }
  return absl::InvalidArgumentError(
      cat("--profile \"", name, "\": must be small, typical, many or long"));
}

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
      for (const uint32_t context : order) {
        while (random_.percent(options_.malformed)) RETURN_IF_ERROR(add_malformed(context));
        RETURN_IF_ERROR(add_metric(context));
      }
    }
    close_packet();
    return std::move(deck_);
  }

 private:
  void make_contexts() {
    const uint32_t per_name = options_.tags.min == 0 ? 1 : options_.contexts_per_name;
    Names names(options_);
    std::array<uint32_t, kTypes.size()> seen{};      // contexts of each type so far
    std::array<uint32_t, kTypes.size()> name_now{};  // the name being filled
    deck_.contexts_.reserve(options_.contexts);
    for (uint32_t i = 0; i < options_.contexts; ++i) {
      const size_t type = type_of(i, options_.mix);
      const uint32_t number = seen[type] % per_name;
      if (number == 0) {
        name_now[type] = static_cast<uint32_t>(deck_.names_.size());
        deck_.names_.push_back(names.make(type, seen[type] / per_name));
      }
      ++seen[type];
      deck_.contexts_.push_back(
          {name_now[type], static_cast<uint16_t>(number), static_cast<uint8_t>(type)});
    }
  }

  // std::shuffle is not the same in every library; this is.
  void shuffle(std::vector<uint32_t>& order) {
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random_.below(i)]);
  }

  absl::Status add_malformed(uint32_t context) {
    const auto fault = static_cast<uint32_t>(faults_++ % kFaults.size());
    const std::string& name = deck_.names_[deck_.contexts_[context].name];
    return add_line(faulty(fault, name), {Deck::kMalformed, fault, 0});
  }

  absl::Status add_metric(uint32_t context) {
    Deck::LineInfo info{context, 0, 1};
    const std::string line = render(info);
    return add_line(line, info);
  }

  absl::Status add_line(std::string_view line, const Deck::LineInfo& info) {
    if (line.size() > options_.packet_bytes)
      return absl::InvalidArgumentError(
          cat("--packet-bytes ", options_.packet_bytes, ": a line is ", line.size(),
              " bytes; raise it, or lower --tags, --tag-bytes, --name-bytes or --packed-values"));
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

  std::string render(Deck::LineInfo& info) {
    const Deck::Context& context = deck_.contexts_[info.context];
    std::string line = deck_.names_[context.name];
    if (context.type != kSetType && random_.percent(options_.packed))
      info.samples = random_.in(options_.packed_values);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < info.samples; ++i) sum += append_value(context.type, line);
    line += cat("|", kTypes[context.type]);
    const bool sampled = can_be_sampled(context.type) && random_.percent(options_.sampled);
    if (sampled) line += cat("|@", options_.sample_rate);
    if (context.type == kCounterType)
      info.amount = sampled ? sum * static_cast<uint32_t>(1 / options_.sample_rate) : sum;
    const std::string tags = make_tags(options_, info.context, context.number);
    if (!tags.empty()) line += cat("|#", std::string_view(tags));
    return line;
  }

  // Appends ":value"; returns its whole part.
  uint32_t append_value(size_t type, std::string& line) {
    const auto value = static_cast<uint32_t>(1 + random_.below(1000));
    if (type == kSetType) {
      line += cat(":user", value);
    } else if (type == kCounterType) {
      line += cat(":", value);
    } else {
      line += cat(":", value, ".", random_.below(10));
    }
    return value;
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
  Random random_;
  Deck deck_;
  uint64_t faults_ = 0;    // malformed lines so far
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
  std::vector<bool> seen(contexts_.size());
  for (size_t i = 0; i < packets_.size(); ++i) {
    if (times[i] == 0) continue;
    const PacketInfo& packet = packets_[i];
    out.packets += times[i];
    out.lines += times[i] * packet.lines;
    out.bytes += times[i] * packet.size;
    for (uint32_t l = packet.first_line; l < packet.first_line + packet.lines; ++l) {
      const LineInfo& line = lines_[l];
      if (line.context == kMalformed) {
        out.malformed[line.amount] += times[i];
        continue;
      }
      const Context& context = contexts_[line.context];
      seen[line.context] = true;
      out.samples[context.type] += times[i] * line.samples;
      sums[context.name] += times[i] * line.amount;  // 0 for all but counters
    }
  }
  out.contexts = static_cast<uint64_t>(std::count(seen.begin(), seen.end(), true));
  for (size_t n = 0; n < names_.size(); ++n)
    if (sums[n] > 0) out.counters.emplace(names_[n], sums[n]);
  return out;
}

}  // namespace penstock::pktgen

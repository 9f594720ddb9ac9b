#include "tools/pktgen/run.h"

#include <time.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>

namespace penstock::pktgen {
namespace {

using Clock = std::chrono::steady_clock;
constexpr double kPauseMax = 0.01;  // s; so that `stop` is seen soon

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void pause(double seconds) {
  const auto ns = static_cast<long>(std::clamp(seconds, 0.0, kPauseMax) * 1e9);
  const timespec t{0, ns};
  ::nanosleep(&t, nullptr);
}

// One run: the cursor, the schedule and the counts.
class Runner {
 public:
  Runner(const Deck& deck, Output& output, const RunOptions& options)
      : deck_(deck), output_(output), options_(options) {
    result_.times.resize(deck.size());
  }

  RunResult run(const std::atomic<bool>& stop) {
    start_ = Clock::now();
    while (!stop.load(std::memory_order_relaxed) && step()) {
    }
    result_.seconds = seconds_since(start_);
    if (const absl::Status finished = output_.finish(); result_.status.ok())
      result_.status = finished;
    if (options_.rate != 0) {
      const uint64_t due = due_at(result_.seconds);
      result_.unsent = due > done_ ? due - done_ : 0;
    }
    if (options_.progress) std::fputc('\n', stderr);
    return std::move(result_);
  }

 private:
  // False when the run is over.
  bool step() {
    const double now = seconds_since(start_);
    if (options_.seconds > 0 && now >= options_.seconds) return false;
    if (options_.packets != 0 && done_ >= options_.packets) return false;
    show_progress(now);
    const uint64_t due = due_at(now);
    if (due <= done_) {
      pause(static_cast<double>(done_ + 1) / static_cast<double>(options_.rate) - now);
      return true;
    }
    return deal(std::min<uint64_t>(due - done_, kBatch));
  }

  // Packets that should have gone by `now` seconds after the start.
  [[nodiscard]] uint64_t due_at(double now) const {
    const uint64_t limit =
        options_.packets != 0 ? options_.packets : std::numeric_limits<uint64_t>::max();
    if (options_.rate == 0) return limit;
    if (options_.seconds > 0) now = std::min(now, options_.seconds);
    return std::min(limit, static_cast<uint64_t>(now * static_cast<double>(options_.rate)));
  }

  bool deal(size_t count) {
    std::array<std::string_view, kBatch> batch;
    for (size_t i = 0; i < count; ++i) batch[i] = deck_.packet((cursor_ + i) % deck_.size());
    const auto sent = output_.send(std::span(batch).first(count), flow_++);
    if (!sent.ok()) {
      result_.status = sent.status();
      return false;
    }
    for (size_t i = 0; i < sent->accepted; ++i) ++result_.times[(cursor_ + i) % deck_.size()];
    cursor_ = (cursor_ + sent->accepted) % deck_.size();
    done_ += sent->accepted;
    result_.waits += sent->waited ? 1 : 0;
    result_.refused += sent->refused ? 1 : 0;
    return true;
  }

  void show_progress(double now) {
    if (!options_.progress || now < next_progress_) return;
    next_progress_ = now + 1;
    std::fprintf(stderr, "\r%.0f s, %llu packets", now, static_cast<unsigned long long>(done_));
    std::fflush(stderr);
  }

  const Deck& deck_;
  Output& output_;
  const RunOptions& options_;
  RunResult result_;
  Clock::time_point start_;
  uint64_t done_ = 0;  // sent
  size_t cursor_ = 0;  // next packet of the deck
  uint64_t flow_ = 0;
  double next_progress_ = 1;
};

}  // namespace

RunResult run(const Deck& deck, Output& output, const RunOptions& options,
              const std::atomic<bool>& stop) {
  return Runner(deck, output, options).run(stop);
}

std::string report_json(const Deck& deck, const RunResult& result) {
  const Tally tally = deck.tally(result.times);
  nlohmann::ordered_json out;
  out["packets"] = tally.packets;
  out["lines"] = tally.lines;
  out["bytes"] = tally.bytes;
  out["seconds"] = result.seconds;
  out["unsent"] = result.unsent;
  out["waits"] = result.waits;
  out["refused"] = result.refused;
  for (size_t i = 0; i < kTypes.size(); ++i)
    out["samples"][std::string(kTypes[i])] = tally.samples[i];
  out["counters"] = tally.counters;
  return out.dump();
}

}  // namespace penstock::pktgen

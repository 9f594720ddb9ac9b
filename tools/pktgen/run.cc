#include "tools/pktgen/run.h"

#include <time.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <future>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>

namespace penstock::pktgen {
namespace {

using Clock = std::chrono::steady_clock;
constexpr double kPauseMax = 0.01;  // s; so that `stop` is seen soon
constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void pause(double seconds) {
  const auto ns = static_cast<long>(std::clamp(seconds, 0.0, kPauseMax) * 1e9);
  const timespec t{0, ns};
  ::nanosleep(&t, nullptr);
}

// What is due when, in packets or lines since the start.
class Schedule {
 public:
  Schedule(const RunOptions& options, double share)
      : from_(options.rate.from * share),
        to_(options.rate.to * share),
        seconds_(options.seconds),
        flat_out_(options.rate.flat_out()) {}

  [[nodiscard]] uint64_t due_at(double now) const {
    if (flat_out_) return kNoLimit;
    if (seconds_ > 0) now = std::min(now, seconds_);
    return static_cast<uint64_t>(now * (from_ + rate_at(now)) / 2);  // the area under the rate
  }
  [[nodiscard]] bool flat_out() const { return flat_out_; }
  [[nodiscard]] double rate_at(double now) const {
    return from_ == to_ ? from_ : from_ + (to_ - from_) * now / seconds_;
  }

 private:
  double from_, to_;
  double seconds_;
  bool flat_out_;
};

// What one output sends: the cursor, the schedule and the counts. Runs in a thread of its own;
// `sent_packets` and `sent_lines` may be read from another.
class Runner {
 public:
  Runner(const Deck& deck, Output& output, const RunOptions& options, size_t index, size_t of)
      : deck_(deck),
        output_(output),
        options_(options),
        schedule_(options, 1.0 / static_cast<double>(of)),
        stride_(of),
        limit_(share_of(options.packets, index, of)),
        cursor_(index % deck.size()) {
    result_.times.resize(deck.size());
  }

  // `stop`: from outside; `failed`: an output did, ours or another.
  RunResult run(const std::atomic<bool>& stop, std::atomic<bool>& failed) {
    start_ = Clock::now();
    while (!stop.load(std::memory_order_relaxed) && !failed.load(std::memory_order_relaxed) &&
           step()) {
    }
    result_.seconds = seconds_since(start_);
    if (const absl::Status finished = output_.finish(); result_.status.ok())
      result_.status = finished;
    if (!result_.status.ok()) failed.store(true);
    if (!schedule_.flat_out()) {
      const uint64_t due = due_at(result_.seconds);
      if (due > done()) result_.unsent = due - done();
    }
    return std::move(result_);
  }

  [[nodiscard]] uint64_t sent_packets() const { return packets_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint64_t sent_lines() const { return lines_.load(std::memory_order_relaxed); }

 private:
  // Of `packets` that are dealt in turn, those of the output `index`.
  static uint64_t share_of(uint64_t packets, size_t index, size_t of) {
    if (packets == 0) return kNoLimit;
    return packets > index ? (packets - index + of - 1) / of : 0;
  }

  [[nodiscard]] uint64_t done() const { return options_.in_lines ? sent_lines() : sent_packets(); }
  [[nodiscard]] uint64_t due_at(double now) const {
    if (sent_packets() >= limit_) return 0;
    const uint64_t due = schedule_.due_at(now);
    return options_.in_lines ? due : std::min(due, limit_);
  }

  // False when the run is over.
  bool step() {
    const double now = seconds_since(start_);
    if (options_.seconds > 0 && now >= options_.seconds) return false;
    if (sent_packets() >= limit_) return false;
    const uint64_t due = due_at(now);
    if (due > done()) return deal(due - done());
    const double next = static_cast<double>(done() + 1 - due);
    pause(schedule_.rate_at(now) > 0 ? next / schedule_.rate_at(now) : kPauseMax);
    return true;
  }

  [[nodiscard]] size_t at(size_t i) const { return (cursor_ + i * stride_) % deck_.size(); }

  // Sends packets until `due` packets or lines are sent, or a batch is full. A packet is due with
  // its first line.
  bool deal(uint64_t due) {
    std::array<std::string_view, kBatch> batch;
    const uint64_t most = std::min<uint64_t>(kBatch, limit_ - sent_packets());
    size_t count = 0;
    for (uint64_t units = 0; count < most && units < due; ++count) {
      batch[count] = deck_.packet(at(count));
      units += options_.in_lines ? deck_.lines(at(count)) : 1;
    }
    const auto sent = output_.send(std::span(batch).first(count), flow_++);
    if (!sent.ok()) {
      result_.status = sent.status();
      return false;
    }
    note(*sent);
    return true;
  }

  void note(const SendResult& sent) {
    uint64_t lines = 0;
    for (size_t i = 0; i < sent.accepted; ++i) {
      ++result_.times[at(i)];
      lines += deck_.lines(at(i));
    }
    cursor_ = at(sent.accepted);
    packets_.store(sent_packets() + sent.accepted, std::memory_order_relaxed);
    lines_.store(sent_lines() + lines, std::memory_order_relaxed);
    result_.waits += sent.waited ? 1 : 0;
    result_.refused += sent.refused ? 1 : 0;
  }

  const Deck& deck_;
  Output& output_;
  const RunOptions& options_;
  const Schedule schedule_;
  const size_t stride_;
  const uint64_t limit_;  // packets
  RunResult result_;
  Clock::time_point start_;
  std::atomic<uint64_t> packets_{0};  // written by our thread
  std::atomic<uint64_t> lines_{0};    // written by our thread
  size_t cursor_;                     // next packet of the deck
  uint64_t flow_ = 0;
};

using Runners = std::vector<std::unique_ptr<Runner>>;

// The line on standard error: what was sent, and the rates of the time since the last one.
class Progress {
 public:
  void show(const Runners& runners) {
    uint64_t packets = 0;
    uint64_t lines = 0;
    for (const auto& runner : runners) {
      packets += runner->sent_packets();
      lines += runner->sent_lines();
    }
    const double now = seconds_since(start_);
    const double time = now - last_;
    std::fprintf(stderr, "\r%.0f s, %llu packets, %.0f packets/s, %.0f lines/s   ", now,
                 static_cast<unsigned long long>(packets),
                 static_cast<double>(packets - packets_) / time,
                 static_cast<double>(lines - lines_) / time);
    last_ = now;
    packets_ = packets;
    lines_ = lines;
  }

 private:
  const Clock::time_point start_ = Clock::now();
  double last_ = 0;
  uint64_t packets_ = 0;
  uint64_t lines_ = 0;
};

void add(const RunResult& part, RunResult& whole) {
  for (size_t i = 0; i < whole.times.size(); ++i) whole.times[i] += part.times[i];
  whole.unsent += part.unsent;
  whole.waits += part.waits;
  whole.refused += part.refused;
  whole.seconds = std::max(whole.seconds, part.seconds);
  if (whole.status.ok()) whole.status = part.status;
}

}  // namespace

RunResult run(const Deck& deck, std::span<Output* const> outputs, const RunOptions& options,
              const std::atomic<bool>& stop) {
  std::atomic<bool> failed{false};
  Runners runners;
  std::vector<std::future<RunResult>> parts;
  for (size_t i = 0; i < outputs.size(); ++i) {
    runners.push_back(std::make_unique<Runner>(deck, *outputs[i], options, i, outputs.size()));
    parts.push_back(std::async(std::launch::async, &Runner::run, runners.back().get(),
                               std::cref(stop), std::ref(failed)));
  }
  RunResult whole;
  whole.times.resize(deck.size());
  Progress progress;
  for (auto& part : parts) {
    while (part.wait_for(std::chrono::seconds(1)) != std::future_status::ready) {
      if (options.progress) progress.show(runners);
    }
    add(part.get(), whole);
  }
  if (options.progress) {
    progress.show(runners);
    std::fputc('\n', stderr);
  }
  return whole;
}

RunResult run(const Deck& deck, Output& output, const RunOptions& options,
              const std::atomic<bool>& stop) {
  Output* const only = &output;
  return run(deck, std::span(&only, 1), options, stop);
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
  out["contexts"] = tally.contexts;
  out["malformed"] = std::accumulate(tally.malformed.begin(), tally.malformed.end(), uint64_t{0});
  for (size_t i = 0; i < kFaults.size(); ++i)
    out["rejected"][std::string(kFaults[i])] = tally.malformed[i];
  for (size_t i = 0; i < kTypes.size(); ++i)
    out["samples"][std::string(kTypes[i])] = tally.samples[i];
  out["counters"] = tally.counters;
  return out.dump();
}

}  // namespace penstock::pktgen
